"""The topic into bronze.stream by Spark: what the local engine makes of it, each message once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from spymaster.bus import open_bus, partition_of
from spymaster.engines.epoch import EpochLog
from spymaster.engines.lease import Lease
from spymaster.engines.spark import kafka_source
from spymaster.engines.spark.stream import bronze_job
from spymaster.engines.spark.stream.bronze_job import BronzeJob, Done
from spymaster.engines.spark.stream.epochs import GROUP
from spymaster.engines.spark.stream.messages import QUARANTINE, STREAM
from spymaster.engines.spark.tables import SparkTables
from spymaster.engines.stream.report import read_statuses
from spymaster.errors import BusError, LakeError
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.bus.broker import CONNECTION, VARIABLE, Broker
from tests.bus.conftest import broker
from tests.live.chain import on_bus
from tests.parity.bronze_topic import (
    CME,
    Commit,
    Sent,
    at,
    commits,
    files,
    local,
    prepared,
    publish,
)
from tests.users_event import EVENT

__all__ = ["broker"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]

COMMAND = "from spymaster.cli.spark_streams import mbo_raw_to_bronze; mbo_raw_to_bronze()"
#: Minutes of the JVM's compiler would go into a few seconds' work.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_PATIENCE = 240.0


@dataclass(frozen=True)
class Posted:
    """A topic on the broker, and the root where the local engine has read it."""

    settings: Settings
    sent: Sent
    records: int

    @property
    def root(self) -> Path:
        return Path(self.settings.root)


@pytest.fixture(scope="module", params=[1, 3])
def posted(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Posted:
    folder = tmp_path_factory.mktemp("posted")
    settings = on_bus(prepared(folder / "local"), request.param, broker)
    sent = publish(settings, files(folder / "market"))
    return Posted(settings, sent, local(settings))


def job(spark: Any, settings: Settings, most: int = 10_000) -> Done:
    """All that the topic has."""
    return BronzeJob(spark, settings, most=most).run(Event(), available_now=True)


def same(a: Path, b: Path) -> None:
    for table in (STREAM, QUARANTINE):
        found = diff(a, b, table)
        print(found)
        assert found.equal, str(found)
        assert found.rows[table][1] > 0


def test_spark_makes_the_stream_of_the_local_engine(
    posted: Posted, spark: Any, tmp_path: Path
) -> None:
    settings = at(posted.settings, tmp_path)
    done = job(spark, settings, most=90)
    print(posted.sent, done)
    assert done.records == posted.records == posted.sent.records + posted.sent.singles
    assert done.refused == 2
    assert posted.sent.again > 0
    assert done.epochs >= 3
    same(posted.root, tmp_path)
    assert job(spark, settings) == Done(0, 0, 0, done.epochs)
    (status,) = read_statuses(tmp_path)
    assert (status["process"], status["state"], status["epoch"]) == (GROUP, "stopped", done.epochs)

    made = list(commits(tmp_path))
    assert [c.epoch for c in made] == list(range(1, done.epochs + 1))
    lies_as_it_should(made, settings)
    with open_bus(settings) as bus:
        ends = {str(p): o for p, o in bus.ends(TOPIC).items()}
        assert bus.reported(GROUP, TOPIC) == bus.ends(TOPIC)
    assert made[-1].told["offsets"] == ends
    assert set(made[0].told["begins"].values()) == {0}
    for one, other in pairwise(made):
        assert other.told["begins"] == one.told["offsets"]


def lies_as_it_should(made: list[Commit], settings: Settings) -> None:
    """Each contract's rows of a commit: in one file with its mark, in the topic's order."""
    count, known = settings.bus.partitions, set[str]()
    seen: dict[str, int] = {"mark": 0, "gap": 0, "instrument": 0, "records": 0}
    told_gaps = [g for c in made for g in c.told["gaps"]]
    assert [g["reason"] for g in told_gaps].count("a gap of the test") == 1
    for commit in made:
        mark = commit.told["venues"].get(CME, {}).get("mark")
        moved = False
        for name, by_file in commit.rows.items():
            rows = [r for rows in by_file.values() for r in rows]
            dates = {r["session_date"] for r in rows if r["action"]}
            assert len(by_file) == max(1, len(dates)), name
            for lying in by_file.values():
                order = [(r["topic_partition"], r["topic_offset"]) for r in lying]
                assert order == sorted(order)
                at_once = [(r["ts_recv"], r["batch_id"]) for r in lying if r["action"]]
                for batch in {b for _, b in at_once}:
                    times = [ts for ts, b in at_once if b == batch]
                    assert times == sorted(times)
            said = [json.loads(r["payload"]) for r in rows if not r["action"]]
            kinds = [s["kind"] for s in said]
            for kind in kinds:
                seen[kind] += 1
            seen["records"] += sum(1 for r in rows if r["action"])
            assert kinds.count("mark") <= 1
            if "mark" in kinds:
                moved = True
                last = max(rows, key=lambda r: (r["topic_partition"], r["topic_offset"]))
                assert json.loads(last["payload"]) == {"kind": "mark"}
                assert last["ts_recv"] == mark
                in_file = next(f for f in by_file.values() if last in f)
                assert in_file[-1] == last
            for gap in (s for s in said if s["kind"] == "gap"):
                lanes = {g["partition"] for g in told_gaps if g["reason"] == gap["reason"]}
                assert gap["touched"] == (partition_of(name, count) in lanes)
            if name not in known:
                assert name in commit.told["contracts"]
                first = min(
                    rows, key=lambda r: (r["topic_partition"], r["topic_offset"], bool(r["action"]))
                )
                assert json.loads(first["payload"])["kind"] == "instrument"
                known.add(name)
        assert moved or mark is None or not commit.rows
    print(seen, sorted(known))
    assert EVENT["contract_id"] in known
    assert min(seen.values()) > 0
    assert len(known) == 7


def test_a_driver_that_is_killed_loses_and_repeats_nothing(
    posted: Posted, spark: Any, tmp_path: Path
) -> None:
    if posted.settings.bus.partitions == 1:
        pytest.skip("once is enough: with three partitions")
    settings = at(posted.settings, tmp_path / "root")
    Path(settings.root).mkdir()
    running = start(settings, tmp_path / "killed")
    wait(running, lambda: stands(settings) >= 1)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    before = stands(settings)
    running = start(settings, tmp_path / "asked")
    wait(running, lambda: stands(settings) > before)
    (status,) = read_statuses(settings.root)
    assert status["runs"]
    assert (status["process"], status["pipeline"]) == (GROUP, GROUP)
    running.terminate()
    assert running.wait(120) == 0
    said = (tmp_path / "asked").read_text()
    assert "bronze.stream: " in said
    kept = [p.read_bytes() for p in Path(settings.root).rglob("*") if p.is_file()]
    secret = CONNECTION.rpartition("=")[2]
    assert not any(secret.encode() in b for b in kept)
    assert secret not in said + (tmp_path / "killed").read_text()
    done = job(spark, settings)
    assert done.records > 0
    same(posted.root, Path(settings.root))
    assert [c.epoch for c in commits(Path(settings.root))] == list(range(1, done.epochs + 1))


def start(settings: Settings, said: Path) -> subprocess.Popen[bytes]:
    """The command as a process of its own, a few messages a commit."""
    config = Path(settings.root) / "spymaster.toml"
    config.write_text(settings.to_toml())
    given = ["--config", str(config), "--trigger", "0s", "--messages", "60"]
    with said.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *given],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env={**os.environ, VARIABLE: CONNECTION, "JAVA_TOOL_OPTIONS": QUICK},
        )  # fmt: skip


def stands(settings: Settings) -> int:
    return Lake(settings.root).transaction_version(STREAM, f"{GROUP}/{STREAM}") or 0


def wait(running: subprocess.Popen[bytes], so: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not so():
        assert running.poll() is None, "it ended by itself"
        assert time.monotonic() < until, "nothing is committed"
        time.sleep(0.05)


class _Fault(Exception):
    pass


def state_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    def save(*_: Any) -> None:
        raise _Fault

    patch.setattr(EpochLog, "save", save)


def table_is_not_written(patch: pytest.MonkeyPatch) -> None:
    append = SparkTables.append

    def only_quarantine(self: Any, name: str, *given: Any) -> bool:
        if name == STREAM:
            raise _Fault
        return append(self, name, *given)

    patch.setattr(SparkTables, "append", only_quarantine)


@pytest.mark.parametrize("fault", [state_is_not_kept, table_is_not_written])
def test_an_epoch_that_was_cut_short_is_finished_once(
    fault: Callable[[pytest.MonkeyPatch], None], posted: Posted, spark: Any, tmp_path: Path
) -> None:
    settings = at(posted.settings, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        with pytest.raises(_Fault):
            job(spark, settings)
    done = job(spark, settings)
    assert (done.epochs, done.records, done.refused) == (1, posted.records, 2)
    same(posted.root, tmp_path)
    assert len(list(commits(tmp_path))) == 1


def test_what_is_in_the_way_is_told(
    posted: Posted, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = at(posted.settings, tmp_path)
    embedded = settings.model_copy(
        update={"bus": settings.bus.model_copy(update={"kind": "embedded"})}
    )
    with pytest.raises(BusError, match=r'bus\.kind is "embedded"'):
        job(spark, embedded)
    with monkeypatch.context() as patch:
        patch.setattr(bronze_job, "TOPIC", "nowhere")
        with pytest.raises(BusError, match="nowhere"):
            job(spark, settings)
    with monkeypatch.context() as patch:
        patch.setattr(kafka_source, "_FORMAT", "kafka_of_nobody")
        with pytest.raises(LakeError, match="spark-sql-kafka-0-10"):
            job(spark, settings)
    with pytest.raises(LakeError, match=r"spymaster live writes bronze\.stream"):
        job(spark, posted.settings)
    with (
        Lease(Lake(tmp_path).place, "other", time.time_ns, GROUP),
        pytest.raises(LakeError, match="another rt__mbo_raw_to_bronze is at work"),
    ):
        job(spark, settings)
    assert stands(settings) == 0
    job(spark, settings)
    shutil.rmtree(tmp_path / "lake/checkpoints" / GROUP)
    with pytest.raises(LakeError, match="stands at epoch 1 of rt__mbo_raw_to_bronze"):
        job(spark, settings)
