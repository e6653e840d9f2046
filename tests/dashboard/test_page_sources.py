"""What the page is made from: rows in memory, rows of the lake, states, who may look."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster.contracts.column import Table, fact, key
from spymaster.dashboard.access import Gate, is_loopback, token_of
from spymaster.dashboard.board import Board
from spymaster.dashboard.history import LakeSource
from spymaster.dashboard.live import LiveSource
from spymaster.dashboard.pulse import pulse
from spymaster.dashboard.shelf import Shelf
from spymaster.dashboard.state import FEATURES, State
from spymaster.dashboard.tiles import TILES, View, run
from spymaster.errors import ContractError
from spymaster.lake import Lake
from spymaster.settings import DashboardSettings, Settings
from tests.dashboard.feed import Market, Publisher, names

TABLE = Table(
    "gold.small",
    "A small table.",
    (
        key("contract_id", "string", "contract"),
        key("at", "int64", "time", "ns UTC"),
        fact("value", "float64", "a number", null=True),
        fact("session_date", "date", "session"),
        fact("underlier", "string", "root"),
    ),
)
DAYS = [dt.date(2024, 1, 8) + dt.timedelta(days=i) for i in range(4)]
ROWS = st.tuples(
    st.sampled_from(["A", "B"]),
    st.integers(0, 3),
    st.none() | st.floats(allow_nan=False, width=32),
    st.sampled_from(DAYS),
    st.sampled_from(["ES", "TSLA"]),
)


@given(st.lists(st.tuples(ROWS, st.booleans()), max_size=60), st.integers(1, 3))
def test_a_shelf_keeps_the_last_of_each_row_of_the_newest_sessions(
    steps: list[tuple[tuple[Any, ...], bool]], sessions: int
) -> None:
    shelf = Shelf(TABLE, sessions, 1000)
    kept: list[dict[str, Any]] = []
    days: dict[str, list[dt.date]] = {}
    for values, look in steps:
        row = dict(zip(TABLE.names, values, strict=True))
        row["contract_id"] += f"{row['underlier']}{row['session_date'].day}"  # of one session only
        mine = days.setdefault(row["underlier"], [])
        newest = sorted({*mine, row["session_date"]})[-sessions:]
        taken = shelf.add(row)
        assert taken == (row["session_date"] in newest)
        if taken:
            mine[:] = newest
            kept = [
                k for k in kept if (k["contract_id"], k["at"]) != (row["contract_id"], row["at"])
            ]
            kept = [k for k in [*kept, row] if k["session_date"] in days[k["underlier"]]]
        if look:
            assert len(shelf) == len(kept)
            assert sorted(shelf.frame().rows(), key=repr) == sorted(
                (tuple(k.values()) for k in kept), key=repr
            )


def test_a_shelf_has_a_most() -> None:
    shelf = Shelf(TABLE, 1, 10)
    for i in range(35):
        row = ("A", i, 1.0, DAYS[0], "ES")
        shelf.add(dict(zip(TABLE.names, row, strict=True)))
        assert shelf.frame().height <= 10
    assert shelf.frame()["at"].to_list() == list(range(25, 35))


@pytest.mark.parametrize(
    ("query", "state"),
    [
        ({}, State()),
        ({"s": "2024-01-09", "u": "ES"}, State("2024-01-09", "ES")),
        ({"s": "<script>", "c": "a,b,,a", "f": "x" * 99}, State(contracts=("a", "b"))),
        ({"a": "1704805200000", "b": "nan"}, State(start=1_704_805_200_000 * 10**6)),
        ({"p.bar": "60", "p.x": "<"}, State(choices=(("bar", "60"),))),
        ({"f": "ofi,vpin"}, State(features=("ofi", "vpin"))),
    ],
)
def test_an_address_is_a_state_and_nonsense_is_left_out(
    query: dict[str, str], state: State
) -> None:
    assert State.read(query) == state
    assert State().features == FEATURES


@pytest.fixture(params=["embedded", "kafka"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "embedded":
        return Settings.model_validate({"root": str(tmp_path)})
    broker = request.getfixturevalue("broker")
    told = {**broker.settings().model_dump(mode="json"), "root": str(tmp_path)}
    return Settings.model_validate(told)


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread."""
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that in a minute")


