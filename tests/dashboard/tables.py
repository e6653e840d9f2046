"""Small random tables of every kind that tiles read, as a source gives them: rows come twice."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from spymaster.contracts import TABLES
from spymaster.contracts.column import Column
from spymaster.contracts.kql import identity
from spymaster.contracts.silver import DIRECTIONS, LEVEL_TYPES, OUTCOMES
from spymaster.dashboard.tiles import TIME, View
from spymaster.dashboard.tiles.local import DTYPES

Row = dict[str, Any]
Tables = dict[str, list[Row]]
BAR = 5 * 10**9
DAYS = (dt.date(2024, 1, 9), dt.date(2024, 1, 10))
#: contract -> underlier.
CONTRACTS = {"ES.FUT.202403": "ES", "ES.FUT.202406": "ES", "TSLA": "TSLA"}
MODELS = (("ES_MODEL", "3"), ("ES_MODEL", "4"))


class Frames:
    """A source of frames in memory: whole tables, whatever the view is, some rows twice."""

    def __init__(self, tables: Mapping[str, pl.DataFrame]) -> None:
        self._tables = tables

    @classmethod
    def of(cls, tables: Tables) -> Frames:
        return cls({name: frame(name, rows) for name, rows in tables.items()})

    once = False

    def rows(self, table: str, view: View, columns: Sequence[str]) -> pl.DataFrame:
        found = self._tables[table]
        return pl.concat([found, found.head(7)])


def frame(table: str, rows: list[Row]) -> pl.DataFrame:
    schema = {c.name: DTYPES[c.type] for c in TABLES[table].columns}
    return pl.DataFrame(rows, schema=schema, orient="row")


def opening(day: dt.date) -> int:
    """When a drawn session begins, in ns: the second is 10 minutes after the first."""
    start = int(dt.datetime.combine(DAYS[0], dt.time(14, 30), dt.UTC).timestamp())
    return (start + 600 * DAYS.index(day)) * 10**9


def drawn(r: random.Random, most: int = 24) -> Tables:
    """Up to `most` rows of each table, which fit together as real ones do."""
    episodes = [_episode(r, i) for i in range(5)]
    tables = {
        "gold.feature_series": [_bar(r, "gold.feature_series") for _ in range(r.randint(0, most))],
        "silver.orderbook_state": [_book(r) for _ in range(r.randint(0, most // 2))],
        "silver.session_levels": [_level(r) for _ in range(r.randint(0, most // 2))],
        "gold.setup_vectors": [],
        "gold.labels": [],
        "gold.inference_scores_stream": [],
        "gold.inference_errors_stream": [],
        "bronze.gaps": [_gap(r) for _ in range(r.randint(0, 6))],
        "gold.parity": [_certificate(r, i) for i in range(r.randint(0, 6))],
    }
    for i in range(r.randint(0, most)):
        _vector(r, r.choice(episodes), i, tables)
    own = random.Random(len(tables["gold.setup_vectors"]))
    tables["gold.alerts_stream"] = [_alert(own) for _ in range(own.randint(0, most))]
    return {name: _once(name, rows) for name, rows in tables.items()}


def view(r: random.Random) -> View:
    """A window about the drawn rows, with or without a choice of underlier and contracts."""
    start = opening(DAYS[0]) + r.randint(-3, 12) * BAR
    long = r.choice([20 * BAR, 40 * BAR, 3600 * 10**9])
    chosen = r.choice([(), (), ("ES.FUT.202403",), ("TSLA", "ES.FUT.202406")])
    return View(start, start + long, r.choice([None, None, "ES"]), chosen)


def _plain(r: random.Random, c: Column) -> Any:
    if c.null and r.random() < 0.2:
        return float("nan") if c.type == "float64" and r.random() < 0.5 else None
    if c.values:
        return r.choice(c.values)
    match c.type:
        case "string":
            return r.choice(["a", "b", ""])
        case "int64" | "int32":
            if c.name == "ofi":
                return r.randint(-50, 50) * r.choice([1, 1, 1, 1, 1, 1, 1, 30])
            return r.randint(0, 40)
        case "float64":
            return r.choice([0.0, 0.25, 0.5, r.uniform(-1, 1), r.uniform(0, 100)])
        case "bool":
            return r.random() < 0.5
        case "date":
            return r.choice(DAYS)
    return r.choice([[], ["a"], ["a", "b"]]) if c.type == "list<string>" else [r.random()]


def _row(r: random.Random, table: str, **known: Any) -> Row:
    return {
        c.name: known[c.name] if c.name in known else _plain(r, c) for c in TABLES[table].columns
    }


def _whose(r: random.Random) -> Row:
    contract = r.choice(list(CONTRACTS))
    return {
        "contract_id": contract,
        "underlier": CONTRACTS[contract],
        "instrument_type": "STK" if contract == "TSLA" else "FUT",
        "session_date": r.choice(DAYS),
    }


def _bar(r: random.Random, table: str, **more: Any) -> Row:
    whose = _whose(r)
    start = opening(whose["session_date"]) + r.randint(0, 30) * BAR
    return _row(r, table, **whose, bar_start=start, bar_end=start + BAR, **more)


def _book(r: random.Random) -> Row:
    best = r.randint(100, 120)
    prices = {
        f"{side}_px_{m:02d}": None if r.random() < 0.1 else (best + sign * m) / 4
        for side, sign in (("bid", -1), ("ask", 1))
        for m in range(10)
    }
    return _bar(r, "silver.orderbook_state", **prices)


def _level(r: random.Random) -> Row:
    whose = _whose(r)
    at = opening(whose["session_date"]) + r.randint(-17 * 720, 20) * BAR
    price = r.randint(400, 440) * 250_000_000
    types = r.choice(LEVEL_TYPES)
    return _row(
        r,
        "silver.session_levels",
        **whose,
        known_at=at,
        level_price=price,
        level_type=types,
    )


def _episode(r: random.Random, i: int) -> Row:
    whose = _whose(r)
    begin = opening(whose["session_date"]) + r.randint(0, 20) * BAR
    return {
        **whose,
        "episode_id": f"e{i}",
        "begin": begin,
        "level_price": r.randint(400, 440) * 250_000_000,
        "level_types": r.sample(LEVEL_TYPES, 2),
        "direction": r.choice(DIRECTIONS),
        "touch_ticks": 2,
        "barrier_ticks": 12,
        "label": r.choice([*OUTCOMES, None]),
        "known_at": begin + 40 * BAR,
        "ended": r.random() < 0.8,
    }


def _vector(r: random.Random, e: Row, i: int, tables: Tables) -> None:
    known = {**e, "feature_hash": f"h{i}", "vector_time": e["begin"] + r.randint(1, 30) * BAR}
    tables["gold.setup_vectors"].append(_row(r, "gold.setup_vectors", **known))
    if e["ended"]:
        tables["gold.labels"].append(_row(r, "gold.labels", **known))
    for role in r.choice([(), ("champion",), ("champion", "shadow")]):
        model, version = r.choice(MODELS)
        cut = sorted([r.choice([0.0, r.random()]), r.random()])
        said = {"p_break": cut[0], "p_reject": cut[1] - cut[0], "p_chop": 1.0 - cut[1]}
        scored = {
            **known,
            **said,
            "role": role,
            "model_id": model,
            "model_version": version,
            "scored_at": known["vector_time"] + r.randint(1, 9 * 10**8) // 1000 * 1000,
        }
        name = "gold.inference_scores_stream"
        if r.random() < 0.2:
            name = "gold.inference_errors_stream"
            scored["failed_at"] = scored["scored_at"]
        tables[name].append(_row(r, name, **scored))


def _gap(r: random.Random) -> Row:
    start = opening(r.choice(DAYS)) + r.randint(0, 30) * BAR
    return _row(
        r,
        "bronze.gaps",
        underlier=r.choice(["ES", "TSLA"]),
        from_ts=start,
        to_ts=start + r.randint(0, 10**6) * 1000,
    )


def _alert(r: random.Random) -> Row:
    whose = _whose(r)
    at = opening(whose["session_date"]) + r.randint(1, 31) * BAR
    subject = r.choice([whose["contract_id"], whose["underlier"]])
    contract = whose["contract_id"] if subject == whose["contract_id"] else None
    known = {**whose, "contract_id": contract}
    return _row(r, "gold.alerts_stream", **known, subject=subject, at=at, began_at=at - BAR)


def _certificate(r: random.Random, i: int) -> Row:
    return _row(
        r,
        "gold.parity",
        underlier=r.choice(["ES", "TSLA"]),
        against=r.choice(["capture", "vendor"]),
        checked_at=opening(DAYS[1]) + i * BAR,
    )


def _once(table: str, rows: list[Row]) -> list[Row]:
    keys = identity(TABLES[table])
    return list({tuple(row[k] for k in keys): row for row in rows}.values())


assert set(TIME) <= set(TABLES)
