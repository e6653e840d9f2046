"""Law 3 for streams: local stream = Spark stream = history, whatever happens between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from spymaster.bus import Message
from spymaster.engines.epoch import EpochLog, newest_state
from spymaster.engines.spark.handover import to_local, to_spark
from spymaster.engines.spark.session import JARS
from spymaster.engines.spark.stream.handed import hand, leave
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.e2e.runner import environment
from tests.e2e.scenes import evening, mirrored, rows, run
from tests.jars import jars
from tests.live.streamed import AT_THE_END, TABLES, compare, partitioned, whole_sessions
from tests.parity.scenarios import SCENARIOS, Scenario
from tests.parity.stream_table import BronzeCommits, feed_of
from tests.parity.streams import STREAMS, available, cut, streamed
from tests.parity.topics import in_order, landed, live, topic_of
from tests.real_data import es_mbo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]

PARTITIONS = 3
JOB = "rt__bronze_to_silver"


def _in_the_mirror(out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    return [mirrored(es_mbo(), out / es_mbo().name)]


@dataclass(frozen=True)
class Stream:
    """A scenario, and what of it is a session that its feed does not reach the end of."""

    scenario: Scenario
    unended: str = ""


SCENES = {
    "morning": Stream(SCENARIOS["morning"]),
    "evening": Stream(SCENARIOS["evening"], "2023-12-26"),
    "evening in the mirror": Stream(
        replace(SCENARIOS["evening"], files=_in_the_mirror, settings=evening), "2023-12-26"
    ),
}
#: scene, engine, commits of bronze.stream
HOW = [
    ("morning", "local_stream", 1),
    ("morning", "spark_stream", 5),
    ("morning", "spark_two_jobs", 1),
    ("evening", "local_stream", 1),
    ("evening", "spark_stream", 7),
    ("evening in the mirror", "local_stream", 1),
    ("evening in the mirror", "spark_stream", 2),
]


@dataclass(frozen=True)
class Scene:
    """What the engines are given: a root where files have landed, messages, history's root."""

    name: str
    messages: Sequence[Message]
    known: Path
    history: Path

    def root(self, path: Path) -> Settings:
        """A root of its own for an engine."""
        shutil.copytree(self.known, path)
        return self.settings(path)

    def settings(self, path: Path) -> Settings:
        return partitioned(SCENES[self.name].scenario.settings(path), PARTITIONS)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scene]:
    made: dict[str, Scene] = {}

    def make(name: str) -> Scene:
        if name not in made:
            folder, scenario = tmp_path_factory.mktemp("scene"), SCENES[name].scenario
            files = scenario.files(folder / "files")
            run(scenario.settings(folder / "history"), files)
            settings = partitioned(scenario.settings(folder / "topic"), PARTITIONS)
            messages = in_order(topic_of(settings, files, 1_000))
            landed(partitioned(scenario.settings(folder / "known"), PARTITIONS), files)
            made[name] = Scene(name, messages, folder / "known", folder / "history")
        return made[name]

    return make


def checked(root: Path, scene: Scene) -> dict[str, int]:
    """Every twin is history's table, and every kind of row was there to compare."""
    unended = SCENES[scene.name].unended
    compared = compare(root, scene.history, unended)
    left_out = AT_THE_END if unended else ()
    assert all(compared.get(t) for t in TABLES if t not in left_out), compared
    found = rows(root, "silver.level_approach_2m_stream", "outcome", "direction")
    outcomes = Counter(r["outcome"] for r in found)
    print(scene.name, dict(compared), dict(outcomes), Counter(r["direction"] for r in found))
    assert all(outcomes[o] > 0 for o in SCENES[scene.name].scenario.outcomes)
    whole = {s["session_date"] for s in whole_sessions(root)}
    assert len(whole) == (0 if unended else 2)
    return compared


@pytest.mark.parametrize(("name", "engine", "commits"), HOW)
def test_every_stream_engine_makes_the_facts_of_history(
    name: str,
    engine: str,
    commits: int,
    scenes: Callable[[str], Scene],
    tmp_path: Path,
    request: Any,
) -> None:
    scene, started = scenes(name), time.perf_counter()
    settings = scene.root(tmp_path / "root")
    done = STREAMS[engine](
        settings, scene.messages, lambda: request.getfixturevalue("spark"), commits
    )
    print(engine, commits, "commits,", [d.epochs for d in done], "epochs")
    checked(tmp_path / "root", scene)
    print(f"{time.perf_counter() - started:.1f} s")


def test_partition_that_comes_late_and_records_that_come_twice_change_nothing(
    scenes: Callable[[str], Scene], spark: Any, tmp_path: Path
) -> None:
    """One partition of the topic lags by far, and so do the marks; messages are told again."""
    scene = scenes("morning")
    places = list(enumerate(scene.messages))
    lag = len(places) // 4
    order = [m for _, m in sorted(places, key=lambda x: x[0] + lag * (x[1].partition == 1))]
    again = [x for m in order for x in ([m, m] if m.offset % 7 == 3 else [m])]
    settings = scene.root(tmp_path / "root")
    done = streamed(settings, in_order(again), spark, 4)
    print(len(again) - len(order), "messages twice;", done)
    assert len(again) > len(order) + 10
    assert not done.late
    checked(tmp_path / "root", scene)


@pytest.fixture(scope="module")
def jar_folder() -> Path:
    return jars(Path(__file__).with_name("pom.xml"), "Spark", "spark-delta")


