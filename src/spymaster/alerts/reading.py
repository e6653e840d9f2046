"""What the topics say, as figures of a subject at a time."""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from spymaster.bus import Message
from spymaster.contracts import alerts
from spymaster.contracts.column import INSTRUMENT_TYPES
from spymaster.engines.stream.features import TOPIC
from spymaster.lake.parquet import SAFE
from spymaster.scoring.outlet import ERRORS, SCORES

log = logging.getLogger(__name__)

#: A bar that is older than this when it is told is a replay's: its lag says nothing.
_REPLAY_S = 7 * 86_400.0
#: Clocks of two machines differ by less.
_CLOCKS_S = -60.0


@dataclass(frozen=True)
class Reading:
    """Figures of a subject in [start, end), ns UTC; None is missing.

    `identity`: which message; `told_at`: when it was published, ns UTC; `partition`: where.
    """

    subject: str
    contract_id: str
    underlier: str
    instrument_type: str
    session_date: str
    start: int
    end: int
    identity: str
    is_bar: bool
    figures: Mapping[str, float | None]
    told_at: int = 0
    partition: int = 0


def read(messages: Iterable[Message]) -> list[Reading]:
    """The readings of messages, in their order; what is none of ours is told in the log."""
    found = []
    for m in messages:
        if m.topic == TOPIC and m.headers.get("kind") != "series":
            continue
        try:
            reading = _READ[m.topic](orjson.loads(m.value), m.time)
            found.append(replace(reading, told_at=m.time, partition=m.partition))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            where = f"{m.topic}[{m.partition}] at {m.offset}"
            log.warning("%s: no message of ours: %s", where, str(error)[:200])
    return found


def lag_s(end: int, told_at: int) -> float | None:
    """Seconds from a bar's close to its message; None when it is a replay's."""
    lag = (told_at - end) / 1e9
    return lag if _CLOCKS_S < lag < _REPLAY_S else None


def _series(row: Mapping[str, Any], told_at: int) -> Reading:
    valid = bool(row["valid"])
    figures: dict[str, float | None] = {
        name: _number(row.get(name)) if valid else None
        for name in alerts.SERIES
        if name not in alerts.HEALTH
    }
    for name, column in alerts.COUNTS.items():
        figures[name] = _number(row[column])
    end = int(row["bar_end"])
    figures |= {"gaps": 0.0 if valid else 1.0, "lag_s": lag_s(end, told_at)}
    return _reading(row, row["contract_id"], int(row["bar_start"]), end, str(end), True, figures)


def _score(row: Mapping[str, Any], told_at: int) -> Reading:
    figures = {name: _number(row[name]) for name in alerts.SCORES}
    return _of_vector(row, figures)


def _error(row: Mapping[str, Any], told_at: int) -> Reading:
    return _of_vector(row, {"score_errors": 1.0})


def _of_vector(row: Mapping[str, Any], figures: Mapping[str, float | None]) -> Reading:
    subject = f"{row['contract_id']} {row['model_id']} {row['role']}"
    at = int(row["vector_time"])
    return _reading(row, subject, at, at, str(row["feature_hash"]), False, figures)


def _reading(
    row: Mapping[str, Any],
    subject: str,
    start: int,
    end: int,
    identity: str,
    is_bar: bool,
    figures: Mapping[str, float | None],
) -> Reading:
    date, underlier, kind = row["session_date"], row["underlier"], row["instrument_type"]
    if dt.date.fromisoformat(date).isoformat() != date:
        raise ValueError(f"session_date is {date!r}")
    if kind not in INSTRUMENT_TYPES or not SAFE.fullmatch(underlier):
        raise ValueError(f"it is {kind!r} of {underlier!r}")
    if not isinstance(row["contract_id"], str) or start > end:
        raise ValueError(f"contract_id is {row['contract_id']!r}, from {start} to {end}")
    return Reading(
        subject, row["contract_id"], underlier, kind, date, start, end, identity, is_bar, figures
    )


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


_READ: Mapping[str, Callable[[Mapping[str, Any], int], Reading]] = {
    TOPIC: _series,
    SCORES: _score,
    ERRORS: _error,
}
#: The figures of each topic.
FIGURES = {TOPIC: {**alerts.SERIES, **alerts.SILENCE}, SCORES: alerts.SCORES, ERRORS: alerts.ERRORS}
