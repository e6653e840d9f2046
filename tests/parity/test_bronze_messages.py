"""The bronze job's work without Spark: wherever the topic is cut, it says what the feed says."""

from __future__ import annotations

import json
import random
from typing import Any

import pyarrow as pa
import pytest

from spymaster.bus import Message, open_bus, partition_of
from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.spark.staged import FACT
from spymaster.engines.spark.stream.controls import Controls
from spymaster.engines.spark.stream.known import Known, News
from spymaster.engines.spark.stream.messages import QUARANTINE, READ, STREAM, messages_task
from spymaster.engines.stream.feed import TopicFeed
from spymaster.errors import LakeError
from spymaster.feed.topic import TOPIC, encode
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.market.identify import Instrument
from spymaster.settings import Settings
from tests.live.streamed import partitioned
from tests.parity.bronze_topic import files, local, messages, prepared, publish

PARTITIONS = 3


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[int, list[Message]]]:
    """A topic of three partitions that the local engine has read."""
    folder = tmp_path_factory.mktemp("topic")
    found = partitioned(prepared(folder / "root"), PARTITIONS)
    publish(found, files(folder / "market"))
    local(found)
    with open_bus(found) as bus:
        return found, {p: messages(bus, p) for p in range(PARTITIONS)}


def as_read(given: list[Message]) -> pa.RecordBatch:
    """Messages as Spark gives them to a task."""
    headers = [[{"key": k, "value": v.encode()} for k, v in m.headers.items()] for m in given]
    kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
    return pa.RecordBatch.from_arrays(
        [
            pa.array([m.partition for m in given], pa.int32()),
            pa.array([m.offset for m in given], pa.int64()),
            pa.array([m.value for m in given], pa.binary()),
            pa.array([h or None for h in headers], kind),
        ],
        ["partition", "offset", "value", "headers"],
    )


class Bronze:
    """The job's steps, a micro-batch at a time; its state goes through bytes each time."""

    def __init__(self, settings: Settings, state: bytes | None = None) -> None:
        self.underliers = settings.underlier
        self.state = state or Known(dict.fromkeys(range(PARTITIONS), 0)).to_bytes()
        self.rows: list[pa.Table] = []
        self.refused = 0

    def take(self, parts: dict[int, list[Message]], at_once: int = 7) -> News:
        known = Known.from_bytes(self.state)
        facts = []
        for part in parts.values():
            if not part:
                continue
            task = messages_task(lambda: known.feed, known.offsets, self.underliers, {})
            cut = (as_read(part[i : i + at_once]) for i in range(0, len(part), at_once))
            for made in task(cut):
                facts += self._keep(made)
        news = known.take(facts)
        controls = Controls(known, news, self.underliers)
        self.rows += [_table(piece.body) for _, piece in controls.pieces()]
        known.over(controls.marked)
        self.state = known.to_bytes()
        return news

    def _keep(self, made: pa.RecordBatch) -> list[dict[str, Any]]:
        facts = []
        for name, body in zip(made["name"].to_pylist(), made["body"].to_pylist(), strict=True):
            if name == STREAM:
                self.rows.append(_table(body))
            elif name == QUARANTINE:
                self.refused += _table(body).num_rows
            elif name == FACT + READ:
                facts.append(json.loads(body))
        return facts

    @property
    def stream(self) -> pa.Table:
        schema = pa.schema([f.with_nullable(True) for f in arrow_schema(TABLES[STREAM])])
        found = [t.select(schema.names).cast(schema) for t in self.rows]
        return pa.concat_tables(found)


def _table(body: Any) -> pa.Table:
    with pa.ipc.open_stream(body) as stream:
        return stream.read_all()


def settled(state: dict[str, Any]) -> dict[str, Any]:
    """A feed's state whatever the order in which it was learnt."""
    told = json.loads(json.dumps(state))
    told["contracts"] = sorted(told["contracts"], key=lambda r: r["contract_id"])
    for name in ("connection", "marks"):
        told[name] = sorted(told[name])
    told.pop("counts")  # what is late is counted beside the marks that the task knew of
    return told


@pytest.mark.parametrize("seed", range(4))
def test_any_cut_of_the_topic_gives_the_same_rows_and_the_same_state(
    topic: tuple[Settings, dict[int, list[Message]]], seed: int
) -> None:
    found, parts = topic
    draw = random.Random(seed)
    cuts = {p: sorted(draw.randint(0, len(part)) for _ in range(3)) for p, part in parts.items()}
    bronze = Bronze(found)
    ends = {p: [0, *cuts[p], len(part)] for p, part in parts.items()}
    brought = []
    for i in range(4):
        given = {p: part[ends[p][i] : ends[p][i + 1]] for p, part in parts.items()}
        if any(given.values()):
            brought.append(bronze.take(given))
    stored = Lake(found.root).scan(STREAM)
    same = diff(stored, bronze.stream, STREAM)
    assert same.equal, str(same)
    assert same.rows[STREAM][0] > 10_000
    assert bronze.refused == 2

    whole = TopicFeed(PARTITIONS, lambda _: None, list(found.underlier))
    for part in parts.values():
        whole.take(TopicFeed.read(part))
    known = Known.from_bytes(bronze.state)
    assert settled(known.feed) == settled(whole.to_json())
    assert known.offsets == {p: len(part) for p, part in parts.items()}
    assert known.feed["counts"][0] == whole.repeated > 0
    new = [name for news in brought for name in news.contracts]
    assert sorted(new) == sorted(known.contracts)
    assert sum(news.records for news in brought) == same.rows[STREAM][1]
    marks_rise(bronze.stream, found)


