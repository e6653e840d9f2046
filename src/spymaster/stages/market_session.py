"""All silver and gold stages of a market's contracts in one session, over one state.

The same object serves a file, a feed and, with one contract, a task on Spark: records and clock
marks in, rows out. Every contract has a book and bars; the selected one levels, episodes, vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import EVENT
from spymaster.kernel.book_view import BookView
from spymaster.kernel.closed_bars import Bars
from spymaster.kernel.notes import Notes, blank_notes
from spymaster.kernel.state import pack, unpack
from spymaster.kernel.summary import Summaries
from spymaster.kernel.trades import trades_of
from spymaster.market.sessions import Session
from spymaster.stages.contract import ContractDay
from spymaster.stages.gold_compute_feature_series import GoldComputeFeatureSeries
from spymaster.stages.rows import Rows
from spymaster.stages.selected_contract import SelectedContract
from spymaster.stages.silver_add_session_levels import RecordTags
from spymaster.stages.silver_compute_bar_5s_features import SilverComputeBar5sFeatures
from spymaster.stages.silver_compute_feature_primitives import SilverComputeFeaturePrimitives

_NO_EVENTS, _NO_NOTES = np.zeros(0, EVENT), blank_notes(0)
_NOBODY = np.zeros(0, np.int64)

I64 = NDArray[np.int64]


class MarketSession:
    """Contracts of one kind in one session. `advance` and `close` change the state, return rows.

    Cutting the records anywhere, placing clock marks anywhere, and saving and loading a contract's
    state between change no row, and no contract changes another's (law 2). `light`: no rows at
    all, only `summary` and since when a book is good: what later sessions ask of this one.
    """

    def __init__(self, session: Session, spec: str, *, light: bool = False) -> None:
        s = session
        self.days: list[ContractDay] = []
        self._spec, self._light = spec, light
        self._names: list[str] = []
        self._bars = SilverComputeBar5sFeatures(self._names)
        self._primitives = SilverComputeFeaturePrimitives(self._names)
        self._series = GoldComputeFeatureSeries(self._names)
        self._tags = RecordTags(session, self._names)
        self._selected: dict[int, SelectedContract] = {}
        self._summaries = Summaries(
            (s.hull.start, s.hull.end),
            (s.regular.start, s.regular.end),
            (s.trigger.start, s.trigger.end),
        )

    def __len__(self) -> int:
        return len(self.days)

    def add(self, day: ContractDay) -> int:
        """Take one more contract; returns its number."""
        return self._add(day, None)

    def _add(self, day: ContractDay, book: bytes | None) -> int:
        number = len(self.days)
        self.days.append(day)
        self._names.append(day.contract_id)
        self._bars.add(day, book, light=self._light)
        self._summaries.add(day.tick_steps)
        if not self._light:
            self._primitives.add(day)
            if day.selected:
                self._selected[number] = SelectedContract(day, self._spec)
        return number

    def book(self, number: int) -> BookView:
        """A contract's order book as it stands."""
        return self._bars.books[number]

    def summary(self, number: int) -> dict[str, Any]:
        """What later sessions may know of a contract (`Summaries.row`)."""
        return self._summaries.row(number)

    def advance(self, events: NDArray[Any], numbers: I64) -> list[Rows]:
        """Take events (`EVENT`) in feed order; `numbers` tells whose each is."""
        notes, bars, rows = self._bars.advance(events, numbers)
        return self._follow(events, numbers, notes, bars, rows)

    def close(self, mark: int) -> list[Rows]:
        """Take a clock mark: a ts_recv of the feed that no later record precedes, ns UTC."""
        bars, rows = self._bars.close(mark)
        return self._follow(_NO_EVENTS, _NOBODY, _NO_NOTES, bars, rows)

    def _follow(
        self, events: NDArray[Any], numbers: I64, notes: Notes, bars: Bars, rows: list[Rows]
    ) -> list[Rows]:
        trades = trades_of(events, numbers, notes)
        self._summaries.advance(trades)
        if self._light:
            return []
        primitives, made = self._primitives.advance(bars)
        rows = rows + made + self._series.advance(bars, primitives)
        rows += self._tags.advance(events, numbers, notes)
        for number, stages in self._selected.items():
            mine = bars.of(number)
            watermark = self._bars.books[number].watermark
            rows += stages.advance(trades[trades["contract"] == number], mine, watermark)
        return rows

    def to_bytes(self, number: int) -> bytes:
        """A contract's whole state, as engines keep it."""
        parts = [self._bars.to_bytes(number), self._summaries.to_bytes(number)]
        if not self._light:
            parts.append(self._primitives.to_bytes(number))
            if number in self._selected:
                parts.append(self._selected[number].to_bytes())
        return pack("SESSION", 3, [np.frombuffer(p, "u1") for p in parts])

    def restore(self, day: ContractDay, data: bytes) -> int:
        """Take one more contract, which goes on where `to_bytes` left off; returns its number."""
        book, summary, *more = (a.tobytes() for a in unpack(data, "SESSION", 3)[1])
        number = self._add(day, book)
        self._summaries.restore(number, summary)
        if not self._light:
            self._primitives.restore(number, more[0])
            if number in self._selected:
                self._selected[number].restore(more[1])
        return number
