"""The Spark session to work in: the cluster's where there is one, else one on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spymaster.engines.spark.extra import needed
from spymaster.errors import LakeError

#: A folder with the jars below, for machines that fetch nothing while they run.
JARS = "SPYMASTER_SPARK_JARS"
DELTA = "io.delta:delta-spark_4.1_2.13:4.4.0"
#: Brings kafka-clients, commons-pool2 and the token provider.
KAFKA = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.1"
_DELTA_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_LOOPBACK = "127.0.0.1"
_TASKS_A_CORE = 4


def open_session(more: Mapping[str, str] | None = None) -> Any:
    """The active SparkSession, or one on this machine: all cores, loopback only, Delta's jars.

    `more`: configuration of one that is made here. LakeError where Delta is missing from it.
    """
    sql = needed("pyspark.sql")
    active = sql.SparkSession.getActiveSession()
    if active is None:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", _LOOPBACK)
        builder = sql.SparkSession.builder.appName("spymaster")
        for key, value in {**_here(), **(more or {})}.items():
            builder = builder.config(key, value)
        active = builder.getOrCreate()
    if "Delta" not in active.conf.get("spark.sql.extensions", "Delta"):
        raise LakeError(
            "this Spark session knows no Delta tables: spark.sql.extensions is "
            f"{active.conf.get('spark.sql.extensions')!r}. Start it with "
            f"--packages {DELTA} and {_DELTA_CONF}."
        )
    return active


def _here() -> dict[str, str]:
    conf = {
        "spark.driver.host": _LOOPBACK,
        "spark.driver.bindAddress": _LOOPBACK,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        # Spark and Delta are set for a cluster: 200 tasks an exchange, 50 to read a table's log.
        "spark.sql.shuffle.partitions": str(_TASKS_A_CORE * (os.cpu_count() or 1)),
        "spark.databricks.delta.snapshotPartitions": "1",
        # The kernel is loaded once, before workers are forked, and not by each of them.
        "spark.python.daemon.module": "spymaster.engines.spark.daemon",
    }
    if "SPARK_REMOTE" in os.environ or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return {}
    if "MASTER" not in os.environ:
        conf["spark.master"] = "local[*]"
    folder = os.environ.get(JARS)
    if folder:
        jars = sorted(Path(folder).glob("*.jar"))
        if not jars:
            raise LakeError(
                f"{JARS}={folder}: no jar lies there. Name a folder with the jars of Delta and of "
                "the Kafka source."
            )
        conf["spark.jars"] = ",".join(map(str, jars))
    else:
        conf["spark.jars.packages"] = f"{DELTA},{KAFKA}"
    return {**conf, **_DELTA_CONF}
