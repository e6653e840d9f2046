"""The tables and topics as Eventhouse has them: names, types, mappings, views, policies."""

from __future__ import annotations

from spymaster.contracts.column import Table


def name(table: Table) -> str:
    """A table's name in KQL: without the layer, a stream's twin without its suffix."""
    return table.name.rpartition(".")[2].removesuffix("_stream")


def once(table: Table) -> str:
    """The view with each key once: topics bring a message at least once."""
    return f"{name(table)}_once"