def command(settings: Settings, folder: Path, jar_folder: Path, *given: str) -> Any:
    """A job in a process, and a JVM, of its own; it leads a group that can be killed as one."""
    root, conf = Path(settings.root), folder / "conf"
    conf.mkdir(exist_ok=True)
    (conf / "spark-defaults.conf").write_text(
        "spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC\n"
        "spark.databricks.delta.snapshotPartitions 1\nspark.log.level ERROR\n"
        "spark.driver.maxResultSize 1m\n"
    )
    (root / "spymaster.toml").write_text(settings.to_toml())
    call = "from spymaster.cli.spark_streams import bronze_to_silver as job; job()"
    given = ("--gold", "--tasks", "2", "--config", str(root / "spymaster.toml"), *given)
    return subprocess.Popen(
        [sys.executable, "-c", call, *given],
        env={**environment(), JARS: str(jar_folder), "SPARK_CONF_DIR": str(conf)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def states(spark: Any, root: Path, **options: str) -> dict[str, int]:
    """Bytes of each contract's state, as Spark's own reader of its store tells them."""
    reader = spark.read.format("statestore").options(**options)
    found = reader.load(str(root / "lake/checkpoints" / JOB / "spark")).collect()
    return {r["key"]["contract_id"]: len(_bytes(r["value"])) for r in found}


def _bytes(value: Any) -> bytes:
    """The one binary cell, however deep it lies."""
    while not isinstance(value, bytes | bytearray):
        value = value[0]
    return bytes(value)


def test_job_goes_on_in_another_jvm_from_what_lies_in_the_store(
    scenes: Callable[[str], Scene], spark: Any, jar_folder: Path, tmp_path: Path
) -> None:
    """With `applyInPandasWithState`, and the middle of a session in the store."""
    scene = scenes("morning")
    settings = scene.root(tmp_path / "root")
    bronze = BronzeCommits(settings, Lake(settings.root), PARTITIONS)
    first, second = cut(scene.messages, 2)
    bronze.commit(first)
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    done = available(settings, spark, state="apply")
    kept = states(spark, tmp_path / "root")
    print(done, kept)
    assert len(kept) == 6
    assert max(kept.values()) > 100_000
    assert len(whole_sessions(tmp_path / "root")) != 2
    bronze.commit(second)
    job = command(settings, tmp_path, jar_folder, "--state", "apply", "--available-now")
    said = job.communicate(timeout=300)[0]
    print(said[-500:])
    assert job.returncode == 0, said
    checked(tmp_path / "root", scene)
    epochs = json.loads(_newest(tmp_path / "root").read_bytes().partition(b"\n")[2])["e"]
    assert epochs > done.epochs


def _newest(root: Path) -> Path:
    return max((root / "lake/checkpoints" / JOB / "turns").glob("state-*.json"))


def test_driver_killed_in_mid_stream_loses_and_repeats_nothing(
    scenes: Callable[[str], Scene], spark: Any, jar_folder: Path, tmp_path: Path
) -> None:
    scene = scenes("evening")
    settings, root = scene.root(tmp_path / "root"), tmp_path / "root"
    bronze = BronzeCommits(settings, Lake(settings.root), PARTITIONS)
    todo = cut(scene.messages, 6)
    bronze.commit(todo[0])
    turns = root / "lake/checkpoints" / JOB / "turns"
    job = command(settings, tmp_path, jar_folder, "--trigger", "100ms")
    try:
        wait(lambda: _epochs(turns) >= 1, job)
        bronze.commit(todo[1])
        wait(lambda: _epochs(turns) >= 2, job)
        bronze.commit(todo[2])
        # It has written down what it will do, and is about to do it.
        wait(lambda: len(list(turns.glob("intent-*-000000000002.json"))) == 1, job)
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
    assert _epochs(turns) == 2
    for some in todo[3:]:
        bronze.commit(some)
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    done = available(settings, spark)
    kept = states(spark, root, stateVarName="contract")
    print(done, kept)
    assert kept
    assert max(kept.values()) > 100_000
    checked(root, scene)


def _epochs(turns: Path) -> int:
    names = [int(p.stem.removeprefix("state-")) for p in turns.glob("state-*.json")]
    return max(names, default=-1)


def wait(true: Callable[[], bool], job: Any) -> None:
    for _ in range(6_000):
        if true():
            return
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.02)
    raise AssertionError("the job did not get there within two minutes")


def test_session_goes_from_the_local_engine_to_spark_and_back(
    scenes: Callable[[str], Scene], spark: Any, tmp_path: Path
) -> None:
    """Begun by `spymaster live`, carried on out of Spark's store, ended by `spymaster live`."""
    scene = scenes("evening")
    settings, root = scene.root(tmp_path / "root"), tmp_path / "root"
    lake = Lake(root)
    one, two, three = cut(scene.messages, 3)
    live(settings, one)
    folder = root / "lake/checkpoints/live"
    state = newest_state(folder / "0")
    assert state is not None
    offsets = {int(p): int(o) for p, o in state.facts["offsets"].items()}
    version = lake.version("bronze.stream")
    assert version is not None
    hand(lake, JOB, to_spark(settings, lake, state.data, offsets, version, {}), version)
    bronze = BronzeCommits(settings, lake, PARTITIONS)
    bronze.go_on(feed_of(state.data), offsets)
    bronze.commit(two)
    done = available(settings, spark)
    kept = leave(spark, lake, JOB)
    print(done, {contract: len(data) for contract, data in kept.states.items()})
    assert done.rows > 5_000
    data = to_local(settings, kept, bronze.feed)
    facts = {**state.facts, "offsets": bronze.offsets}
    log = EpochLog(folder / "0", lambda: None)
    log.save(replace(state, facts=facts, data=data))  # in the place of the one before
    log.close()
    live(settings, [*two, *three])
    checked(root, scene)
