"""The ingestor with the official client and the replay gateway: the files are in the topic."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from spymaster.errors import SourceError
from spymaster.feed.capture_name import captured_batch
from spymaster.feed.gateway import Fault, Gateway
from spymaster.feed.ingest.boundary import next_boundary
from spymaster.feed.ingest.process import ingest
from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.lake.manifest import Manifest
from spymaster.settings import Settings
from tests.e2e.scenes import SHORT, evening, market, mbo, records, rewrite, rows, run, short
from tests.live.scenes_live import (
    FACTS,
    KEY,
    Read,
    assert_same,
    expected,
    live_settings,
    read_topic,
    status_of,
)
from tests.real_data import es_mbo

CME, NASDAQ = "GLBX.MDP3", "XNAS.ITCH"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sessions of two futures."""
    return market(
        tmp_path_factory.mktemp("m"),
        sessions=2,
        events=12_000,
        windows=SHORT,
        first=date(2024, 1, 9),
        contracts=2,
    )


def wanted(settings: Settings, files: list[Path]) -> dict[str, list[tuple[object, ...]]]:
    return expected(settings, CME, mbo("mbo", files), mbo("definition", files))


def played(root: Path, files: list[Path], *faults: Fault, **feed: object) -> tuple[Settings, Read]:
    """A gateway plays the files to an ingestor until it closes in order."""
    with Gateway(files, at_end="close", key=KEY, faults=faults) as gateway:
        settings = live_settings(root, short(root), gateway.port, **feed)
        ingest(settings, CME, once=True)
    return settings, read_topic(settings)


def test_real_evening_comes_through_the_topic_record_by_record(tmp_path: Path) -> None:
    days = [es_mbo("20231224"), es_mbo("20231225")]
    with Gateway(days, at_end="close", key=KEY) as gateway:
        settings = live_settings(tmp_path, evening(tmp_path), gateway.port)
        (told,) = ingest(settings, CME, once=True)
    read = read_topic(settings)
    want = expected(settings, CME, days, mapped=read.instruments)
    count = assert_same(read.rows, want)
    print(count, read.dropped, told)
    # Past midnight the second capture repeats one record, the first one's mark.
    assert (count, read.dropped, told.counts.captures) == (77_517, 1, 2)
    last = max(batch.columns.ts_recv.max() for _, batch in read.batches)
    assert read.marks[0][-1].ts_recv == last
    times = [m.ts_recv for m in read.marks[0]]
    assert times == sorted(times)
    assert rows(tmp_path, "bronze.quarantine") == []
    state = status_of(settings, CME)
    print(state)
    assert (state["state"], state["records"], state["refused"]) == ("stopped", 77_518, 0)


def test_history_of_the_captures_is_history_of_the_files(tmp_path: Path) -> None:
    days = [es_mbo("20231224"), es_mbo("20231225")]
    root, other = tmp_path / "live", tmp_path / "files"
    with Gateway(days, at_end="close", key=KEY) as gateway:
        ingest(live_settings(root, evening(root), gateway.port), CME, once=True)
    captures = Manifest(Lake(root)).rows()
    assert [row["path"].split("/")[3] for row in captures.values()] == ["20231224", "20231225"]
    assert all(captured_batch(path) == row["batch_id"] for path, row in captures.items())
    run(evening(root))
    run(evening(other), days)
    compared = 0
    for table in Lake(other).existing():
        if table.split(".")[0] in ("silver", "gold"):
            found = diff(root, other, table)
            print(found)
            assert found.equal, table
            compared += 1
    assert compared >= 12
    assert len(rows(root, "gold.setup_vectors")) == 75


def test_two_days_captured_are_two_days_of_files_also_where_records_are_refused(
    files: list[Path], tmp_path: Path
) -> None:
    """Captures end at midnight and at the sessions' ends; what is refused is told once."""
    days = []
    for day in mbo("mbo", files):
        found = records(day)
        found["price"][1500::4000] += 1  # no multiple of the step
        days.append(rewrite(day, tmp_path / day.name, found))
    given = [*mbo("definition", files), *days]
    root, other = tmp_path / "live", tmp_path / "files"
    settings, _ = played(root, given, partitions=2)
    refused = rows(root, "bronze.quarantine")
    captures = sorted(Manifest(Lake(root)).rows().values(), key=lambda r: int(r["start"]))
    print(len(refused), [(r["path"].split("/")[3], r["instrument_types"]) for r in captures])
    assert len(captures) == 6
    for row in captures[:-1]:
        times = records(root / row["path"])["ts_recv"]
        end = next_boundary({"ES": settings.of("ES")}, int(row["start"]))
        assert times[-1] >= end > times[times < times[-1]][-1]
    report = run(short(root))
    assert sum(f.refused for f in report.files) == len(refused) > 5
    # History wrote them down once more nowhere: it found them.
    assert rows(root, "bronze.quarantine") == refused
    for row in refused:
        held = records(root / row["source"])
        assert row["raw"] in {r.tobytes().hex() for r in held[held["price"] % 2 == 1]}
    run(short(other), given)
    for table in Lake(other).existing():
        if table.split(".")[0] in ("silver", "gold"):
            found_ = diff(root, other, table)
            print(found_)
            assert found_.equal, table
    assert len({r["session_date"] for r in rows(other, "silver.bar_5s")}) == 3


