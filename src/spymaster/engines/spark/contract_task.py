"""A task's work: one contract of one session through the stages that every engine runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from spymaster.engines.job import Made, Walk
from spymaster.engines.session_run import SessionMade, SessionRun
from spymaster.engines.spark.contract_feed import ContractFeed
from spymaster.engines.spark.contract_sink import ContractSink
from spymaster.engines.spark.script import Script
from spymaster.engines.spark.staged import Piece, as_batch, count, told
from spymaster.errors import SpymasterError
from spymaster.market.identify import Instrument

Key = tuple[pa.Scalar, ...]
Task = Callable[[Key, Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def contract_task(scripts: Mapping[str, Script]) -> Task:
    """The function that Spark calls with (job, contract_id) and the contract's sorted events."""

    def run(
        key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        job, contract = (k.as_py() for k in key)
        task, place = _task(), 0
        for pieces in pieces_of(scripts[job], contract, batches):
            if pieces:
                yield as_batch(job, task, place, pieces)
                place += len(pieces)

    return run


def _task() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    return -1 if context is None else int(context.partitionId())


def pieces_of(
    script: Script, contract: str, batches: Iterator[pa.RecordBatch]
) -> Iterator[list[Piece]]:
    """What one contract's session comes to, as it is made; an error of ours is a piece, too."""
    instrument = script.instruments[contract]
    kind = str(instrument.instrument_type)
    walk, sink = walk_of(script, instrument, batches)
    try:
        for _ in walk.steps():
            yield sink.take()
    except SpymasterError as error:
        for _ in batches:  # Spark wants its rows taken
            pass
        yield [told(kind, "error", f"{contract}: {error}")]
        return
    assert walk.made.session is not None
    yield [*sink.rest(), *_facts(kind, walk.made.session)]


def walk_of(
    script: Script, instrument: Instrument | None, batches: Iterator[Any]
) -> tuple[Walk, ContractSink]:
    """The walk over a session's files with the events of one contract, or of none."""
    inputs, job = script.inputs, script.job
    sink = ContractSink(
        {
            "data_version": inputs.data_version,
            "session_date": inputs.session.session_date,
            "underlier": inputs.session.underlier,
        }
    )
    run = SessionRun(None, script.settings, inputs, job.layers, sink)
    feed = ContractFeed(instrument, dict(script.files), batches)
    return Walk(job, script.settings, feed, run, script.before), sink


def without_events(script: Script) -> Made:
    """What a session comes to before any contract's rows: its gaps, and what the feed lacks."""
    walk, _ = walk_of(script, None, iter(()))
    for _ in walk.steps():
        pass
    return walk.made


def _facts(kind: str, made: SessionMade) -> Iterator[Piece]:
    o = made.outcome
    yield count(kind, "contracts", 1)
    yield count(kind, "selected", int(not o.absent))
    yield count(kind, "duplicates", o.duplicates)
    for name, number in o.quality.items():
        yield count(kind, f"quality/{name}", number)
    if kind != "OPT":  # no later session depends on one
        yield told(kind, "small", made.small)
