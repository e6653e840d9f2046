"""A real Spark with real Delta tables on this machine, once for all tests of a module."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark import SparkContext

from spymaster.engines.spark.session import JARS, open_session
from tests.jars import jars

CONF = {
    "spark.master": "local[2]",
    "spark.driver.memory": "2g",
    # Minutes of the JVM's compiler would go into a few seconds' work.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.log.level": "ERROR",
}


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as environment:
        folder = jars(Path(__file__).with_name("pom.xml"), "Spark", "spark-delta-kafka")
        environment.setenv(JARS, str(folder))
        warehouse = {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse"))}
        session = open_session({**CONF, **warehouse})
        yield session
        _stop(session)


def _stop(session: Any) -> None:
    """End the JVM, too, and let go of the sockets that PySpark leaves to the collector."""
    session.stop()
    gateway = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del session, gateway
        gc.collect()
