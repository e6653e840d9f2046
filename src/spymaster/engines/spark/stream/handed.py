"""What a job was handed by another engine, and what it leaves for one: states as a small table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spymaster.engines.spark.handover import Handed
from spymaster.engines.spark.stream.processor import NAME
from spymaster.engines.spark.stream.turns import State, TurnLog, folder, write
from spymaster.errors import LakeError
from spymaster.lake import Lake

DDL = "contract_id STRING, state BINARY"


def hand(lake: Lake, job: str, handed: Handed, version: int) -> None:
    """Let a job begin with these states, behind a version of bronze.stream.

    For the holder of its lease. LakeError where it has begun already.
    """
    log = TurnLog(lake.place, job, lambda: None)
    if log.state() is not None:
        raise LakeError(
            f"{lake.place.uri(folder(job))}: {job} has begun there and has states of its own. "
            "Hand over to a root on which it has not run."
        )
    states = pa.table(
        {
            "contract_id": pa.array(handed.states, pa.string()),
            "state": pa.array(handed.states.values(), pa.binary()),
        }
    )
    out = pa.BufferOutputStream()
    pq.write_table(states, out, compression="zstd")
    write(lake.place, _path(job), out.getvalue().to_pybytes())
    log.write_state(State(0, "", -1, version + 1, handed.openings))


def handed_states(spark: Any, lake: Lake, job: str) -> Any:
    """The states that a job was handed (`DDL`), by contract; None where it was not."""
    if lake.place.size(_path(job)) is None:
        return None
    return spark.read.schema(DDL).parquet(lake.place.uri(_path(job))).groupBy("contract_id")


def leave(spark: Any, lake: Lake, job: str) -> Handed:
    """What a job that has ended knows: its contracts out of Spark's store, and the driver's state.

    By `transformWithStateInPandas`. For the holder of its lease.
    """
    state = TurnLog(lake.place, job, lambda: None).state()
    if state is None or state.e == 0:
        raise LakeError(f"{lake.place.uri(folder(job))}: {job} has not worked here yet.")
    store = (
        spark.read.format("statestore")
        .option("stateVarName", NAME)
        .option("batchId", state.batch)
        .load(lake.place.uri(f"{folder(job)}/spark"))
        .selectExpr("key.contract_id AS contract_id", "value.state AS state")
    )
    # States, not rows: as many as there are contracts, and one at a time.
    found = {r["contract_id"]: bytes(r["state"]) for r in store.toLocalIterator()}
    return Handed(found, dict(state.openings))


def _path(job: str) -> str:
    return f"{folder(job)}/handed.parquet"
