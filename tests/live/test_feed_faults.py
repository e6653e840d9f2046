"""What goes wrong with a feed, through the whole live way: the tables and the certificate after it.

Each fault of the gateway meets the official client, the ingestor, the bus and the engine. What can
be asked for again leaves no trace but in counters; what cannot is a gap, and said to be one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spymaster.bus import open_bus
from spymaster.contracts.event import BAR_NS, F_SNAPSHOT
from spymaster.contracts.stream import SUFFIX
from spymaster.engines.parity import certify
from spymaster.engines.stream.live import LiveEngine
from spymaster.errors import SourceError
from spymaster.feed.dbn_definitions import read_definitions
from spymaster.feed.gateway import Gateway, parse_fault
from spymaster.feed.ingest.process import ingest
from spymaster.feed.ingest.status import Told
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.e2e.scenes import NS, SHORT, market, mbo, records, rewrite, rows, short
from tests.live.scenes_live import KEY, assert_same, expected, live_settings, read_topic
from tests.live.streamed import TABLES, once, streams_differ

CME = "GLBX.MDP3"
EVE, DAY = date(2024, 1, 8), date(2024, 1, 9)  #: two sessions; the files' events are of the second
MIDDLE = 1_704_810_900 * NS  #: 14:35 UTC, five minutes into the trigger window


@dataclass(frozen=True)
class Market:
    """A session's files; how many records the gateway sends before its middle, and within the first
    market snapshot.
    """

    files: list[Path]
    before: int
    in_snapshot: int


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A session of two futures in which an order is unknown and the clock runs backwards."""
    files = market(tmp_path_factory.mktemp("m"), 1, 2_000, SHORT, first=DAY, lost_last_share=0.002)
    day = mbo("mbo", files)[-1]
    whole = records(day)
    live = np.flatnonzero((whole["flags"] & F_SNAPSHOT == 0) & (whole["ts_recv"] > MIDDLE))
    whole["ts_recv"][live[[40, 400]]] -= NS // 5
    cancelled = live[whole["action"][live] == ord("C")]
    whole["order_id"][cancelled[[10, 90]]] = 2**40
    rewrite(day, day, whole)
    told = sum(1 for path in mbo("definition", files) for _ in read_definitions(path))
    earlier = sum(len(records(path)) for path in mbo("mbo", files)[:-1])
    return Market(files, told + earlier + int(live[20]), told + 7)


@dataclass(frozen=True)
class Streamed:
    """A root after a feed: what the ingestor and the engine said of it."""

    settings: Settings
    told: Told
    late: int

    @property
    def root(self) -> Path:
        return Path(self.settings.root)

    @property
    def counters(self) -> dict[str, Any]:
        """What the session's lineage counts."""
        (row,) = rows(self.root, "lineage_stream", "counters", session_date=DAY)
        return dict(json.loads(row["counters"]))


def stream(
    root: Path, market: Market, *faults: str, fails: str = "", starts: int = 1, **how: Any
) -> Streamed:
    """Play the files with these faults; stream what comes.

    fails: what the ingestor's first start ends with. starts: how often it is started then; more
    than once where the gateway ends in order, after which no connection follows by itself.
    """
    script = [parse_fault(text) for text in faults]
    gateway = {"at_end": "close", "key": KEY, "faults": script, **how.pop("gateway", {})}
    with Gateway(market.files, **gateway) as played, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABENTO_API_KEY", KEY)
        settings = live_settings(root, short(root), played.port, partitions=2, **how)
        if fails:
            with pytest.raises(SourceError, match=fails):
                ingest(settings, once=True)
        told = [ingest(settings, once=True)[0] for _ in range(starts)][-1]
    with open_bus(settings) as bus:
        engine = LiveEngine(settings, bus, quiet_s=0.2, intent_records=500)
        engine.run()
        return Streamed(settings, told, engine.status()["late"])


@pytest.fixture(scope="module")
def calm(played: Market, tmp_path_factory: pytest.TempPathFactory) -> Streamed:
    """The same market without any fault."""
    made = stream(tmp_path_factory.mktemp("calm") / "root", played)
    assert (made.told.connections, made.counters["duplicates"], made.late) == (1, 0, 0)
    for name in TABLES:
        assert Lake(made.root).count(name + SUFFIX) > 0, name
    return made


