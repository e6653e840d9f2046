"""Tables that both engines write: the same protocol, and each goes on where the other stopped."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from spymaster.engines.local import LocalEngine
from spymaster.engines.plan import Dates
from spymaster.engines.session_run import TABLES
from spymaster.engines.spark import workers
from spymaster.engines.spark.engine import SparkEngine
from spymaster.engines.spark.events import staged
from spymaster.engines.spark.tables import SparkTables
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from tests.e2e.scenes import rows, run
from tests.parity.heard import Heard
from tests.parity.scenarios import SCENARIOS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]

SECOND = dt.date(2024, 1, 9)


def settings(root: Path) -> Any:
    return SCENARIOS["morning"].settings(root)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return SCENARIOS["morning"].files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def local(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("local")
    run(settings(root), files)
    return root


@pytest.fixture(scope="module")
def mixed(files: list[Path], tmp_path_factory: pytest.TempPathFactory, spark: Any) -> Path:
    """The first session by the local engine; the second, and its bronze, by Spark."""
    root = tmp_path_factory.mktemp("mixed")
    run(settings(root), [f for f in files if "20240109" not in f.name])
    engine = SparkEngine(spark, settings(root))
    with Heard(spark) as heard:
        engine.bronze(files)
    assert_no_rows_in(heard, Lake(root), ["bronze.mbo"], spark)
    report = engine.run((), from_bronze=True, dates=Dates(SECOND, SECOND))
    assert [s.session_date for s in report.sessions] == [str(SECOND)]
    return root


def test_spark_goes_on_in_tables_that_the_local_engine_made(local: Path, mixed: Path) -> None:
    found = diff(local, mixed)
    print(found)
    assert found.equal, str(found)
    engines = {_engine(mixed, "bronze.mbo"), _engine(mixed, "silver.bar_5s")}
    assert engines == {("delta-rs", "Spark")}
    assert [s.state for s in LocalEngine(settings(mixed)).plan()] == ["current"] * 2


def test_the_local_engine_reads_and_replaces_what_spark_wrote(
    local: Path, files: list[Path], tmp_path: Path, spark: Any
) -> None:
    SparkEngine(spark, settings(tmp_path)).bronze(files)
    report = LocalEngine(settings(tmp_path)).run((), from_bronze=True)
    assert len(report.sessions) == 2
    found = diff(local, tmp_path)
    print(found)
    assert found.equal, str(found)
    assert rows(tmp_path, "gold.setup_vectors")


def test_protocol_and_properties_are_the_contracts_whoever_made_the_table(
    tmp_path: Path, spark: Any
) -> None:
    one, other = Lake(tmp_path / "delta-rs"), Lake(tmp_path / "spark")
    names = list(one.tables)
    for name in names:
        a = one.create(name)
        SparkTables(spark, other).create(name)
        b = other.open(name)
        assert a.schema().to_json() == b.schema().to_json(), name
        assert a.protocol() == b.protocol(), name
        assert a.metadata().configuration == b.metadata().configuration, name
        assert a.metadata().partition_columns == b.metadata().partition_columns, name
        protocol = b.protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    print(len(names), "tables")
    assert sum(one.tables[n].often for n in names) > 10


def test_protocol_and_properties_stay_when_both_have_written(local: Path, mixed: Path) -> None:
    one, other = Lake(local), Lake(mixed)
    for name in one.existing():
        a, b = one.open(name), other.open(name)
        assert a.protocol() == b.protocol(), name
        assert a.metadata().configuration == b.metadata().configuration, name
        assert a.schema().to_json() == b.schema().to_json(), name


def test_contracts_are_spread_over_tasks_by_one_exchange_and_one_sort(
    local: Path, tmp_path: Path, spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(local, tmp_path, dirs_exist_ok=True)
    plans = []

    def watched(*given: Any) -> Any:
        frame = staged(*given)
        plans.append(frame._jdf.queryExecution().executedPlan().toString())
        return frame

    monkeypatch.setattr(workers, "staged", watched)
    engine = SparkEngine(spark, settings(tmp_path))
    read_here: set[str] = set()
    for reader in ("scan", "batches"):
        monkeypatch.setattr(Lake, reader, _noting(getattr(Lake, reader), read_here))
    with Heard(spark) as heard:
        report = engine.run((), from_bronze=True, force=True)
    monkeypatch.undo()
    made = [n for layer in TABLES.values() for n in layer]
    # What later sessions know of earlier ones: a row a contract and day.
    assert read_here & {"bronze.mbo", *made} == {"silver.contract_day", "silver.session_summary"}
    assert_no_rows_in(heard, Lake(tmp_path), made, spark)
    assert not report.failed
    assert len(report.sessions) == 2
    found = diff(local, tmp_path)
    print(found)
    assert found.equal, str(found)
    assert _engine(tmp_path, "gold.setup_vectors") == ("delta-rs", "Spark")
    assert engine.workers is not None
    assert len(plans) == 2  # the light pass, the whole one
    for plan in plans:
        assert plan.count("Exchange hashpartitioning") == 1, plan
        assert plan.count("Sort [") == 1, plan
        assert "FlatMapGroupsInArrow" in plan
    print("tasks with work, pass by pass:", engine.workers.used)
    assert min(engine.workers.used) >= 2


def _noting(real: Any, names: set[str]) -> Any:
    def noted(self: Lake, name: str, *given: Any, **more: Any) -> Any:
        names.add(name)
        return real(self, name, *given, **more)

    return noted


#: Bytes that a task may tell of itself: its metrics, a few facts; one that writes, of its files.
A_TASK, A_WRITER = 12_500, 16_000


def assert_no_rows_in(heard: Heard, lake: Lake, made: list[str], spark: Any) -> None:
    """No stage sent a table's rows.

    That those of any large table would be seen, even four tasks sharing them, is tried.
    """
    assert heard.stages
    print(len(heard.stages), "stages sent", heard.sent, "bytes of results; the most by a task:")
    for s in sorted(heard.stages, key=lambda s: -s.a_task)[:5]:
        print("  ", s)
    sizes = {name: lake.scan(name).nbytes for name in made}
    large = {name for name, size in sizes.items() if size > 300_000}
    for name in made:
        with Heard(spark) as control:
            SparkTables(spark, lake).read(name).repartition(4).collect()
        most = max(s.a_task for s in control.stages if s.tasks == 4)
        print(f"   {name}: {sizes[name]} bytes; collected, a task would send {most:.0f}")
        assert name not in large or most > A_TASK, name
    assert large, sizes
    for s in heard.stages:
        assert s.a_task < (A_WRITER if s.name.startswith("save at") else A_TASK), s


def _engine(root: Path, name: str) -> tuple[str, ...]:
    """Which engines have committed to a table."""
    log = Path(Lake(root).uri(name)) / "_delta_log"
    told = [json.loads(line) for p in log.glob("*.json") for line in p.read_text().splitlines()]
    infos = [t["commitInfo"].get("engineInfo", "") for t in told if "commitInfo" in t]
    spark = any("Spark" in i for i in infos)
    other = any("Spark" not in i for i in infos)
    return tuple(["delta-rs"] * other + ["Spark"] * spark)
