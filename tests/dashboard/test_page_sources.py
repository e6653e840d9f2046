"""What the page is made from: rows in memory, rows of the lake, states, who may look."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster.bus import Message
from spymaster.contracts.column import Table, fact, key
from spymaster.dashboard import history
from spymaster.dashboard import hub as hubs
from spymaster.dashboard.access import Gate, is_loopback, token_of
from spymaster.dashboard.board import Board
from spymaster.dashboard.history import LakeSource
from spymaster.dashboard.hub import Hub
from spymaster.dashboard.live import LiveSource
from spymaster.dashboard.pulse import Cadence, pulse
from spymaster.dashboard.shelf import Shelf
from spymaster.dashboard.state import FEATURES, State
from spymaster.dashboard.tiles import TILES, View, run
from spymaster.errors import ContractError
from spymaster.lake import Lake
from spymaster.settings import DashboardSettings, Settings
from tests.dashboard.feed import Market, Publisher, names

T = TypeVar("T")
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


def test_a_shelf_keeps_to_its_most_while_nobody_looks() -> None:
    shelf = Shelf(TABLE, 1, 10)
    for i in range(20_010):
        shelf.add(dict(zip(TABLE.names, ("A", i, 1.0, DAYS[0], "ES"), strict=True)))
        assert len(shelf) <= 5_010
    assert shelf.frame()["at"].to_list() == list(range(20_000, 20_010))


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
        more = market.next()
        publisher.publish(more)
        until(lambda: source.messages == len(told) + len(more))
        first = more[0][2]["bar_start"]
        until(lambda: first in [since.get("gold.feature_series") for since in heard])
    publisher.close()


def test_messages_that_are_no_rows_are_left_out_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.model_validate({"root": str(tmp_path)})
    publisher, market = Publisher(settings), Market(names(1))
    good = market.next()
    bar = next(row for _, kind, row in good if kind == "series")
    bad: list[Any] = [
        [1, 2], "text", {}, {**bar, "bar_start": "soon"}, {**bar, "session_date": "tomorrow"},
        {**bar, "volume": 1.5}, {**bar, "close": "high"}, {**bar, "n_events": 2**63},
        {**bar, "valid": 1}, {**bar, "contract_id": None}, {**bar, "underlier": ["ES"]},
    ]  # fmt: skip
    publisher.publish(good)
    for row in bad:
        publisher.publish_raw("series", row)
    later = market.next()
    publisher.publish(later)
    with LiveSource(settings) as source:
        until(lambda: source.messages == len(good) + len(bad) + len(later))
        assert source.frame("gold.feature_series").height == 2
        assert source.state == "live"
    publisher.close()
    assert sum("it is left out" in r.message for r in caplog.records) == len(bad)


def test_a_bus_that_was_gone_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    settings = Settings.model_validate({"root": str(tmp_path)})
    publisher, market = Publisher(settings), Market(names(2))
    told = list(market.bars(3))
    publisher.publish(told)
    taken: list[int] = []
    stumbled: list[str] = []

    class Stumbling(LiveSource):
        def take(self, topic: str, messages: list[Message]) -> dict[str, int]:
            taken.extend(m.offset for m in messages if topic == "features_gold")
            if topic == "features_gold" and len(stumbled) < 1:
                stumbled.append(topic)
                raise OSError("the disk was away for a moment")
            return super().take(topic, messages)

    features = [t for t in told if t[0] == "features_gold"]
    with Stumbling(settings):
        more = market.next()
        until(lambda: len(taken) >= len(features))
        publisher.publish(more)
        wanted = len(features) + sum(t[0] == "features_gold" for t in more)
        until(lambda: len(taken) >= wanted)
        assert len(taken) == wanted
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
                if name == "movers":  # of the zoom, which a delta does not know
                    assert name not in changed
                    continue
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


class Looker:
    """Somebody who looks, without a browser."""

    waiting = 0

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def tell(self, what: str, told: Mapping[str, Any]) -> None:
        self.said.append((what, told))

    def metas(self) -> list[Any]:
        return [t["meta"] for w, t in self.said if w in ("full", "delta") and t["meta"]]


def on_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """On a thread of its own: the browser's loop holds this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work)).result()


