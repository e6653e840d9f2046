"""Tiles' KQL, executed by duckdb-kql, gives the local page's numbers on a session's own rows.

duckdb-kql has no make-series and no series functions: of anomaly tiles the part before
make-series is executed and compared, the part after it is spymaster.anomaly's own tests'.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import duckdb_kql
import polars as pl
import pytest

from spymaster.contracts import TABLES
from spymaster.contracts.kql import identity, kql_type, name, once, word
from spymaster.dashboard.tiles import TILES, TIME, Tile, View, run
from spymaster.dashboard.tiles.expression import Type
from spymaster.dashboard.tiles.local import DTYPES, _Evaluation
from spymaster.dashboard.tiles.paper import text
from spymaster.dashboard.tiles.query import Decompose, walk
from spymaster.lake import Lake
from tests.dashboard import tables
from tests.dashboard.comparing import assert_same
from tests.e2e.scenes import SHORT, market, short
from tests.e2e.scenes import run as compute

EXECUTED = {n: t for n, t in TILES.items() if not t.anomalies}
SQL = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "int": "INTEGER",
    "real": "DOUBLE",
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "dynamic": "JSON",
}


def database(frames: dict[str, pl.DataFrame]) -> duckdb.DuckDBPyConnection:
    """Tables as messages fill them, each row twice, and their views once made by the views' KQL."""
    db = duckdb.connect(config={"threads": 1})
    for table in TIME:
        contract = TABLES[table]
        rows = frames[table].select(contract.names)
        stored = pl.concat([rows, rows])
        db.register("arriving", _no_nan(stored).to_arrow())
        columns = ", ".join(_filled(c.name, kql_type(c), c.type) for c in contract.columns)
        db.execute(f"CREATE TABLE {name(contract)} AS SELECT {columns} FROM arriving")
        db.unregister("arriving")
        # duckdb-kql has no ingestion_time(): any of two that are alike, and the columns' names.
        keys = identity(contract)
        rest = ", ".join(
            f"{word(n)} = take_any({word(n)})" for n in contract.names if n not in keys
        )
        unique = f"{name(contract)} | summarize {rest} by {', '.join(keys)}"
        made = duckdb_kql.query(db, unique).to_arrow_table()
        assert made.num_rows == len(rows)
        db.register("unique_rows", made)
        db.execute(f"CREATE TABLE {once(contract)} AS SELECT * FROM unique_rows")
        db.unregister("unique_rows")
    return db


def _filled(column: str, type_: str, of: str) -> str:
    match type_:
        case "datetime" if of == "date":
            return f'CAST("{column}" AS TIMESTAMP) AS "{column}"'
        case "datetime":
            return f'make_timestamp("{column}" // 1000) AS "{column}"'
        case "dynamic":
            return f'to_json("{column}") AS "{column}"'
    return f'CAST("{column}" AS {SQL[type_]}) AS "{column}"'


def _no_nan(frame: pl.DataFrame) -> pl.DataFrame:
    floats = [n for n, t in frame.schema.items() if t == pl.Float64]
    return frame.with_columns(pl.col(floats).fill_nan(None))


