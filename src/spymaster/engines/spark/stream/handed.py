"""What a job was handed by another engine, and what it leaves for one: states as a small table.

A contract that has no state in Spark's store yet takes its own out of the table, whichever of
Spark's interfaces keeps it then.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from spymaster.engines.spark.handover import Handed
from spymaster.engines.spark.stream.turns import State, TurnLog, folder, write
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake.place import Place

#: The state's name in Spark's store.
STATE_NAME = "contract"


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
    pq.write_table(states, out, compression="zstd", row_group_size=1)
    write(lake.place, _path(job), out.getvalue().to_pybytes())
    log.write_state(State(0, "", -1, version + 1, handed.openings))


def handed_state(root: str, job: str, contract: str) -> bytes | None:
    """In a task: the state that a contract was handed; None where it was not."""
    if not _was_handed(root, job):
        return None
    files = Place(root).filesystem()
    states = pq.read_table(_path(job), filesystem=files, filters=[("contract_id", "=", contract)])
    return states["state"][0].as_py() if states.num_rows else None


@lru_cache(maxsize=4)
def _was_handed(root: str, job: str) -> bool:
    return Place(root).size(_path(job)) is not None


def leave(spark: Any, lake: Lake, job: str) -> Handed:
    """What a job that has ended knows: its contracts out of Spark's store, and the driver's state.

    By `transformWithStateInPandas`. For the holder of its lease.
    """
    state = TurnLog(lake.place, job, lambda: None).state()
    if state is None or state.e == 0:
        raise LakeError(f"{lake.place.uri(folder(job))}: {job} has not worked here yet.")
    store = (
        spark.read.format("statestore")
        .option("stateVarName", STATE_NAME)
        .option("batchId", state.batch)
        .load(lake.place.uri(f"{folder(job)}/spark"))
        .selectExpr("key.contract_id AS contract_id", "value.state AS state")
    )
    # Through files: states are megabytes, and no job's results.
    store.write.mode("overwrite").parquet(lake.place.uri(f"{folder(job)}/left"))
    left = pads.dataset(f"{folder(job)}/left", filesystem=lake.place.filesystem()).to_table()
    found = {r["contract_id"]: r["state"] for r in left.to_pylist()}
    if _was_handed(lake.root, job):  # and no row has come for since
        table = pq.read_table(_path(job), filesystem=lake.place.filesystem()).to_pylist()
        found = {**{r["contract_id"]: r["state"] for r in table}, **found}
    return Handed(found, dict(state.openings))


def _path(job: str) -> str:
    return f"{folder(job)}/handed.parquet"