def test_what_the_topics_bring_is_what_was_published(settings: Settings) -> None:
    publisher, market = Publisher(settings), Market(names(2))
    told = [*market.levels(), *market.bars(45)]
    publisher.publish(told)
    heard: list[dict[str, int]] = []
    with LiveSource(settings, lambda since: heard.append(dict(since))) as source:
        until(lambda: source.messages == len(told))
        for kind, name in (
            ("series", "gold.feature_series"),
            ("book", "silver.orderbook_state"),
            ("level", "silver.session_levels"),
            ("outcome", "gold.labels"),
        ):
            wanted = [row for _, k, row in told if k == kind]
            rows = source.frame(name).with_columns(pl.col("session_date").cast(pl.String))
            assert sorted(rows.to_dicts(), key=repr) == sorted(wanted, key=repr)
        open_ = source.frame("silver.level_approach_2m")
        assert open_["outcome"].null_count() == 1
        assert len(open_) == 2
        more = market.next()
        publisher.publish(more)
        until(lambda: source.messages == len(told) + len(more))
        first = more[0][2]["bar_start"]
        until(lambda: first in [since.get("gold.feature_series") for since in heard])
    publisher.close()


def test_a_delta_and_what_was_there_are_the_whole(tmp_path: Path) -> None:
    """For every tile: rows from the first that changed on replace, and nothing is missing."""
    settings = Settings.model_validate({"root": str(tmp_path)})
    publisher, market = Publisher(settings), Market(names(2))
    told = [*market.levels(), *market.bars(45)]
    publisher.publish(told)
    heard: list[dict[str, int]] = []
    with LiveSource(settings, lambda since: heard.append(dict(since))) as source:
        board = Board(settings, source, LakeSource(Lake(settings.root), settings))
        until(lambda: source.messages == len(told))
        for choices in ((), (("bar", "60"), ("cell", "15"), ("threshold", "1.5"))):
            state = State(choices=choices, features=("ofi", "vpin"))
            before = board.full(state)["parts"]
            heard.clear()
            count = source.messages
            more = list(market.bars(7))
            publisher.publish(more)
            _wait(source, count + len(more), heard, more)
            dirty: dict[str, int] = {}
            for since in heard:
                for table, at in since.items():
                    dirty[table] = min(at, dirty.get(table, at))
            changed = board.delta(state, dirty)["parts"]
            after = board.full(state)["parts"]
            assert changed.keys() <= after.keys()
            for name, part in after.items():
                assert laid(before[name], changed.get(name), name) == part_of(part), name
    publisher.close()


def _wait(source: LiveSource, count: int, heard: list[dict[str, int]], more: list[Any]) -> None:
    """Until all messages have come, and every table of theirs was told of."""
    tables = {"series": "gold.feature_series", "book": "silver.orderbook_state",
              "vector": "gold.setup_vectors", "outcome": "gold.labels",
              "": "gold.inference_scores_stream"}  # fmt: skip
    wanted = {tables[kind] for _, kind, _ in more}
    until(lambda: source.messages == count and wanted <= set().union(*heard))


def part_of(part: dict[str, Any]) -> Any:
    return part.get("by", part.get("all"))


def laid(old: dict[str, Any], new: dict[str, Any] | None, name: str) -> Any:
    """What the page has after a delta; its own code does the same."""
    if new is None or not new["tail"]:
        return part_of(new or old)
    x = TILES[name.split(":")[0]].x
    found = {split: {k: list(v) for k, v in rows.items()} for split, rows in old["by"].items()}
    for split, rows in new["by"].items():
        mine = found.setdefault(split, {k: [] for k in rows})
        kept = sum(at < rows[x][0] for at in mine[x])
        for column, values in rows.items():
            mine[column] = mine[column][:kept] + values
    return found


