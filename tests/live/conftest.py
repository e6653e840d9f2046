"""A real Kafka broker for the tests of the live way that want one."""

from __future__ import annotations

from tests.bus.conftest import broker

__all__ = ["broker"]
