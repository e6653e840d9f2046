"""One contract's events as a task is given them, file by file as the local engine reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from spymaster.engines.bronze_file import FileMade, FileRead
from spymaster.engines.source import Events
from spymaster.market.identify import Instrument
from spymaster.stages.envelope import EVENT_COLUMNS, events_of

Row = dict[str, Any]
_WORDS = ("contract_id", "action", "side", "payload")


class ContractFeed:
    """A `Source` over record batches sorted by `file` (its place in the session) and feed order.

    `files`: the places of the manifest's rows, by batch_id. Memory holds one batch.
    """

    def __init__(
        self, instrument: Instrument | None, files: dict[str, int], batches: Iterator[Any]
    ) -> None:
        self.last_read = FileRead("")
        self.made: list[FileMade] = []
        self._instrument, self._files, self._batches = instrument, files, batches
        self._waiting: Any = None

    def events(self, row: Row, now: Callable[[], int]) -> Iterator[Events]:
        """The contract's events of one landed file."""
        self.last_read = read = FileRead(row["path"], last_mark=row["last_mark"])
        if row["status"] == "damaged":
            read.damage = f"record {row['records']}: see bronze.gaps"
        place = self._files[row["batch_id"]]
        while (rows := self._next(place)) is not None:
            assert self._instrument is not None
            read.records += rows.num_rows
            yield [self._instrument], self._events(rows)

    def _next(self, place: int) -> Any:
        """More rows of a file, None when there are none."""
        while self._waiting is None or not self._waiting.num_rows:
            self._waiting = next(self._batches, None)
            if self._waiting is None:
                return None
        upto = int(np.searchsorted(self._waiting["file"].to_numpy(), place, side="right"))
        if not upto:
            return None
        found, self._waiting = self._waiting.slice(0, upto), self._waiting.slice(upto)
        return found

    def _events(self, rows: pa.RecordBatch) -> Any:
        assert self._instrument is not None
        columns = {n: rows[n] for n in EVENT_COLUMNS}
        coded = [c.dictionary_encode() if n in _WORDS else c for n, c in columns.items()]
        batch = pa.RecordBatch.from_arrays(coded, list(columns))
        name = str(self._instrument.contract_id)
        return events_of(batch, [name], {name: int(self._instrument.price_step or 1)})