def test_many_partitions_and_contracts(files: list[Path], tmp_path: Path) -> None:
    settings, read = played(tmp_path, files, partitions=5)
    count = assert_same(read.rows, wanted(settings, files))
    print(count, {p: len(m) for p, m in read.marks.items()}, sorted(read.rows))
    assert len(read.rows) == 2
    # Every partition hears the same clock.
    assert len({tuple(m.ts_recv for m in marks) for marks in read.marks.values()}) == 1
    assert sorted(read.marks) == [0, 1, 2, 3, 4]


def test_two_venues_in_one_process(files: list[Path], tmp_path: Path) -> None:
    config = SimulationConfig(
        underlier="TSLA",
        first_session=date(2024, 1, 9),
        sessions=1,
        events_per_session=8_000,
        windows=SHORT,
        touch_ticks=20,
        barrier_ticks=150,
    )
    tsla = simulate(config, tmp_path / "tsla").files
    plain = short(tmp_path / "root").model_dump(mode="json")
    plain["underlier"]["TSLA"] = {
        **Settings().underlier["TSLA"].model_dump(mode="json"),
        "windows": plain["underlier"]["ES"]["windows"],
    }
    with Gateway([*files, *tsla], at_end="close", key=KEY) as gateway:
        both = Settings.model_validate(plain)
        settings = live_settings(tmp_path / "root", both, gateway.port, partitions=3)
        told = ingest(settings, once=True)
    read = read_topic(settings)
    want = wanted(settings, files)
    want |= expected(settings, NASDAQ, mbo("mbo", tsla), mbo("definition", tsla))
    print(assert_same(read.rows, want), told)
    assert {t.dataset for t in told} == {CME, NASDAQ}
    assert {m.venue for m in read.marks[0]} == {CME, NASDAQ}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", 9_000),
        Fault("half-record", 9_000),
        Fault("stall", 9_000),
        Fault("error", 9_000),
        Fault("close", 9_000),
        Fault("silence"),
    ],
    ids=lambda fault: fault.kind,
)
def test_connection_that_breaks_is_taken_up_without_loss(
    fault: Fault, files: list[Path], tmp_path: Path
) -> None:
    """After the records of the fault the next connection asks for the last group again."""
    if fault.kind == "close":
        with Gateway(files, key=KEY, faults=[fault]) as gateway:
            settings = live_settings(tmp_path, short(tmp_path), gateway.port)
            read = until(settings, sum(map(len, wanted(settings, files).values())))
    else:
        settings, read = played(tmp_path, files, fault)
    count = assert_same(read.rows, wanted(settings, files))
    state = status_of(settings, CME)
    print(count, read.dropped, state["connections"], state["last_error"])
    assert state["connections"] == 2
    assert read.gaps == {}
    # Two midnights, a record repeated at each; the rest came again with the replay.
    assert (read.dropped > 2) == (fault.kind != "silence")


def until(settings: Settings, count: int) -> Read:
    """An ingestor in a thread until the topic has so many records."""
    import threading
    import time

    from spymaster.feed.ingest.key import api_key
    from spymaster.feed.ingest.process import feeds
    from spymaster.feed.ingest.supervisor import Supervisor

    stop = threading.Event()
    symbols = feeds(settings, CME)[CME]
    lake = Lake(settings.root, tag="x")
    one = Supervisor(CME, symbols, settings, lake, api_key(settings.feed), once=False, stop=stop)
    thread = threading.Thread(target=one.run)
    thread.start()
    end = time.monotonic() + 60
    while one.told.counts.published < count and time.monotonic() < end and thread.is_alive():
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert one.error is None
    from spymaster.feed.ingest.status import Status

    Status(Path(settings.root), 0, [one.told]).write(1)
    return read_topic(settings)


