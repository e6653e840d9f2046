"""What the market would have given: entry and exit of an order at every vector of a dataset.

An order goes out when its vector is there, and reaches the market `latency` later; so does the
order that closes the position, after the episode's outcome (barrier or timeout), or at the end of
the session's windows if that comes first. Both take the other side of the first two-sided quote.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BAR_NS
from spymaster.engines.quotes import I64, NONE, Quotes, blank_quotes
from spymaster.engines.session_quotes import SessionQuotes
from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.market.sessions import session as session_of
from spymaster.ml.dataset import Dataset
from spymaster.ml.outcomes import OUTCOMES
from spymaster.settings import Settings

APPROACH = "silver.level_approach_2m"
#: Why a position was closed. `last_quote`: no two-sided quote came any more; the last one counts.
EXITS = ("outcome", "session_end", "last_quote")
#: Called with a session's date as its quotes are there.
Progress = Callable[[dt.date], None]


@dataclass(frozen=True)
class Market:
    """Orders at n vectors, and how each would have been filled. Prices 1e-9, times ns UTC."""

    ordered: I64  # vector_time + latency
    entry: Quotes
    exit_ordered: I64
    exit: Quotes
    exit_reason: NDArray[np.int8]
    tick: I64
    cost: NDArray[np.float64]  # ticks per side
    level_types: Mapping[int, tuple[str, ...]]  # by the dataset's code of the episode
    censored: int  # episodes of these sessions whose outcome nobody knows: not in any dataset


def market_of(
    lake: Lake, settings: Settings, data: Dataset, progress: Progress = lambda day: None
) -> Market:
    """Replay the books of the dataset's sessions once, and ask them at every order's time.

    Raises ModelError where the lake's episodes are not those of the dataset, SourceError where
    what the sessions were made of is not in bronze.
    """
    underliers = [u for u, s in settings.underlier.items() if s.model_id == data.model_id]
    told = Episodes.read(lake, underliers, data.sessions)
    told.check(data)
    how = settings.ml.backtest
    latency = round(how.latency_ms * 1e6)
    n = len(data)
    made = Market(
        ordered=data.vector_time + latency,
        entry=blank_quotes(n),
        exit_ordered=np.zeros(n, np.int64),
        exit=blank_quotes(n),
        exit_reason=np.zeros(n, np.int8),
        tick=np.zeros(n, np.int64),
        cost=np.zeros(n),
        level_types=told.level_types(data),
        censored=told.censored,
    )
    source = SessionQuotes(lake)
    for day, underlier, contract, rows in _groups(data, told):
        under = settings.of(underlier)
        session = session_of(under, underlier, day)
        made.tick[rows] = int(source.instrument(contract).tick or 0)
        made.cost[rows] = how.underlier_cost_ticks.get(underlier, how.cost_ticks)
        asked = told.outcome_time(data, rows) + latency
        made.exit_ordered[rows] = np.minimum(asked, session.hull.end)
        made.exit_reason[rows] = np.where(asked > session.hull.end, 1, 0)
        wanted = np.concatenate([made.ordered[rows], made.exit_ordered[rows]])
        times, at = np.unique(wanted, return_inverse=True)
        quotes = source.quotes(session, under, contract, times)
        _put(made.entry, rows, quotes.take(at[: len(rows)]))
        exits, late = closed(quotes, at[len(rows) :], made.exit_ordered[rows])
        _put(made.exit, rows, exits)
        made.exit_reason[rows[late]] = 2
        progress(day)
    return made


def made_of(lake: Lake, settings: Settings, data: Dataset) -> dict[str, Any]:
    """What decides the market of a dataset's sessions: of each underlier settings and files."""
    source = SessionQuotes(lake)
    return {
        name: {
            "settings": settings.config_hash(name),
            "files": [source.made_of(session_of(under, name, day)) for day in data.sessions],
        }
        for name, under in settings.underlier.items()
        if under.model_id == data.model_id
    }