async def soon(true: Callable[[], bool]) -> None:
    """Wait for another thread, on an event loop."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


def test_a_page_stays_with_the_market_that_it_shows(tmp_path: Path) -> None:
    """Two underliers trade: the one that is shown stays, whichever begins its day first."""
    settings = Settings.model_validate({"root": str(tmp_path)})
    es, nq = Market(names(1)), Market(["NQ.FUT.202403"], underlier="NQ", scored=False)
    publisher = Publisher(settings)
    told = [*nq.bars(3), *es.bars(5)]
    publisher.publish(told)
    published = time.time_ns()

    async def shown() -> tuple[Looker, Looker]:
        def board(live: LiveSource) -> Board:
            return Board(settings, live, LakeSource(Lake(settings.root), settings))

        async def told_of(hub: Hub, later: list[Any]) -> None:
            count, n, m = hub.live.messages, len(one.metas()), len(two.metas())
            publisher.publish(later)
            await soon(lambda: hub.live.messages == count + len(later))
            await soon(lambda: len(one.metas()) > n and len(two.metas()) > m)

        hub = Hub(settings, board)
        await hub.start()
        one, two = Looker(), Looker()
        await soon(lambda: hub.live.messages == len(told))
        await hub.join(one, State())
        await hub.join(two, State(contracts=("NQ.FUT.202403",)))
        assert 0 < hub.live.heard("NQ")[0] <= published
        # Another market begins the next day, first or last in the alphabet.
        for first in ("AA", "ZZ"):
            day = dt.date(2024, 1, 10)
            other = Market([f"{first}.FUT.202403"], underlier=first, date=day, scored=False)
            later = [*other.bars(2), *es.next(), *nq.next()]
            await told_of(hub, later)
        assert hub.live.heard("NQ")[0] > published
        assert hub.live.heard("CL") == (0, 0.0)
        await hub.stop()
        return one, two

    one, two = on_a_loop(shown())
    assert {m["underlier"] for m in one.metas()} == {"ES"}
    assert {m["underlier"] for m in two.metas()} == {"NQ"}
    publisher.close()


def test_a_certificate_comes_to_an_open_page_and_a_change_that_failed_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_FRESH_S", 0.0)
    monkeypatch.setattr(hubs, "_FROM_LAKE_S", 0.0)
    limits = {"look_s": 0.05, "push_s": 0.01}
    settings = Settings.model_validate({"root": str(tmp_path), "dashboard": limits})
    publisher, lake = Publisher(settings), Lake(settings.root)
    told = list(Market(names(1), scored=False).bars(3))
    publisher.publish(told)
    failed: list[Any] = []

    class Failing(Board):
        def delta(self, state: State, dirty: Mapping[str, int]) -> dict[str, Any]:
            found = super().delta(state, dirty)
            if "gold.feature_series" in dirty and not failed:
                failed.append(dirty)
                raise OSError("not now")
            return found

    async def shown() -> Looker:
        made = Hub(settings, lambda live: Failing(settings, live, LakeSource(lake, settings)))
        await made.start()
        await soon(lambda: made.live.messages == len(told))
        look = Looker()
        await made.join(look, State())
        lake.append_rows("gold.parity", [certificate(DAYS[0], False)], ("test", 1))

        def equal() -> list[Any]:
            parts = [t["parts"] for w, t in look.said if w == "delta" and "parity" in t["parts"]]
            return list(parts[-1]["parity"]["all"]["equal"]) if parts else []

        await soon(lambda: equal() == [False])
        more = Market(names(1), scored=False, start="08:40").next()
        publisher.publish(more)
        await soon(lambda: any(w == "delta" and "price" in t["parts"] for w, t in look.said))
        await made.stop()
        return look

    look = on_a_loop(shown())
    assert len(failed) == 1
    assert look.metas()[0]["underlier"] == "ES"
    publisher.close()


def certificate(date: dt.date, equal: bool, against: str = "capture") -> dict[str, Any]:
    """A row of gold.parity."""
    return {
        "session_date": date, "underlier": "ES", "against": against, "checked_at": NOW,
        "equal": equal, "rows": "{}", "vectors": 7, "differences": [], "first": None,
        "files": [], "chunk_records": 1, "data_version": "0", "code_version": "0",
        "machine": "{}",
    }  # fmt: skip


def test_what_is_stored_is_read_again_when_the_lake_has_something_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_FRESH_S", 0.0)
    settings = Settings.model_validate({"root": str(tmp_path), "dashboard": {"stored": 2}})
    lake = Lake(settings.root)
    source, day = LakeSource(lake, settings), DAYS[1].isoformat()

    assert source.frame("gold.parity", "ES", day).is_empty()
    lake.append_rows("gold.parity", [certificate(DAYS[0], True)], ("test", 1))
    first = source.frame("gold.parity", "ES", day)
    assert first["equal"].to_list() == [True], "the last certificate, of whichever session"
    assert source.frame("gold.parity", "ES", day) is first, "nothing new, nothing read"
    lake.append_rows("gold.parity", [certificate(DAYS[1], False, "vendor")], ("test", 2))
    assert sorted(source.frame("gold.parity", "ES", day)["equal"].to_list()) == [False, True]
    gaps = {d: source.frame("bronze.gaps", "ES", d.isoformat()) for d in DAYS[:2]}
    assert source.frame("bronze.gaps", "ES", DAYS[0].isoformat()) is gaps[DAYS[0]]
    source.frame("bronze.gaps", "ES", DAYS[2].isoformat())
    assert source.frame("bronze.gaps", "ES", DAYS[0].isoformat()) is gaps[DAYS[0]]
    assert source.frame("bronze.gaps", "ES", DAYS[1].isoformat()) is not gaps[DAYS[1]]


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
            once = True

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
    ("statuses", "bus", "arrived", "late", "feed"),
    [
        ([], ("no bus", "none lies here"), 0, 0.0, "no bus"),
        ([], ("live", ""), 0, 0.0, "empty"),
        ([], ("live", ""), NOW - 2 * 10**9, 0.0, "live"),
        ([], ("live", ""), NOW - 4 * 10**9, 0.0, "stale"),
        ([], ("live", ""), NOW - 5 * 10**9, 5.25, "live"),
        ([], ("live", ""), NOW - 6 * 10**9, 5.25, "stale"),
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
    statuses: list[dict[str, Any]], bus: tuple[str, str], arrived: int, late: float, feed: str
) -> None:
    assert pulse(statuses, bus, arrived, late, 3.0, NOW).feed == feed


def test_without_an_ingestor_records_that_stop_are_silence_before_a_bar_is_late() -> None:
    arrived = NOW - 4 * 10**9
    for silent_s, feed in ((2.9, "live"), (3.1, "stale")):
        records = NOW - round(silent_s * 1e9)
        assert pulse([], ("live", ""), arrived, 5.25, 3.0, NOW, records).feed == feed
    assert pulse([], ("live", ""), arrived, 5.25, 3.0, NOW).feed == "live"


def test_the_next_bar_is_late_a_little_after_the_longest_of_the_last_gaps() -> None:
    cadence = Cadence()
    assert cadence.late_s == 0.0
    for at in (0, 5.0, 10.0, 15.5, 20.0):
        cadence.heard(NOW + round(at * 1e9))
    assert cadence.late_s == pytest.approx(5.75)
    cadence.heard(NOW + 40 * 10**9)
    assert cadence.late_s == pytest.approx(7.5), "one long gap does not hide the next for a minute"
    cadence.heard(NOW + 40 * 10**9 + 1)
    assert cadence.last == NOW + 40 * 10**9, "contracts of one bar count once"


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


@pytest.mark.parametrize("token", ["0123456789abcdef", 'a;b,c"d\\e=f%20;;end!', "x" * 20 + "~;"])
def test_a_browser_that_brought_the_token_is_known_by_its_cookie(token: str) -> None:
    said: list[Any] = []
    inside: list[str] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads a body")

    async def app(scope: Any, *_: Any) -> None:
        inside.append(scope["path"])

    def ask(query: str = "", cookie: str | None = None) -> None:
        said.clear()
        headers = [] if cookie is None else [(b"cookie", cookie.encode("latin-1"))]
        scope = {"type": "http", "path": "/", "query_string": query.encode(), "headers": headers}
        with pytest.raises(StopIteration):
            Gate(app, token)(scope, receive, send).send(None)  # type: ignore[attr-defined]

    ask(urlencode({"token": token}))
    assert said[0]["status"] == 303
    given = dict(said[0]["headers"])[b"set-cookie"].decode().partition(";")[0]
    assert token not in given
    assert re.fullmatch(r"\w+=[0-9a-f]{64}", given)
    others = 'first; a="b; c[d]=\xe9; =x; e'
    for cookie in (given, f"{others}; {given}", f"{given};{others}"):
        ask(cookie=cookie)
        assert (said, inside) == ([], ["/"]), cookie
        inside.clear()
    name = given.partition("=")[0]
    for wrong in (None, "", others, f"{name}={token}", f"{name}=", given[:-1], f"x{given}"):
        ask(cookie=wrong)
        assert said[0]["status"] == 401, wrong
    assert not inside