def marks_rise(stream: pa.Table, found: Settings) -> None:
    """Each contract of the venue hears its clock, forwards, and up to the same time."""
    last: dict[str, int] = {}
    counted = 0
    for row in stream.filter(stream["action"].is_null()).to_pylist():
        if json.loads(row["payload"])["kind"] == "mark":
            assert row["ts_recv"] >= last.get(row["contract_id"], 0)
            last[row["contract_id"]] = row["ts_recv"]
            counted += 1
    assert counted >= len(last) > 5
    assert len(set(last.values())) == 1


def test_messages_that_come_again_are_left_out(
    topic: tuple[Settings, dict[int, list[Message]]],
) -> None:
    found, parts = topic
    bronze = Bronze(found)
    half = {p: part[: len(part) // 2] for p, part in parts.items()}
    bronze.take(half)
    rows, state = len(bronze.stream), bronze.state
    news = bronze.take(half)
    assert (news.records, news.ranges, bronze.state) == (0, {}, state)
    assert len(bronze.stream) == rows
    assert bronze.take(parts).ranges == {p: (len(half[p]), len(part)) for p, part in parts.items()}
    assert diff(Lake(found.root).scan(STREAM), bronze.stream, STREAM).equal


def test_a_contract_behind_its_expiry_hears_one_mark_more(
    topic: tuple[Settings, dict[int, list[Message]]],
) -> None:
    found, parts = topic
    bronze = Bronze(found)
    bronze.take(parts)
    known = Known.from_bytes(bronze.state)
    name = next(n for n, row in known.contracts.items() if row["instrument_type"] == "OPT")
    expiry = known.contracts[name]["expiration"]
    assert name in known.active
    known.over({name: expiry})
    assert name in known.active
    known.over({name: expiry + 3 * 86_400 * 10**9})
    assert name not in known.active
    assert name not in Known.from_bytes(known.to_bytes()).active


def test_a_contract_told_anew_with_other_facts_is_written_again(
    topic: tuple[Settings, dict[int, list[Message]]],
) -> None:
    found, parts = topic
    bronze = Bronze(found)
    bronze.take(parts)
    known = Known.from_bytes(bronze.state)
    name, row = next(iter(known.contracts.items()))
    lane = partition_of(name, PARTITIONS)

    def tell(**changes: Any) -> News:
        at = Known.from_bytes(bronze.state).offsets[lane]
        value, headers = encode(Instrument.from_row({**row, **changes}))
        return bronze.take({lane: [Message(TOPIC, lane, at, name, value, headers, 0)]})

    assert tell(ts_recv=1, batch_id="of another day").instruments == {}
    assert list(tell(multiplier=7.0).instruments) == [name]
    assert tell(multiplier=7.0).instruments == {}
    rows = bronze.stream.filter(bronze.stream["action"].is_null()).to_pylist()
    said = [json.loads(r["payload"]) for r in rows if r["contract_id"] == name]
    assert [s["row"]["multiplier"] for s in said if s["kind"] == "instrument"] == [
        row["multiplier"], 7.0,
    ]  # fmt: skip


def test_a_partition_in_two_tasks_is_refused() -> None:
    known = Known({0: 0, 1: 0})
    news = {"next": {"0": 5}, "messages": 0, "records": 0, "refused": 0, "gaps": [], "spans": {}}
    empty = {"seen": {}, "instruments": [], "feed": {**Known({}).feed}}
    with pytest.raises(LakeError, match="two tasks read partition 0"):
        known.take([{**news, **empty}, {**news, **empty}])


def test_files_of_the_topic_hold_whole_contracts(
    topic: tuple[Settings, dict[int, list[Message]]],
) -> None:
    found, parts = topic
    task = messages_task(
        lambda: Known(dict.fromkeys(range(PARTITIONS), 0)).feed,
        dict.fromkeys(range(PARTITIONS), 0),
        found.underlier,
        {},
    )
    files: dict[str, set[int]] = {}
    for made in task(as_read([m]) for m in parts[0]):
        for name, task_of, body in zip(
            *(made[n].to_pylist() for n in ("name", "task", "body")), strict=True
        ):
            if name == STREAM:
                for contract in set(_table(body)["contract_id"].to_pylist()):
                    files.setdefault(contract, set()).add(task_of)
    assert files
    assert all(len(of) == 1 for of in files.values())
