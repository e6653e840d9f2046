"""Tiles: what they declare, and that Polars answers them as a slow evaluator does."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.dashboard.tiles import TILES, TIME, Shown, Tile, View, kql, nothing, run
from spymaster.dashboard.tiles.expression import Bin, Seconds, col, pick
from spymaster.dashboard.tiles.kusto import variables
from spymaster.dashboard.tiles.local import DTYPES
from spymaster.dashboard.tiles.paper import check, main, text
from spymaster.dashboard.tiles.query import Query, Union, rows
from spymaster.errors import ContractError
from tests.dashboard import naive, tables
from tests.dashboard.comparing import assert_same, settled

EMPTY = tables.Frames({name: nothing(name) for name in TIME})
SERIES = rows("gold.feature_series")


def chosen(tile: Tile, r: random.Random) -> dict[str, str]:
    return {p.name: r.choice(list(p.choices)) for p in tile.parameters}


@pytest.mark.parametrize("tile", TILES.values(), ids=TILES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_polars_answers_as_the_slow_evaluator(tile: Tile, seed: int) -> None:
    r = random.Random(seed)
    drawn = tables.drawn(r)
    view = replace(tables.view(r), values=chosen(tile, r))
    found = run(tile, tables.Frames.of(drawn), view)
    assert list(found.columns) == list(tile.query.columns)
    ours, theirs = found.to_dicts(), naive.evaluate(tile, drawn, view)
    if "distance" in found.columns:
        ranked = [row["distance"] for row in ours]
        assert ranked == sorted(ranked, reverse=True)
        ours, theirs = settled(ours, "distance"), settled(theirs, "distance")
    assert_same(ours, theirs, tile.id)


def test_random_tables_leave_no_tile_without_rows() -> None:
    """The test above compares something."""
    with_rows: dict[str, int] = dict.fromkeys(TILES, 0)
    flags = 0
    for seed in range(40):
        r = random.Random(seed)
        source, view = tables.Frames.of(tables.drawn(r)), tables.view(r)
        for tile in TILES.values():
            found = run(tile, source, replace(view, values=chosen(tile, r)))
            with_rows[tile.id] += len(found) > 0
            flags += int(found["flag"].abs().sum()) if "flag" in found.columns else 0
    assert min(with_rows.values()) >= 8, with_rows
    assert flags > 50


@pytest.mark.parametrize("tile", TILES.values(), ids=TILES)
def test_a_tile_of_nothing_has_its_columns_and_says_so(tile: Tile) -> None:
    found = run(tile, EMPTY, View(0, 10**18))
    assert found.is_empty()
    types = {"datetime": pl.Int64, "date": pl.Date, "long": pl.Int64, "real": pl.Float64}
    for name, type_ in tile.query.columns.items():
        assert found.schema[name] == types.get(type_, found.schema[name]), (name, type_)
    assert tile.empty
    assert tile.title


def test_a_source_is_asked_for_the_columns_it_takes_and_no_vector() -> None:
    asked: dict[str, set[str]] = {}

    class Asked:
        once = False

        def rows(self, table: str, view: View, columns: list[str]) -> pl.DataFrame:
            asked.setdefault(table, set()).update(columns)
            return nothing(table).select(columns)

    for tile in TILES.values():
        run(tile, Asked(), View(0, 1))
    assert asked.keys() == TIME.keys() == {t for tile in TILES.values() for t in tile.tables}
    assert "feature_vector" not in asked["gold.setup_vectors"]
    assert "lookback_spec" not in asked["gold.setup_vectors"]


def test_coded_strings_and_small_integers_are_taken() -> None:
    drawn = tables.drawn(random.Random(5))
    name = "gold.feature_series"
    plain = tables.frame(name, drawn[name])
    coded = plain.with_columns(
        pl.col("contract_id").cast(pl.Categorical), pl.col("n_events").cast(pl.Int32)
    )
    view = View(0, 2**62)
    for tile in (TILES["quality"], TILES["movers"], TILES["price"]):
        a, b = (run(tile, tables.Frames({name: x}), view) for x in (plain, coded))
        assert len(a) > 0
        assert a.equals(b)


def test_a_window_is_half_open() -> None:
    bar = tables.drawn(random.Random(1), most=400)["gold.feature_series"][0] | {"close": 1.0}
    source = tables.Frames.of({"gold.feature_series": [bar]})
    at = bar["bar_start"]
    assert len(run(TILES["price"], source, View(at, at + 1))) == 1
    assert len(run(TILES["price"], source, View(at - 1, at))) == 0
    assert len(run(TILES["price"], source, View(at + 1, at + 2))) == 0


@pytest.mark.parametrize("tile", TILES.values(), ids=TILES)
def test_the_text_uses_the_variables_it_declares(tile: Tile) -> None:
    used = variables(tile)
    assert {f"_{p.name}" for p in tile.parameters} <= used.keys()
    timed = any(TIME[t] for t in tile.tables)
    assert ("_startTime" in used and "_endTime" in used) == timed
    assert text(tile).endswith(kql(tile))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SERIES.where(col("ofy") > 0).columns, "no column ofy"),
        (lambda: SERIES.where(col("ofi")).columns, "a long. Allowed: a bool"),
        (lambda: SERIES.extend(x=col("bar_end") - col("bar_start")).columns, "Seconds"),
        (lambda: SERIES.extend(x=Seconds(col("bar_end"), col("ofi"))).columns, "a long"),
        (lambda: SERIES.extend(x=Bin(col("bar_end"), 7)).columns, "divide a day"),
        (lambda: SERIES.extend(x=pick("p", {"a": col("ofi"), "b": "x"})).columns, "one type"),
        (lambda: SERIES.join(SERIES, on=("contract_id",)).columns, "in both"),
        (lambda: Union((SERIES.keep("ofi"), SERIES.keep("mid"))).columns, "same columns"),
        (lambda: SERIES.unpivot("i", a=[1, 2], b=[1]).columns, "as many places"),
        (lambda: SERIES.keep("contract_id").sort("-ofi").columns, "no column ofi"),
        (lambda: rows("silver.bar_5s").columns, "not a table that tiles read"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_does(
    make: Callable[[], object], told: str
) -> None:
    with pytest.raises(ContractError, match=told):
        make()


def declared(query: Query, **more: object) -> Tile:
    return Tile(**({"id": "t", "title": "T", "pane": "t", "kind": "table", "query": query,
                    "series": ()} | more))  # fmt: skip


def test_a_tile_shows_only_what_its_query_makes_in_an_order() -> None:
    with pytest.raises(ContractError, match=r"tile t: mid is shown"):
        declared(SERIES.keep("ofi").sort("ofi"), series=(Shown("mid", "Mid"),))
    with pytest.raises(ContractError, match="rows in no order"):
        declared(SERIES.keep("ofi"))
    with pytest.raises(ContractError, match="options of p"):
        declared(SERIES.keep(x=pick("p", {"a": 1})).sort("x"))


def test_a_value_that_is_no_choice_is_refused() -> None:
    with pytest.raises(ContractError, match=r"tile price: bar=7. Allowed: one of 5, 15"):
        run(TILES["price"], EMPTY, View(0, 1, values={"bar": "7"}))


def test_the_papers_are_current(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    check()
    assert main(["--check", "--folder", str(tmp_path)]) == 1
    assert "Write them with" in capsys.readouterr().err
    assert main(["--folder", str(tmp_path)]) == 0
    assert main(["--check", "--folder", str(tmp_path)]) == 0


def test_every_type_of_a_contract_has_one_here() -> None:
    for name in TIME:
        assert set(nothing(name).schema.values()) <= set(DTYPES.values())


def test_the_tile_of_the_documentation_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tiles.md").read_text("utf-8")
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    made: dict[str, Tile] = {}
    exec(compile(block[1], "docs/tiles.md", "exec"), made)
    drawn = tables.drawn(random.Random(4), most=60)
    found = run(made["WIDEST"], tables.Frames.of(drawn), View(0, 2**62))
    assert len(found) == 3
    assert_same(found.to_dicts(), naive.evaluate(made["WIDEST"], drawn, View(0, 2**62)))


def test_the_documentation_lists_every_tile() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tiles.md").read_text("utf-8")
    for row in re.findall(r"^\| `(\w+)` \| .* \| (\w+) \| (.*?) \| (.*?) ?\|$", page, re.MULTILINE):
        tile = TILES[row[0]]
        assert row[1] == tile.kind
        assert tuple(re.findall(r"`([\w.]+)`", row[2])) == tile.tables
        assert re.findall(r"`(\w+)`", row[3]) == [p.name for p in tile.parameters]
    assert len(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == len(TILES)