def green(made: Streamed) -> None:
    certificate = certify(made.settings, "ES", DAY)
    assert certificate.equal, "\n".join(certificate.lines())
    assert certificate.row["vectors"] > 20


@dataclass(frozen=True)
class Case:
    """A fault that loses nothing: its script, how it is met, what the counters say after it.

    `{n}` stands for the session's middle. again: records come again; late: some below a mark.
    """

    script: tuple[str, ...]
    how: Mapping[str, Any] = field(default_factory=dict)
    connections: int = 2
    again: bool = True
    late: bool = False


CASES = {
    "reset in mid-record": Case(("reset:{n}",)),
    "half a record, then silence": Case(("half-record:{n}",)),
    "stall": Case(("stall:{n}",)),
    "an error message": Case(("error:{n}",)),
    "an orderly end": Case(("close:{n}",), {"starts": 2}, connections=1),
    "silence from the start": Case(("silence",), {"first_record_s": 2.0}, again=False),
    "a refused key": Case(
        ("bad-key",), {"fails": "does not let this key in"}, connections=1, again=False
    ),
    "duplicates after a reconnect": Case(("reset:{n}", "duplicates:120@2"), late=True),
    "a slow reader that is warned": Case(("slow:{n}:0",), connections=1, again=False),
    "a slow reader that loses records": Case(("slow:{n}:300",), {"slow_reader_behavior": "skip"}),
    "one after the other": Case(
        ("reset:{n}", "error:9@2", "reset:120@3", "close:40@4"), {"starts": 2}, connections=1
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_that_loses_nothing_leaves_no_trace_but_in_counters(
    name: str, played: Market, calm: Streamed, tmp_path: Path
) -> None:
    case = CASES[name]
    script = [text.format(n=played.before) for text in case.script]
    made = stream(tmp_path / "root", played, *script, **case.how)
    print(made.told.counts, made.counters, made.late)
    assert made.told.connections >= case.connections
    whole = expected(made.settings, CME, mbo("mbo", played.files), mbo("definition", played.files))
    assert_same(read_topic(made.settings).rows, whole)
    found = streams_differ(calm.root, made.root)
    assert found.equal, str(found)
    green(made)
    topic, again = once(made.root)
    assert diff(once(calm.root)[0], topic, "bronze.stream").equal
    assert again == made.counters["duplicates"]
    assert (again > 0) == case.again
    assert made.late >= 30 if case.late else made.late <= again
    assert {**made.counters, "duplicates": 0} == calm.counters
    assert not rows(made.root, "bronze.gaps")
    assert not rows(made.root, "bronze.quarantine")


def test_what_is_odd_in_a_feed_is_counted_in_the_bars_where_it_lies(calm: Streamed) -> None:
    names = ("backwards", "unknown", "crossed", "lost_last")
    bars = rows(calm.root, "silver.bar_5s_stream", "bar_start", *(f"n_{n}" for n in names))
    for name in names:
        told = [b["bar_start"] for b in bars if b[f"n_{name}"]]
        assert sum(b[f"n_{name}"] for b in bars) == calm.counters[name] > 0, name
        assert min(told) >= MIDDLE - 5 * NS or name in ("crossed", "lost_last")
    assert (calm.counters["backwards"], calm.counters["unknown"]) == (2, 2)
    odd = [r for r in rows(calm.root, "bronze.stream", "ts_recv", "payload") if r["payload"]]
    before = [
        json.loads(r["payload"])["ts_recv"] - r["ts_recv"] for r in odd if len(r["payload"]) > 2
    ]
    assert len(before) == 2
    assert all(-NS // 5 <= ns < 0 for ns in before)


def test_an_instrument_with_another_number_is_the_same_contract(
    played: Market, calm: Streamed, tmp_path: Path
) -> None:
    made = stream(tmp_path / "root", played, f"remap:{played.before}")
    found = streams_differ(calm.root, made.root)
    assert found.equal, str(found)
    green(made)
    numbers = {
        r["instrument_id"]: r["contract_id"]
        for r in rows(made.root, "bronze.stream", "instrument_id", "contract_id", "action")
        if r["action"]
    }
    assert (len(numbers), len(set(numbers.values()))) == (3, 2)
    # A number's records of one ts_recv are counted anew when the number is.
    new = ["instrument_id", "event_index"]
    a, b = (once(root)[0] for root in (calm.root, made.root))
    for name in new:
        b = b.set_column(b.column_names.index(name), b.field(name), a[name])
    assert diff(a, b, "bronze.stream").equal
    assert made.counters == calm.counters


def test_a_replay_that_has_aged_out_is_a_gap_from_there_on(
    played: Market, calm: Streamed, tmp_path: Path
) -> None:
    made = stream(
        tmp_path / "root", played, f"reset:{played.before}", gateway={"replay_hours": 0.0}
    )
    green(made)
    (row,) = rows(made.root, "bronze.gaps")
    read = read_topic(made.settings)
    for partition in (0, 1):
        (gap,) = read.gaps[partition]
        told = (row["from_ts"], row["to_ts"], row["reason"])
        assert (gap.from_ts, gap.to_ts, gap.reason) == told
    after = next(b for _, b in read.batches if b.batch_id == row["batch_id"])
    assert (after.columns.ts_recv[0], after.columns.is_snapshot[0]) == (row["to_ts"], True)
    # Up to the gap every fact is what it was; its own bar is of no contract valid.
    bar = row["from_ts"] // BAR_NS * BAR_NS
    for name in ("silver.bar_5s", "silver.level_book", "gold.feature_series"):
        where = {"bar_start": (0, bar)}
        found = diff(Lake(calm.root), Lake(made.root), name + SUFFIX, where=where)
        assert found.equal, str(found)
        assert sum(a for a, _ in found.rows.values()) > 0
    bars = rows(made.root, "silver.bar_5s_stream", "valid", "warm", bar_start=bar)
    assert [(b["valid"], b["warm"]) for b in bars] == [(False, True)] * 2
    later = rows(made.root, "silver.bar_5s_stream", "valid", bar_start=bar + BAR_NS)
    assert [b["valid"] for b in later] == [True] * 2
    vectors = "gold.setup_vectors_stream"
    assert not rows(made.root, vectors, "vector_time", vector_time=bar + BAR_NS)
    assert rows(calm.root, vectors, "vector_time", vector_time=bar + BAR_NS)
    for told in rows(made.root, "silver.session_summary_stream", session_date=DAY):
        assert not told["complete"]
        assert row["reason"] in told["missing"]
    assert made.counters["missing"] == row["reason"]
    assert made.counters["invalid"] > calm.counters["invalid"]


def test_a_connection_that_ends_inside_a_market_snapshot_leaves_an_incomplete_session(
    played: Market, calm: Streamed, tmp_path: Path
) -> None:
    """The one whose book it was; the next one has a snapshot of its own."""
    made = stream(tmp_path / "root", played, f"reset:{played.in_snapshot}")
    reason = "the connection ended inside a market snapshot"
    assert [r["reason"] for r in rows(made.root, "bronze.gaps")] == [reason]
    for day, missing in ((EVE, reason), (DAY, None)):
        told = rows(made.root, "silver.session_summary_stream", session_date=day)
        assert [(r["complete"], r["missing"]) for r in told] == [(missing is None, missing)] * 2
        certificate = certify(made.settings, "ES", day)
        assert certificate.equal, "\n".join(certificate.lines())
    found = diff(
        Lake(calm.root), Lake(made.root), "gold.setup_vectors_stream", where={"session_date": DAY}
    )
    assert found.equal, str(found)


def test_records_left_out_in_silence_show_as_unknown_orders_and_crossed_books(
    played: Market, calm: Streamed, tmp_path: Path
) -> None:
    """Nobody can see them missing: the certificate is of what came."""
    made = stream(tmp_path / "root", played, f"gap:{played.before}:60")
    green(made)
    assert made.told.counts.records == calm.told.counts.records - 60
    assert not rows(made.root, "bronze.gaps")
    found = diff(once(calm.root)[0], once(made.root)[0], "bronze.stream")
    assert (found.tables["bronze.stream"].only_a, found.tables["bronze.stream"].only_b) == (60, 0)
    for name in ("unknown", "crossed"):
        assert made.counters[name] > calm.counters[name], name
