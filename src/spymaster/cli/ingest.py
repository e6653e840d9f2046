"""The ingestor from the command line."""

from __future__ import annotations

from typing import Any

from spymaster.cli.console import tell
from spymaster.errors import ContractError
from spymaster.settings import Settings


def with_gateway(settings: Settings, gateway: str | None) -> Settings:
    """The settings with another gateway, HOST:PORT.

    >>> with_gateway(Settings(), "127.0.0.1:13000").feed.gateway
    '127.0.0.1'
    """
    if gateway is None:
        return settings
    host, _, port = gateway.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ContractError(
            f"--gateway {gateway!r}: allowed is HOST:PORT, such as 127.0.0.1:13000."
        )
    feed = settings.feed.model_copy(update={"gateway": host, "port": int(port)})
    return settings.model_copy(update={"feed": feed})


def run_ingest(settings: Settings, dataset: str | None, gateway: str | None, **how: Any) -> None:
    """Run the ingestor until it ends, and tell what it came to."""
    from spymaster.feed.ingest.process import ingest

    settings = with_gateway(settings, gateway)
    for told in ingest(settings, dataset, tell=tell, **how):
        c = told.counts
        tell(
            f"ingest    {told.dataset}: {c.records:,} records, {c.published:,} published, "
            f"{c.refused:,} refused, {c.skipped:,} skipped; {c.captures} captures, "
            f"{told.connections} connections, {c.gaps} gaps"
        )
