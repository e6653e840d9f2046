"""One contract's core of the streaming jobs: whatever the cut, what the local engine makes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spymaster.bus import Message, partition_of
from spymaster.contracts.stream import SUFFIX
from spymaster.engines.epoch import EpochLog, State, newest_state
from spymaster.engines.spark.contract_stream import ContractStream, facts_of, run_key
from spymaster.engines.spark.contract_turn import Turn
from spymaster.engines.spark.handover import Handed, to_local, to_spark
from spymaster.engines.spark.stream.chunks import from_chunks, to_chunks
from spymaster.engines.spark.stream.openings import Openings
from spymaster.engines.spark.stream_rows import COLUMNS, StreamRows
from spymaster.engines.stream.live_work import made_by
from spymaster.errors import LakeError, SourceError
from spymaster.feed.topic import Gap
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.market.clock import DAY_NS
from spymaster.settings import Settings
from tests.e2e.scenes import NS, SHORT, market, rows, short
from tests.live.streamed import TABLES, partitioned
from tests.parity.alone import LAYERS, Alone, total
from tests.parity.stream_table import BronzeCommits, feed_of, pieces, time_of
from tests.parity.topics import gap_messages, in_order, landed, live, topic_of

PARTITIONS = 3
#: 2024-01-09 14:30 and 14:40 UTC: the trigger window of the second session begins, and goes on.
OPENING, MIDDLE = 1_704_810_600 * NS, 1_704_811_200 * NS


def three(root: Path) -> Settings:
    return partitioned(short(root), PARTITIONS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("market")
    return market(out, 2, 2_000, SHORT, options=2, option_events_per_session=400)


@pytest.fixture(scope="module")
def topic(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    return in_order(topic_of(three(tmp_path_factory.mktemp("topic")), files))


@pytest.fixture(scope="module")
def day(topic: list[Message]) -> Callable[[], list[Message]]:
    """The topic, for Hypothesis, who prints what it is given."""
    return lambda: topic


@pytest.fixture(scope="module")
def known(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which files have landed, and nothing was made."""
    root = tmp_path_factory.mktemp("known")
    landed(three(root), files)
    return root


