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
from spymaster.market.clock import DAY_NS
from spymaster.settings import Settings
from tests.e2e.scenes import SHORT, evening, market, mbo, records, rewrite, rows, run, short
from tests.live.scenes_live import (
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
    assert (count, read.dropped, told.counts.captures) == (77_517, 0, 2)
    last = max(batch.columns.ts_recv.max() for _, batch in read.batches)
    assert read.marks[0][-1].ts_recv == last
    times = [m.ts_recv for m in read.marks[0]]
    assert times == sorted(times)
    assert rows(tmp_path, "bronze.quarantine") == []
    state = status_of(settings, CME)
    print(state)
    assert (state["state"], state["records"], state["refused"]) == ("stopped", 77_517, 0)


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
        if end % DAY_NS == 0:  # as the vendor cuts days
            assert end - DAY_NS <= times[0] < times[-1] < end
        else:
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
