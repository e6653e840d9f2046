"""A replay gateway: files played to Databento's own live client, faults included."""

from spymaster.feed.gateway.faults import KINDS, Fault, parse_fault
from spymaster.feed.gateway.gateway import AT_END, Gateway, Progress

__all__ = ["AT_END", "KINDS", "Fault", "Gateway", "Progress", "parse_fault"]
