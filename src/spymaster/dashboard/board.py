"""What a client sees of a state: every tile's rows, whole at first, then what has changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from spymaster.anomaly import series_decompose_anomalies
from spymaster.contracts.event import BAR_NS
from spymaster.dashboard.history import BARS, LakeSource
from spymaster.dashboard.live import LiveSource
from spymaster.dashboard.state import State
from spymaster.dashboard.tiles import TILES, TIME, Tile, View, run
from spymaster.dashboard.tiles.expression import Bin, Expression, Pick, parts
from spymaster.dashboard.tiles.query import walk
from spymaster.dashboard.times import empty
from spymaster.errors import SessionError
from spymaster.market.clock import NEW_YORK
from spymaster.market.sessions import session
from spymaster.settings import Settings

Rows = Mapping[str, Any]
Frames = Callable[[str], pl.DataFrame]

#: Kinds that grow at their end: of these only the end is computed and sent again.
_GROWS = ("candles", "bars", "lines", "heatmap")
#: Minutes that are seen at most -> seconds of a bar that then is drawn well.
_SUITS = ((50, "5"), (150, "15"), (720, "60"), (float("inf"), "300"))
FEATURE, MOVERS, ALERTS = "feature", "movers", "alerts"
_EVER = 2**62
#: So many states are kept as they were told.
_STATES = 4


@dataclass(frozen=True)
class Seen:
    """A state with what the page chose: which session, which contracts, from when to when (ns)."""

    state: State
    underlier: str
    date: str
    contracts: tuple[str, ...]
    known: tuple[tuple[str, int], ...]
    start: int
    end: int

    @property
    def main(self) -> tuple[str, ...]:
        """The contract that is drawn."""
        return self.contracts[:1]


@dataclass(frozen=True)
class _Drawn:
    """A state's parts, and the tables that they were made of."""

    tables: tuple[pl.DataFrame, ...]
    parts: dict[str, Any]


class _Session:
    """A tile's source: tables of one session."""

    once = True

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def rows(self, table: str, view: View, columns: Sequence[str]) -> pl.DataFrame:
        return self._frames(table).select(columns)


