"""One UTC day of one feed: its MBO file, in the order of receipt, and its definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from databento_dbn import Metadata
from numpy.typing import NDArray

from spymaster.feed.dbn_write import DbnWriter, make_metadata
from spymaster.feed.simulator.chain import Option
from spymaster.feed.simulator.definitions import (
    DAY_NS,
    Defined,
    day_start_ns,
    definition,
    interval,
)
from spymaster.feed.simulator.exchange import Exchange
from spymaster.feed.simulator.interleave import Interleaver

#: Of zstd: one that keeps up with the simulation.
_LEVEL = 1
Rows = NDArray[Any]


class DayFile:
    """The MBO file of one UTC day and its definitions; no files if there are no instruments."""

    def __init__(
        self,
        exchange: Exchange,
        day: date,
        sessions: list[date],
        out: Path,
        stem: str,
        listed: Callable[[date], Sequence[Defined]],
    ) -> None:
        found = [i for session in sessions for i in listed(session)]
        self.instruments = list({i.instrument_id: i for i in found}.values())
        self.paths: list[Path] = []
        self.rows = 0
        self._tape = Interleaver()
        self._file: DbnWriter | None = None
        if not self.instruments:
            return
        self._exchange, self._day = exchange, day
        names = [out / f"{stem}-{day:%Y%m%d}.{kind}.dbn.zst" for kind in ("mbo", "definition")]
        self._file = DbnWriter(names[0], self._head("mbo"), level=_LEVEL)
        self.paths = names

    def _head(self, schema: str) -> Metadata:
        config, day = self._exchange.config, self._day
        start = day_start_ns(day)
        named = [*self.instruments]
        if schema == "mbo":
            # Landing tells by a future's symbol whose options these are.
            futures = {i.future: None for i in self.instruments if isinstance(i, Option)}
            named += futures
        return make_metadata(
            config.venue.dataset,
            {i.symbol: [interval(day, i)] for i in named},
            start,
            start + DAY_NS,
            schema=schema,
            version=config.dbn_version,
        )

    def write(self, parts: list[Rows]) -> None:
        """Records that are in order among themselves."""
        for part in parts:
            if self._file is not None:
                self._file.write(part)
                self.rows += len(part)

    def merge(self, parts: list[Rows], until_ns: int | None) -> None:
        """Records of several instruments; what is received from `until_ns` on waits."""
        self.write([self._tape.merge(parts, until_ns)])

    def __enter__(self) -> DayFile:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._file is None:
            return
        if kind is None:
            self.merge([], None)
        self._file.__exit__(kind, error, trace)
        if kind is None:
            config = self._exchange.config
            with DbnWriter(self.paths[1], self._head("definition"), level=_LEVEL) as file:
                for i in self.instruments:
                    file.write(definition(self._day, config.venue, i, config.dbn_version))