def executed(
    db: duckdb.DuckDBPyConnection, kql: str, tile: Tile, view: View
) -> list[dict[str, Any]]:
    """The text's rows, by a real engine, in the tile's parameters."""
    given = {
        "_startTime": _moment(view.start),
        "_endTime": _moment(view.end),
        "_underlier": view.underlier or "",
        "_contract": list(view.contracts) or None,
        **{f"_{k}": v for k, v in tile.values(view).items()},
    }
    declared = re.search(r"declare query_parameters\((.*)\);", kql)
    assert declared is not None
    mine = {k: v for k, v in given.items() if f"{k}:" in declared[1]}
    found = duckdb_kql.query(db, kql, parameters=mine)
    names = [d[0] for d in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _moment(ns: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=ns // 1000)


def as_kusto(rows: list[dict[str, Any]], types: dict[str, Type]) -> list[dict[str, Any]]:
    """Local rows with KQL's times (here: whole microseconds), days and lists."""
    return [{n: _kusto(row[n], types[n]) for n in types} for row in rows]


def _kusto(value: Any, type_: Type) -> Any:
    if value is None:
        return None
    match type_:
        case "datetime":
            return _moment(value)
        case "date":
            return dt.datetime.combine(value, dt.time())
        case "dynamic":
            return list(value)
    return value


def plain(rows: list[dict[str, Any]], types: dict[str, Type]) -> list[dict[str, Any]]:
    """An engine's rows with missing numbers and lists as Python has them."""
    import json

    def one(value: Any, type_: Type) -> Any:
        if type_ == "dynamic" and isinstance(value, str):
            return json.loads(value)
        return None if isinstance(value, float) and value != value else value

    return [{n: one(row[n], types[n]) for n in types} for row in rows]


def compare(db: duckdb.DuckDBPyConnection, source: tables.Frames, tile: Tile, view: View) -> int:
    ours = as_kusto(run(tile, source, view).to_dicts(), tile.query.columns)
    theirs = plain(executed(db, text(tile), tile, view), tile.query.columns)
    assert_same(ours, theirs, tile.id)
    return len(ours)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The rows of a simulated session's tables, and scores of its vectors."""
    root = tmp_path_factory.mktemp("root")
    made = market(tmp_path_factory.mktemp("market"), 1, 6_000, SHORT, contracts=2)
    compute(short(root), made)
    lake = Lake(root)
    frames = {}
    for table in TIME:
        if table.startswith("gold.inference") or table not in lake.existing():
            continue
        read = pl.from_arrow(lake.scan(table))
        assert isinstance(read, pl.DataFrame)
        frames[table] = read.select(
            pl.col(c.name).cast(DTYPES[c.type]) for c in TABLES[table].columns
        )
    return frames | said_of(frames["gold.setup_vectors"])


def said_of(vectors: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Answers about real vectors, some given up, and what else a session has no rows of."""
    r = random.Random(3)
    drawn: tables.Tables = {
        "gold.inference_scores_stream": [],
        "gold.inference_errors_stream": [],
        "bronze.gaps": [tables._gap(r) for _ in range(3)],
        "gold.alerts_stream": [],
        "gold.parity": [tables._certificate(r, i) for i in range(5)],
    }
    for i, v in enumerate(vectors.drop("feature_vector", "lookback_spec").to_dicts()):
        more = {"ended": False, "begin": v["vector_time"]}
        tables._vector(r, {**v, **more}, i, into := {t: [] for t in tables.drawn(r)})
        for t in ("gold.inference_scores_stream", "gold.inference_errors_stream"):
            same = {k: v[k] for k in ("feature_hash", "vector_time")}
            drawn[t] += [{**row, **same} for row in into[t]]
        if i % 50 == 0:
            where = ("session_date", "underlier", "instrument_type", "contract_id")
            about = {**{k: v[k] for k in where}, "subject": v["contract_id"]}
            drawn["gold.alerts_stream"] += [{**tables._alert(r), **about, "at": v["vector_time"]}]
    return {t: tables.frame(t, rows) for t, rows in drawn.items()}


@pytest.fixture(scope="module")
def db(session: dict[str, pl.DataFrame]) -> Iterator[duckdb.DuckDBPyConnection]:
    with database(session) as opened:
        yield opened


def views(frames: dict[str, pl.DataFrame]) -> Sequence[View]:
    bars = frames["gold.feature_series"]["bar_start"]
    first, last = int(bars.min()), int(bars.max())  # type: ignore[arg-type]
    whole = View(first, last + tables.BAR)
    contract = frames["gold.setup_vectors"]["contract_id"][0]
    middle = (first + last) // 2 // tables.BAR * tables.BAR
    return (View(first, middle, "ES"), replace(whole, contracts=(contract,)), View(0, 1))


@pytest.mark.parametrize("tile", EXECUTED.values(), ids=EXECUTED)
def test_the_text_gives_the_pages_numbers(
    tile: Tile, session: dict[str, pl.DataFrame], db: duckdb.DuckDBPyConnection
) -> None:
    source = tables.Frames(session)
    wide = ("gaps", "parity", "errors", "latency")
    found = 0
    for view in views(session):
        view = replace(view, start=0, end=2**62) if tile.id in wide and view.start else view
        for choice in _choices(tile):
            found += compare(db, source, tile, replace(view, values=choice))
    assert found > 0, tile.id


def _choices(tile: Tile) -> Iterator[dict[str, str]]:
    """The default, and every parameter's last choice."""
    yield {}
    if tile.parameters:
        yield {p.name: list(p.choices)[-1] for p in tile.parameters}


def test_random_tables_too() -> None:
    """Nulls, empty strings and tables without rows, of which a session has few."""
    found = 0
    for seed in (0, 2):
        r = random.Random(seed)
        drawn = {n: tables.frame(n, rows) for n, rows in tables.drawn(r).items()}
        view = tables.view(r)
        with database(drawn) as db:
            for tile in EXECUTED.values():
                found += compare(db, tables.Frames(drawn), tile, view)
    assert found > 40


@pytest.mark.parametrize("tile", [t for t in TILES.values() if t.anomalies], ids=lambda t: t.id)
def test_what_anomalies_are_looked_for_in_is_the_same(
    tile: Tile, session: dict[str, pl.DataFrame], db: duckdb.DuckDBPyConnection
) -> None:
    whole = views(session)[1]
    kql = text(tile)
    declared = re.search(r"declare query_parameters\(.*\);", kql)
    assert declared is not None
    parts = re.findall(r"let _rows\d =\n(.*?);\nlet", kql, re.DOTALL)
    series = [q for q in walk(tile.query) if isinstance(q, Decompose)]
    assert len(parts) == len(series) > 0
    for part, query in zip(parts, series, strict=True):
        names = [*query.by, query.at, query.anomaly.column]
        order = ", ".join(f"{n} asc" for n in (*query.by, query.at))
        lines = f"{declared[0]}\n{part}\n| project {', '.join(names)}\n| sort by {order}"
        types = {n: query.source.columns[n] for n in names}
        theirs = executed(db, lines, tile, whole)
        ours = _Evaluation(tables.Frames(session), whole, tile.values(whole)).of(
            query.source, names
        )
        known = ours.filter(pl.col(query.anomaly.column).is_not_null()).select(names)
        sorted_ = known.sort(*query.by, query.at).collect().to_dicts()
        assert_same(as_kusto(sorted_, types), theirs, tile.id)
        assert theirs