def test_duplicates_after_a_reconnect_are_dropped_by_their_identity(
    files: list[Path], tmp_path: Path
) -> None:
    faults = (Fault("reset", 9_000), Fault("duplicates", 30, connection=2))
    settings, read = played(tmp_path, files, *faults)
    print(assert_same(read.rows, wanted(settings, files)), read.dropped)
    # Of the quiet night thirty seconds are more than the one second of a replay alone.
    assert read.dropped > 30


def test_skipped_records_are_asked_for_again(files: list[Path], tmp_path: Path) -> None:
    settings, read = played(tmp_path, files, Fault("slow", 9_000, 500), slow_reader_behavior="skip")
    print(assert_same(read.rows, wanted(settings, files)), read.dropped)
    assert status_of(settings, CME)["connections"] == 2


def test_slow_reader_warning_ends_nothing(files: list[Path], tmp_path: Path) -> None:
    settings, read = played(tmp_path, files, Fault("slow", 9_000))
    assert_same(read.rows, wanted(settings, files))
    assert status_of(settings, CME)["connections"] == 1


def test_remapped_number_is_the_same_contract_live_and_in_history(
    files: list[Path], tmp_path: Path
) -> None:
    settings, read = played(tmp_path / "live", files, Fault("remap", 9_000))
    want = wanted(settings, files)
    index, number = FACTS.index("event_index"), FACTS.index("instrument_id")
    for name in want:
        assert len(read.rows[name]) == len(want[name])
        for ours, theirs in zip(read.rows[name], want[name], strict=True):
            # A number's records of one ts_recv are counted anew when the number is.
            same = [n for n in range(len(ours)) if n not in (index, number)]
            assert [ours[n] for n in same] == [theirs[n] for n in same]
    numbers = {r[number] for rows_ in read.rows.values() for r in rows_}
    assert len(numbers) == 3
    assert rows(tmp_path / "live", "bronze.quarantine") == []
    run(short(tmp_path / "live"))
    history: dict[str, int] = {}
    for row in rows(tmp_path / "live", "bronze.mbo", "contract_id", "instrument_id"):
        assert row["instrument_id"] in numbers
        history[row["contract_id"]] = history.get(row["contract_id"], 0) + 1
    print(history, {n: len(r) for n, r in read.rows.items()})
    repeated = read.dropped
    assert sum(history.values()) == read.records + repeated


def test_replay_that_has_aged_out_is_a_gap_and_a_market_snapshot(
    files: list[Path], tmp_path: Path
) -> None:
    with Gateway(
        files, at_end="close", key=KEY, faults=[Fault("reset", 9_000)], replay_hours=0.0
    ) as gateway:
        settings = live_settings(tmp_path, short(tmp_path), gateway.port, partitions=2)
        ingest(settings, CME, once=True)
    read = read_topic(settings)
    (row,) = rows(tmp_path, "bronze.gaps")
    print(row, read.gaps)
    assert [len(read.gaps[p]) for p in (0, 1)] == [1, 1]
    gap = read.gaps[0][0]
    assert (gap.from_ts, gap.to_ts, gap.reason) == (row["from_ts"], row["to_ts"], row["reason"])
    newest = max(Manifest(Lake(tmp_path)).rows().values(), key=lambda r: r["start"])
    batches = {b.batch_id for _, b in read.batches}
    assert row["batch_id"] in batches
    assert gap.from_ts <= gap.to_ts <= newest["start"]
    first_after = next(b for _, b in read.batches if b.batch_id == row["batch_id"])
    assert first_after.columns.ts_recv[0] == gap.to_ts
    assert first_after.columns.is_snapshot[0]
    report = run(short(tmp_path))
    missing = [s.missing for s in report.sessions]
    print(missing)
    assert any(m is not None and gap.reason in m for m in missing)


def test_bad_key_is_told_at_once_and_never_shown(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", "db-some-other-key")
    with Gateway(files, key=KEY) as gateway, pytest.raises(SourceError) as caught:
        ingest(live_settings(tmp_path, short(tmp_path), gateway.port), CME)
    print(caught.value)
    assert "does not let this key in" in str(caught.value)
    assert "some-other" not in str(caught.value)
    monkeypatch.delenv("DATABENTO_API_KEY")
    with pytest.raises(SourceError, match="DATABENTO_API_KEY holds no key"):
        ingest(live_settings(tmp_path, short(tmp_path), 1), CME)