def test_the_board_tells_what_the_tiles_say(tmp_path: Path) -> None:
    settings = Settings.model_validate({"root": str(tmp_path)})
    publisher, market = Publisher(settings), Market(names(3))
    told = list(market.bars(30))
    publisher.publish(told)
    with LiveSource(settings) as source:
        board = Board(settings, source, LakeSource(Lake(settings.root), settings))
        until(lambda: source.messages == len(told))
        seen = board.seen(State())
        assert seen is not None
        assert seen.main == ("ES.FUT.202403",)

        class All:
            def rows(self, table: str, view: View, columns: Any) -> pl.DataFrame:
                return source.frame(table)

        view = View(seen.start, seen.end, "ES", (), {"measure": "depth"})
        wanted = run(TILES["movers"], All(), view)
        chosen = State(choices=(("measure", "depth"),))
        part = board.full(chosen)["parts"]["movers"]["all"]
        assert part["contract_id"] == wanted["contract_id"].to_list()
        assert part["change"] == wanted["change"].to_list()
        assert part["since"] == (wanted["since"] // 10**6).to_list()
    publisher.close()


NOW = 1_700_000_000_000_000_000
INGEST = {"process": "ingest-glbx-mdp3", "dataset": "GLBX.MDP3", "state": "live", "runs": True,
          "age_s": 0.4, "silent_s": 0.2}  # fmt: skip
LIVE = {"process": "live", "state": "live", "runs": True, "age_s": 0.4}


@pytest.mark.parametrize(
    ("statuses", "bus", "arrived", "cadence", "feed"),
    [
        ([], ("no bus", "none lies here"), 0, 0.0, "no bus"),
        ([], ("live", ""), 0, 0.0, "empty"),
        ([], ("live", ""), NOW - 2 * 10**9, 0.0, "live"),
        ([], ("live", ""), NOW - 4 * 10**9, 0.0, "stale"),
        ([], ("live", ""), NOW - 7 * 10**9, 5.0, "live"),
        ([], ("live", ""), NOW - 8 * 10**9, 5.0, "stale"),
        ([INGEST, LIVE], ("live", ""), NOW - 60 * 10**9, 5.0, "live"),
        ([{**INGEST, "silent_s": 2.8}, LIVE], ("live", ""), NOW, 5.0, "stale"),
        ([{**INGEST, "age_s": 4.0}, LIVE], ("live", ""), NOW, 5.0, "stale"),
        ([{**INGEST, "state": "waiting"}, LIVE], ("live", ""), NOW, 5.0, "stale"),
        ([{**INGEST, "state": "failed"}, LIVE], ("live", ""), NOW, 5.0, "stale"),
        ([{**INGEST, "state": "stopped"}, LIVE], ("live", ""), NOW, 5.0, "ended"),
        ([INGEST, {**LIVE, "runs": False}], ("live", ""), NOW, 5.0, "stale"),
        ([INGEST, LIVE], ("live", ""), 0, 0.0, "empty"),
    ],
)
def test_how_the_feed_is(
    statuses: list[dict[str, Any]], bus: tuple[str, str], arrived: int, cadence: float, feed: str
) -> None:
    assert pulse(statuses, bus, arrived, cadence, 3.0, NOW).feed == feed


def test_a_model_that_waits_is_told() -> None:
    waits = {"process": "score-es", "runs": True, "age_s": 0.1, "last_error": "no answer"}
    found = pulse([INGEST, LIVE, waits], ("live", ""), NOW, 5.0, 3.0, NOW)
    assert found.endpoint == "score-es: no answer"
    gone = pulse([INGEST, LIVE, {**waits, "runs": False}], ("live", ""), NOW, 5.0, 3.0, NOW)
    assert gone.endpoint == ""


def test_beyond_this_machine_there_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.53"):
        assert is_loopback(host)
        assert token_of(DashboardSettings(host=host)) == (None, False)
    for host in ("0.0.0.0", "::", "192.168.1.4", "feeds.example"):
        token, made = token_of(DashboardSettings(host=host))
        assert made
        assert token is not None
        assert len(token) >= 32
    monkeypatch.setenv("SPYMASTER_DASHBOARD_TOKEN", "x" * 20)
    assert token_of(DashboardSettings(host="0.0.0.0")) == ("x" * 20, False)
    monkeypatch.setenv("SPYMASTER_DASHBOARD_TOKEN", "short")
    with pytest.raises(ContractError, match="16 or more"):
        token_of(DashboardSettings(host="0.0.0.0"))


@pytest.mark.parametrize(
    ("path", "place"), [("/", "/"), ("//evil.example/", "/evil.example/"), ("/x", "/x")]
)
def test_a_token_leads_to_this_page_only(path: str, place: str) -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads a body")

    async def inside(*_: Any) -> None:
        raise AssertionError("nobody gets in by this request")

    scope = {"type": "http", "path": path, "query_string": b"token=secret", "headers": []}
    coroutine = Gate(inside, "secret")(scope, receive, send)
    with pytest.raises(StopIteration):
        coroutine.send(None)  # type: ignore[attr-defined]
    headers = dict(said[0]["headers"])
    assert (said[0]["status"], headers[b"location"].decode()) == (303, place)