@pytest.fixture(scope="module")
def local(known: Path, topic: list[Message], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("local") / "root"
    shutil.copytree(known, root)
    live(three(root), topic)
    return root


def fresh(known: Path, root: Path) -> Settings:
    shutil.copytree(known, root)
    return three(root)


def alone(
    settings: Settings, messages: Sequence[Message], cuts: Sequence[int], at_once: int = 1
) -> Alone:
    """Commits of messages cut there, `at_once` of them a micro-batch."""
    engine = Alone(settings)
    commits = BronzeCommits(settings, engine.lake, PARTITIONS)
    cut = list(pieces(messages, cuts))
    for i, some in enumerate(cut, 1):
        commits.commit(some)
        if i % at_once == 0 or i == len(cut):
            engine.run()
    engine.finish()
    return engine


def equal(a: Path, b: Path) -> dict[str, int]:
    """Rows of every twin, which are the same facts in both."""
    counted = {}
    for name in TABLES:
        found = diff(Lake(a), Lake(b), name + SUFFIX)
        assert found.equal, str(found)
        counted[name] = found.rows[name + SUFFIX][0]
    assert all(counted.values()), counted
    return counted


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=8), at_once=st.sampled_from([1, 2, 5])
)
def test_rows_are_the_local_engines_however_commits_and_micro_batches_are_cut(
    cuts: list[int],
    at_once: int,
    known: Path,
    day: Callable[[], list[Message]],
    local: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root, topic = tmp_path_factory.mktemp("alone") / "root", day()
    engine = alone(fresh(known, root), topic, [c % len(topic) for c in cuts], at_once)
    counted = equal(local, root)
    print(len(cuts), "cuts,", engine.batches, "micro-batches,", sum(counted.values()), "rows")
    assert engine.ended == ["ES 2024-01-08", "ES 2024-01-09"]
    assert not total(engine.told, "late")
    assert not total(engine.told, "repeated")


def test_session_that_waits_for_the_one_before_finds_its_rows_in_the_state(
    known: Path, topic: list[Message], local: Path, tmp_path: Path
) -> None:
    engine = alone(fresh(known, tmp_path / "root"), topic, [])
    assert engine.batches == 2  # the second for those who were called, without a new row
    waits = {t["contract"]: t["waits"] for t in engine.told if "waits" in t}
    begun = [t for t in engine.told if "begun" in t]
    assert set(waits.values()) == {"none"}  # at last
    assert len(begun) == 2 * len(waits) == 8
    equal(local, tmp_path / "root")


def test_connection_that_repeats_records_brings_none_twice(
    known: Path, files: list[Path], topic: list[Message], local: Path, tmp_path: Path
) -> None:
    """The feed was lost, and the next connection begins with what the one before had brought."""
    again = topic_of(three(tmp_path / "again"), files[-2:], since=OPENING, land=False)
    again = [
        m._replace(headers={**m.headers, "batch_id": "again"}) if "batch_id" in m.headers else m
        for m in again
    ]
    twice = in_order([*topic, *again])
    root = tmp_path / "root"
    live(fresh(known, tmp_path / "live"), twice)
    engine = alone(fresh(known, root), twice, [len(topic) // 2], at_once=10)
    equal(tmp_path / "live", root)
    ended = [json.loads(json.dumps(t["ended"])) for t in engine.told if "ended" in t]
    duplicates = sum(t["counters"]["duplicates"] for t in ended)
    print(duplicates, "records came twice")
    assert duplicates > 100


@pytest.mark.parametrize("touching", [range(PARTITIONS), [0]], ids=["all", "one partition"])
def test_gap_spoils_the_books_it_touches_and_the_session_for_all(
    touching: Sequence[int], known: Path, topic: list[Message], tmp_path: Path
) -> None:
    where = next(i for i, m in enumerate(topic) if time_of(m)[0] >= MIDDLE)
    gap = Gap("GLBX.MDP3", MIDDLE - NS, MIDDLE, "the line was down")
    messages = in_order([*topic[:where], *gap_messages(gap, touching), *topic[where:]])
    live(fresh(known, tmp_path / "live"), messages, intent_records=2_000)
    cuts = [where - 30, where, where + 1, where + 40]
    engine = alone(fresh(known, tmp_path / "root"), messages, cuts)
    counted = equal(tmp_path / "live", tmp_path / "root")
    told = rows(tmp_path / "root", "silver.session_summary_stream")
    missing = Counter(str(r["session_date"]) for r in told if "was down" in (r["missing"] or ""))
    print(touching, missing, sum(counted.values()))
    assert missing == {"2024-01-09": 4}
    assert engine.ended == ["ES 2024-01-08", "ES 2024-01-09"]
    bars = rows(tmp_path / "root", "silver.bar_5s_stream", "valid", "contract_id", "bar_start")
    spoilt = {b["contract_id"] for b in bars if not b["valid"] and b["bar_start"] > MIDDLE}
    assert spoilt
    assert (len(spoilt) == 4) == (len(touching) == PARTITIONS)


def test_contract_whose_session_begins_behind_a_gap_is_not_warm(
    known: Path, topic: list[Message], tmp_path: Path
) -> None:
    """No row of its own tells it of the gap: the driver does, for the session as a whole."""
    silent = partition_of("ES.FUT.202406", PARTITIONS)
    day = DAY_NS * (MIDDLE // DAY_NS)
    kept = [m for m in topic if m.partition != silent or not day <= time_of(m)[0] < MIDDLE + NS]
    where = next(i for i, m in enumerate(kept) if time_of(m)[0] >= MIDDLE)
    gap = Gap("GLBX.MDP3", MIDDLE - NS, MIDDLE, "the line was down")
    told = gap_messages(gap, [p for p in range(PARTITIONS) if p != silent])
    messages = in_order([*kept[:where], *told, *kept[where:]])
    live(fresh(known, tmp_path / "live"), messages, intent_records=2_000)
    alone(fresh(known, tmp_path / "root"), messages, [where - 5, where + 2, where + 9])
    equal(tmp_path / "live", tmp_path / "root")
    bars = rows(tmp_path / "root", "silver.bar_5s_stream", "contract_id", "warm", "bar_start")
    second = [b for b in bars if b["bar_start"] > day]
    warm = {b["contract_id"] for b in second if b["warm"]}
    mine = {b["contract_id"] for b in second if partition_of(b["contract_id"], 3) == silent}
    print(len(second), "bars; warm:", sorted(warm), "behind the gap:", sorted(mine))
    assert mine
    assert warm
    assert not mine & warm


def test_rows_that_a_later_commit_repeats_are_dropped_and_counted(
    known: Path, topic: list[Message], local: Path, tmp_path: Path
) -> None:
    engine = Alone(fresh(known, tmp_path / "root"))
    commits = BronzeCommits(engine.settings, engine.lake, PARTITIONS)
    repeated = 0
    for some in pieces(topic, [60, 120, 180]):
        commits.commit(some)
        engine.run()
        before = engine.lake.version("bronze.stream")
        repeated += _again(engine.lake)
        engine.run()
        assert engine.lake.version("bronze.stream") == (before or 0) + 1
    engine.finish()
    assert total(engine.told, "repeated") == repeated > 5_000
    equal(local, tmp_path / "root")


def _again(lake: Lake) -> int:
    """Commit the records of the last commit once more; how many there are."""
    opened = lake.open("bronze.stream")
    log = Path(lake.uri("bronze.stream")) / "_delta_log" / f"{opened.version():020d}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    (told,) = [a["commitInfo"]["userMetadata"] for a in actions if "commitInfo" in a]
    new = {a["add"]["path"].rpartition("/")[2] for a in actions if "add" in a}
    writer, count = lake.writer("bronze.stream"), 0
    whole = pa.concat_tables(
        [
            pq.read_table(p, partitioning=None).append_column(
                "path", pa.array([p] * pq.read_metadata(p).num_rows)
            )
            for p in opened.file_uris()
            if p.rpartition("/")[2] in new
        ]
    )
    records = whole.filter(pc.is_valid(whole["action"]))
    for path in records["path"].unique().to_pylist():
        mine = records.filter(pc.equal(records["path"], path)).drop_columns(["path"])
        where = dict(part.split("=") for part in path.split("/") if "=" in part)
        writer.write(mine, where)
        count += mine.num_rows
    lake.append("bronze.stream", writer.close(), info={"userMetadata": told})
    return count


def test_order_of_rows_within_files_does_not_matter(
    known: Path, topic: list[Message], tmp_path: Path
) -> None:
    settings = fresh(known, tmp_path / "root")
    lake = Lake(settings.root)
    BronzeCommits(settings, lake, PARTITIONS).commit(topic)
    whole = lake.scan("bronze.stream", COLUMNS)
    name = "ES.FUT.202403"
    mine = whole.filter(pc.equal(whole["contract_id"], name)).combine_chunks()
    order = np.random.default_rng(7).permutation(mine.num_rows)
    (calm,) = mine.to_batches()
    (mixed,) = mine.take(pa.array(order)).combine_chunks().to_batches()
    a, b = StreamRows.read([(1, calm)]), StreamRows.read([(1, mixed)])
    print(len(a), "rows")
    assert a.table.equals(b.table)
    assert not a.table.equals(StreamRows.read([(2, mixed)]).table)
    halves = StreamRows.read([(2, calm.slice(500)), (1, calm.slice(0, 500))])
    assert halves.table["version"].to_pylist() == [1] * 500 + [2] * (len(a) - 500)


def test_chunks_come_back_as_they_went(known: Path, topic: list[Message], tmp_path: Path) -> None:
    """Order ids past 2**53, nulls and all; a chunk is of one contract and one file."""
    settings = fresh(known, tmp_path / "root")
    lake = Lake(settings.root)
    BronzeCommits(settings, lake, PARTITIONS).commit(topic[:80])
    whole = lake.scan("bronze.stream", COLUMNS)
    ids = whole["order_id"].to_numpy(zero_copy_only=False).copy()
    whole = whole.set_column(
        whole.schema.get_field_index("order_id"),
        "order_id",
        pa.array(np.where(np.isnan(ids), 0, 2**62 + 1).astype(np.int64)),
    )
    files = pa.array([f"file:///lake/a=b/part-{i % 2}.parquet" for i in range(whole.num_rows)])
    (rows_in,) = whole.append_column("file", files).combine_chunks().to_batches()
    chunks = [c for batch in to_chunks(iter([rows_in])) for c in batch.to_pylist()]
    names = {c["contract_id"] for c in chunks}
    assert len(chunks) == 2 * len(names) > 2
    versions = {"part-0.parquet": 5, "part-1.parquet": 6}
    found = list(from_chunks([(c["file"], c["body"]) for c in chunks], versions))
    assert {v for v, _ in found} == {5, 6}
    back = pa.Table.from_batches([b for _, b in found])
    keys = [(n, "ascending") for n in ("contract_id", "topic_partition", "topic_offset", "ts_recv",
            "event_index", "is_snapshot", "payload")]  # fmt: skip
    assert back.sort_by(keys).equals(pa.Table.from_batches([rows_in]).select(COLUMNS).sort_by(keys))
    with pytest.raises(SourceError, match=r"part-1\.parquet was read, and no commit"):
        list(from_chunks([(c["file"], c["body"]) for c in chunks], {"part-0.parquet": 5}))


def test_records_that_nobody_has_named_and_states_of_other_programs_are_refused(
    known: Path, topic: list[Message], tmp_path: Path
) -> None:
    settings = fresh(known, tmp_path / "root")
    lake = Lake(settings.root)
    BronzeCommits(settings, lake, PARTITIONS).commit(topic[:80])
    whole = lake.scan("bronze.stream", COLUMNS)
    name = "ES.FUT.202403"
    mine = whole.filter(pc.and_(pc.equal(whole["contract_id"], name), pc.is_valid(whole["action"])))
    chunks = [(3, b) for b in mine.to_batches()]
    with pytest.raises(SourceError, match=f"version 3: records of {name}, and no row tells"):
        run_key(settings, LAYERS, name, None, Turn(), chunks)
    with pytest.raises(ValueError, match="no state at all"):
        run_key(settings, LAYERS, name, b"of another time", Turn(), [])
    pieces_, state = run_key(settings, LAYERS, name, None, Turn(), [])
    assert facts_of(pieces_, "contract") == []
    stream = ContractStream(settings, LAYERS, name)
    stream.restore(state)
    assert stream.to_bytes() == state


def half(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """A topic in two, in the middle of its second session."""
    where = next(i for i, m in enumerate(messages) if time_of(m)[0] >= MIDDLE)
    return list(messages[:where]), list(messages[where:])


def test_session_that_the_local_engine_began_is_ended_contract_by_contract(
    known: Path, topic: list[Message], local: Path, tmp_path: Path
) -> None:
    first, second = half(topic)
    config = fresh(known, tmp_path / "root")
    live(config, first)
    state = newest_state(Path(config.root) / "lake/checkpoints/live/0")
    assert state is not None
    offsets = {int(p): int(o) for p, o in state.facts["offsets"].items()}
    engine = Alone(config)
    version = engine.lake.version("bronze.stream")
    assert version is not None
    handed = to_spark(config, engine.lake, state.data, offsets, version, {})
    sizes = {contract: len(data) for contract, data in handed.states.items()}
    print(sizes)
    assert len(sizes) == 4
    assert max(sizes.values()) > 50_000
    engine.states, engine.openings = dict(handed.states), json.dumps(handed.openings)
    commits = BronzeCommits(config, engine.lake, PARTITIONS)
    commits.go_on(feed_of(state.data), offsets)
    for some in pieces(second, [40]):
        commits.commit(some)
        engine.run()
    engine.finish()
    assert engine.ended == ["ES 2024-01-09"]
    equal(local, tmp_path / "root")


def test_session_that_began_contract_by_contract_is_ended_by_the_local_engine(
    known: Path, topic: list[Message], local: Path, tmp_path: Path
) -> None:
    first, _ = half(topic)
    config = fresh(known, tmp_path / "root")
    engine = Alone(config)
    commits = BronzeCommits(config, engine.lake, PARTITIONS)
    for some in pieces(first, [len(first) // 2]):
        commits.commit(some)
        engine.run()
    engine.finish()
    handed = Handed(engine.states, json.loads(engine.openings))
    data = to_local(config, handed, commits.feed)
    log = EpochLog(Path(config.root) / "lake/checkpoints/live/0", lambda: None)
    facts = {"offsets": commits.offsets, "made_by": made_by(config)}
    log.save(State(0, 0, facts, data))
    log.close()
    live(config, topic)
    assert engine.ended == ["ES 2024-01-08"]
    equal(local, tmp_path / "root")


def test_handover_waits_for_a_session_that_waits(
    known: Path, topic: list[Message], tmp_path: Path
) -> None:
    config = fresh(known, tmp_path / "root")
    handed = Handed({}, Openings(config, Lake(config.root)).to_json())
    handed.openings["waiting"] = {"ES.FUT.202403": ["ES", "2024-01-09"]}
    with pytest.raises(LakeError, match=r"ES\.FUT\.202403 for ES 2024-01-09 waits"):
        to_local(config, handed, {"contracts": []})