class Board:
    """Answers for states. Not for the event loop: computing takes some ms to some 100 ms."""

    def __init__(self, settings: Settings, live: LiveSource, history: LakeSource) -> None:
        self._settings, self.live, self.history = settings, live, history
        self._drawn: dict[Seen, _Drawn] = {}

    def sessions(self) -> list[dict[str, str]]:
        """What can be looked at, the newest first."""
        stored = [{"underlier": u, "date": d} for u, d in self.history.sessions()]
        return stored[::-1]

    def seen(self, state: State) -> Seen | None:
        """What a state comes to; None while there is nothing to see."""
        sessions = self.live.sessions() if state.live else self.history.sessions()
        mine = [s for s in sessions if state.underlier in ("", s[0])]
        if not state.live:
            mine = [s for s in mine if s[1] == state.session]
        if not mine:
            return None
        underlier, date = self._chosen(state, mine)
        bars = self._frame(state, underlier, date)(BARS)
        bars = bars.filter(
            (pl.col("underlier") == underlier) & (pl.col("session_date").cast(pl.String) == date)
        )
        if bars.is_empty():
            return None
        known = (
            bars.group_by("contract_id")
            .agg(volume=pl.col("volume").sum(), n=pl.len())
            .sort(["volume", "n", "contract_id"], descending=[True, True, False])
        )
        names = known["contract_id"].to_list()
        chosen = tuple(c for c in state.contracts if c in names) or tuple(names[:1])
        start, end = _as_int(bars["bar_start"].min()), _as_int(bars["bar_end"].max())
        return Seen(
            replace(state, underlier=underlier, contracts=chosen),
            underlier,
            date,
            chosen,
            tuple(zip(names, known["volume"].to_list(), strict=True)),
            start,
            end,
        )

    def _chosen(self, state: State, sessions: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """The newest session: of the underlier that has the chosen contracts, else the first."""
        several = (
            not state.underlier and bool(state.contracts) and len({s[0] for s in sessions}) > 1
        )
        found = [s for s in sessions if several and self._owns(state, *s)] or sessions
        newest = max(date for _, date in found)
        return min(s for s in found if s[1] == newest)

    def _owns(self, state: State, underlier: str, date: str) -> bool:
        bars = self._frame(state, underlier, date)(BARS)
        mine = (pl.col("underlier") == underlier) & pl.col("contract_id").is_in(state.contracts)
        return not bars.filter(mine).is_empty()

    def window(self, seen: Seen) -> tuple[int, int]:
        """The axis, ns UTC: live as far as the session's bars will go, where that is near."""
        if not seen.state.live or seen.underlier not in self._settings.underlier:
            return seen.start, seen.end
        try:
            day = dt.date.fromisoformat(seen.date)
            bars = session(self._settings.of(seen.underlier), seen.underlier, day).bars
        except SessionError:
            return seen.start, seen.end
        if not bars.start <= seen.start < bars.end:
            return seen.start, seen.end
        return bars.start, max(bars.end, seen.end)

    def warm(self) -> None:
        """Read the libraries and compile what is compiled, before somebody waits for it."""
        seen = Seen(State(), "", "", ("",), (), 0, BAR_NS)
        source = _Session(empty)
        for _, tile, values in self._wanted(seen):
            run(tile, source, View(0, BAR_NS, "", (), values))
        series_decompose_anomalies(np.zeros((2, 16)))

    def full(self, state: State) -> dict[str, Any]:
        """All that a client needs to draw this state."""
        seen = self.seen(state)
        told: dict[str, Any] = {"sessions": self.sessions(), "live": self.live.sessions()}
        if seen is None:
            return {**told, "meta": None, "parts": {}}
        return {**told, "meta": self._meta(seen), "parts": self._whole(seen)}

    def _whole(self, seen: Seen) -> dict[str, Any]:
        """All parts; those of the last states are kept until one of their tables changes."""
        frames = self._frame(seen.state, seen.underlier, seen.date)
        tables = tuple(frames(name) for name in TIME)
        kept = self._drawn.pop(seen, None)
        if kept is None or any(a is not b for a, b in zip(kept.tables, tables, strict=True)):
            kept = _Drawn(tables, self.parts(seen))
        self._drawn[seen] = kept
        while len(self._drawn) > _STATES:
            del self._drawn[next(iter(self._drawn))]
        return kept.parts

    def delta(self, state: State, dirty: Mapping[str, int]) -> dict[str, Any]:
        """What changed, with the tables' new rows from these times on, ns UTC."""
        seen = self.seen(state)
        if seen is None:
            return {"meta": None, "parts": {}}
        return {"meta": self._meta(seen), "parts": self.parts(seen, dirty)}

    def parts(self, seen: Seen, dirty: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Rows of the tiles, of those that read a dirty table; None: of all."""
        found = {}
        for key, tile, values in self._wanted(seen):
            # Of the movers only the page knows the stretch that is zoomed to: it asks.
            if dirty is not None and (tile.id == MOVERS or not dirty.keys() & set(tile.tables)):
                continue
            since = None
            if dirty is not None and tile.kind in _GROWS and not tile.anomalies:
                width = _width_ns(tile, values)
                since = min(dirty[t] for t in tile.tables if t in dirty) // width * width
            found[key] = self.part(seen, tile, values, since)
        return found

    def zoomed(self, seen: Seen, start: int, end: int) -> dict[str, Any]:
        """The tables that compare the two ends of what is zoomed to."""
        return {
            key: self.part(seen, tile, values, None, (start, end))
            for key, tile, values in self._wanted(seen)
            if tile.id == MOVERS
        }

    def part(
        self,
        seen: Seen,
        tile: Tile,
        values: Mapping[str, str],
        since: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> Rows:
        """A tile's rows as columns, by its split; times in ms. `since`: only from there on, ns UTC.

        Then the client's rows from the first of a split's new times on are to be replaced.
        """
        start, end = window or (seen.start, seen.end)
        start = start if since is None else max(start, since)
        contracts = seen.contracts if tile.id == FEATURE else seen.main
        if tile.kind in ("table", "curve"):
            contracts = ()
        if tile.id == ALERTS:  # of a feed's silence they are told by another clock, at any time
            start, end = 0, _EVER
        # What a model says of the last bar is of its very end.
        view = View(start, max(end, start + BAR_NS) + 1, seen.underlier, contracts, values)
        frames = self._frame(seen.state, seen.underlier, seen.date)
        return _columns(tile, run(tile, _Session(frames), view), since is not None)

    def _bar(self, seen: Seen) -> str:
        """Seconds of a bar: what was chosen, else what suits a window of the usual width."""
        minutes = 0 if seen.state.live else (seen.end - seen.start) / 60e9
        suits = next(bar for most, bar in _SUITS if minutes <= most)
        return dict(seen.state.choices).get("bar", suits)

    def _wanted(self, seen: Seen) -> list[tuple[str, Tile, dict[str, str]]]:
        """Every tile with its parameters; a feature's once for each that is chosen."""
        chosen = {**dict(seen.state.choices), "bar": self._bar(seen)}
        found = []
        for tile in TILES.values():
            mine = {p.name: chosen[p.name] for p in tile.parameters
                    if chosen.get(p.name) in p.choices}  # fmt: skip
            choices = next((p.choices for p in tile.parameters if p.name == FEATURE), None)
            if choices is None:
                found.append((tile.id, tile, mine))
                continue
            for name in seen.state.features:
                if name in choices:
                    found.append((f"{tile.id}:{name}", tile, {**mine, FEATURE: name}))
        return found

    def _frame(self, state: State, underlier: str, date: str) -> Frames:
        if not state.live:
            return lambda table: self.history.frame(table, underlier, date)
        return lambda table: (
            self.live.frame(table)
            if self.live.has(table)
            else self.history.frame(table, underlier, date)
        )

    def _meta(self, seen: Seen) -> dict[str, Any]:
        start, end = self.window(seen)
        return {
            "session": seen.state.session,
            "underlier": seen.underlier,
            "date": seen.date,
            "contracts": list(seen.contracts),
            "known": [{"contract": c, "volume": v} for c, v in seen.known],
            "start": start // 10**6,
            "end": end // 10**6,
            "first": seen.start // 10**6,
            "last": seen.end // 10**6,
            "offset": _offset_s(seen.start),
            "features": list(seen.state.features),
            "bar": self._bar(seen),
            "streamed": not seen.state.live and self.history.streamed(seen.underlier, seen.date),
        }


def specs() -> list[dict[str, Any]]:
    """The tiles as the page draws them: titles, panes, columns with units, parameters."""
    return [
        {
            "id": t.id,
            "title": t.title,
            "pane": t.pane,
            "kind": t.kind,
            "x": t.x,
            "split": t.split,
            "empty": t.empty,
            "series": [
                {"column": s.column, "label": s.label, "unit": s.unit, "mark": s.mark}
                for s in t.series
            ],
            "parameters": [
                {"name": p.name, "label": p.label, "choices": dict(p.choices), "default": p.default}
                for p in t.parameters
            ],
        }
        for t in TILES.values()
    ]


def _columns(tile: Tile, frame: pl.DataFrame, tail: bool) -> Rows:
    times = [n for n, type_ in tile.query.columns.items() if type_ == "datetime"]
    frame = frame.with_columns(pl.col(times) // 10**6)
    if tile.anomalies and tile.kind == "markers":
        frame = frame.filter(pl.col("flag") != 0)
    if tile.split is None or tile.kind == "table":
        return {"tail": tail, "all": frame.to_dict(as_series=False)}
    groups = frame.partition_by(tile.split, as_dict=True, include_key=False, maintain_order=True)
    return {"tail": tail, "by": {str(k[0]): g.to_dict(as_series=False) for k, g in groups.items()}}


def _width_ns(tile: Tile, values: Mapping[str, str]) -> int:
    """What a row of a growing tile covers: one that changed may have begun so much before."""
    chosen = {p.name: values.get(p.name, p.default) for p in tile.parameters}
    seconds = [s for q in walk(tile.query) for e in q.expressions for s in _bins(e, chosen)]
    return max([BAR_NS, *(s * 10**9 for s in seconds)])


def _bins(e: Expression, chosen: Mapping[str, str]) -> Iterator[int]:
    """Seconds of the intervals that an expression cuts time into, as chosen."""
    if isinstance(e, Pick):
        yield from _bins(dict(e.options)[chosen[e.parameter]], chosen)
        return
    if isinstance(e, Bin):
        yield e.seconds
    for part in parts(e):
        yield from _bins(part, chosen)


def _as_int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _offset_s(ts: int) -> int:
    """New York's offset from UTC at a time, in seconds."""
    offset = dt.datetime.fromtimestamp(ts // 10**9, NEW_YORK).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