def closed(quotes: Quotes, at: I64, ordered: I64) -> tuple[Quotes, NDArray[np.bool_]]:
    """The quotes that positions are closed at, and where it is one from before the order.

    A position that no two-sided quote comes for any more is not left out, for that would choose
    trades by what came later: it is closed at the last quote that anybody asked for.
    """
    places = np.where(quotes.found, np.arange(len(quotes.ts)), -1)
    last = np.maximum.accumulate(places)[at]
    late = ~quotes.found[at] & (last >= 0)
    taken = quotes.take(last)
    gone = last < 0
    columns = [np.where(gone, NONE, column) for column in taken]
    columns[0] = np.where(late, ordered, columns[0])
    return Quotes(*columns), late


def _put(into: Quotes, rows: I64, quotes: Quotes) -> None:
    for column, values in zip(into, quotes, strict=True):
        column[rows] = values


def _groups(data: Dataset, told: Episodes) -> Iterable[tuple[dt.date, str, str, I64]]:
    """(session, underlier, contract, its rows), in order."""
    groups: dict[tuple[dt.date, str, str], list[int]] = {}
    columns = (data.session, data.episode, data.contract_id)
    for i, (day, e, contract) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        underlier = told.rows[data.episode_id[e]]["underlier"]
        groups.setdefault((day, underlier, contract), []).append(i)
    for key in sorted(groups):
        yield (*key, np.array(groups[key], np.int64))


@dataclass(frozen=True)
class Episodes:
    """The episodes of sessions as the lake has them, by id."""

    rows: Mapping[str, Mapping[str, Any]]
    censored: int

    @classmethod
    def read(cls, lake: Lake, underliers: Iterable[str], sessions: Iterable[dt.date]) -> Episodes:
        columns = [
            "episode_id", "session_date", "underlier", "outcome", "outcome_time", "known_at",
            "level_types", "n_vectors",
        ]  # fmt: skip
        asked = {"underlier": list(underliers), "session_date": list(sessions)}
        found = lake.scan(APPROACH, columns, asked, missing_ok=True).to_pylist()
        censored = sum(r["outcome"] is None and r["n_vectors"] > 0 for r in found)
        return cls({r["episode_id"]: r for r in found}, censored)

    def check(self, data: Dataset) -> None:
        """Raise ModelError for the first row whose episode the lake does not have like this."""
        known = zip(data.episode.tolist(), data.label.tolist(), data.known_at.tolist(), strict=True)
        for code, label, known_at in dict.fromkeys(known):
            name = data.episode_id[code]
            row = self.rows.get(name)
            if row is None:
                wrong = "is not there"
            elif row["outcome"] != OUTCOMES[label] or row["known_at"] != known_at:
                wrong = f"came to {row['outcome']}, known at {row['known_at']}"
            elif not known_at - BAR_NS <= (row["outcome_time"] or 0) <= known_at:
                wrong = f"came to it at {row['outcome_time']}, outside of its bar"
            else:
                continue
            raise ModelError(
                f"{APPROACH}: episode {name} {wrong}; in the snapshot {data.run_date} it came to "
                f"{OUTCOMES[label]}, known at {known_at}. The lake is not what the snapshot was "
                "taken of: name the lake's root with --root, or take a new snapshot and sweep anew."
            )

    def outcome_time(self, data: Dataset, rows: I64) -> I64:
        """When the outcome of these rows' episodes came, ns UTC."""
        times = [self.rows[data.episode_id[e]]["outcome_time"] for e in data.episode[rows].tolist()]
        return np.array(times, np.int64)

    def level_types(self, data: Dataset) -> dict[int, tuple[str, ...]]:
        """What the level of each of the dataset's episodes was."""
        return {
            code: tuple(self.rows[data.episode_id[code]]["level_types"])
            for code in np.unique(data.episode).tolist()
        }
