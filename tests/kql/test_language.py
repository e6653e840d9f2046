"""Every generated text parses and type-checks with Microsoft's language service for KQL.

`npm ci` puts the package into a cache folder the first time; `make test` does that beforehand.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from spymaster.contracts.kql import (
    INGESTED,
    MIXED,
    TABLES,
    TOPICS,
    identity,
    kql_type,
    mapping_name,
    name,
    once,
    script,
)
from spymaster.contracts.topics import MESSAGES
from spymaster.dashboard.tiles import TILES, TIME
from spymaster.dashboard.tiles.kusto import compiled
from spymaster.dashboard.tiles.paper import text
from spymaster.dashboard.tiles.query import rows
from tests.kql.service import SCRIPT, folder

#: Texts that must be refused, so that silence of the others means something.
BROKEN = {
    "no such column": "feature_series_once | where ofy > 0",
    "text against a number": "feature_series_once | where contract_id > ofi",
    "no such table": "feature_serie | take 1",
    "undeclared parameter": "feature_series_once | where bar_start > _startTime",
    "a series function of a number": "feature_series_once | extend s = series_fill_linear(ofi)",
    "a reserved name": "feature_series_once | extend latest = ofi | project latest",
}
POLICIES = {
    t: f"{topic}_{t}()" for topic in MIXED for t in (name(m.table) for m in MESSAGES.values()
                                                    if m.topic == topic)
}  # fmt: skip


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    queries = {
        **{f"tile {n}": text(t) for n, t in TILES.items()},
        **{f"broken {n}": q for n, q in BROKEN.items()},
        **{f"table {name(t)}": name(t) for t in TABLES},
        **{f"view {name(t)}": once(t) for t in TABLES},
        **{f"policy {t}": q for t, q in POLICIES.items()},
    }
    given = json.dumps({"script": script(), "queries": queries})
    done = subprocess.run(
        ["node", str(SCRIPT), str(folder())],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    assert made["queries"].keys() == queries.keys()
    return made


def test_every_command_of_the_script_is_accepted(answer: dict[str, Any]) -> None:
    found = answer["commands"]
    assert len(found) == len(re.findall(r"^\.", script(), re.MULTILINE)) > 70
    for command in found:
        assert command["kind"] == "Command"
        assert command["diagnostics"] == [], command["text"]


@pytest.mark.parametrize("tile", TILES.values(), ids=TILES)
def test_a_tile_is_accepted_and_gives_its_columns(tile: Any, answer: dict[str, Any]) -> None:
    found = answer["queries"][f"tile {tile.id}"]
    assert found["diagnostics"] == []
    types = {"date": "datetime"}
    wanted = [[n, types.get(t, t)] for n, t in tile.query.columns.items()]
    assert found["columns"] == wanted


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_text_is_refused(broken: str, answer: dict[str, Any]) -> None:
    found = answer["queries"][f"broken {broken}"]["diagnostics"]
    assert [d["severity"] for d in found][:1] == ["Error"], found


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_tables_views_and_update_policies_have_the_contracts_columns(
    table: Any, answer: dict[str, Any]
) -> None:
    wanted = [[c.name, kql_type(c)] for c in table.columns]
    assert answer["queries"][f"table {name(table)}"]["columns"] == wanted
    view = answer["queries"][f"view {name(table)}"]["columns"]
    assert sorted(view) == sorted([*wanted, [INGESTED, "datetime"]])
    assert [n for n, _ in view][: len(identity(table))] == identity(table)
    if name(table) in POLICIES:
        assert answer["queries"][f"policy {name(table)}"]["columns"] == wanted


def test_mappings_name_each_column_once_and_turn_times_into_datetimes() -> None:
    """What the language service does not look into: the JSON inside the commands."""
    found = dict(
        re.findall(r"ingestion json mapping '(\w+)'\n```\n(.*?)\n```", script(), re.DOTALL)
    )
    assert found.keys() == {mapping_name(t) for t in TABLES} | {f"{t}_json" for t in MIXED}
    for table in TABLES:
        entries = json.loads(found[mapping_name(table)])
        assert [e["column"] for e in entries] == table.names
        for entry, column in zip(entries, table.columns, strict=True):
            told = entry["Properties"]
            assert told["Path"] == f"$.{column.name}"
            turned = told.get("Transform") == "DateTimeFromUnixNanoseconds"
            assert turned == (column.unit == "ns UTC")
    policies = re.findall(r"policy update\n```\n(.*?)\n```", script(), re.DOTALL)
    assert sorted(json.loads(p)[0]["Query"] for p in policies) == sorted(POLICIES.values())


def test_kinds_of_message_are_told_apart_by_columns_that_only_they_have() -> None:
    for topic in MIXED:
        kinds = {m.name: m.table for m in MESSAGES.values() if m.topic == topic}
        for own in kinds.values():
            body = re.search(rf"{topic}_{name(own)}\(\) \{{(.*?)\n\}}", script(), re.DOTALL)
            assert body is not None
            asked = set(re.findall(r"bag_has_key\(message, '(\w+)'\)", body[1]))
            assert [t for t in kinds.values() if asked <= set(t.names)] == [own]


def test_every_topic_and_every_table_of_a_tile_has_its_table() -> None:
    names = {t.name for t in TABLES}
    assert {m.table.name for m in MESSAGES.values() if m.topic in TOPICS} <= names
    assert set(TIME) <= names
    assert "feature_series_once" in compiled(rows("gold.feature_series").sort("bar_start"))
