"""A contract's state in Spark's store: two interfaces around one `run_key`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
from pyspark.sql.streaming import StatefulProcessor

from spymaster.engines.spark.contract_stream import run_key
from spymaster.engines.spark.staged import Piece, told
from spymaster.engines.spark.stream.chunks import from_chunks
from spymaster.engines.spark.stream.handed import STATE_NAME, handed_state
from spymaster.engines.spark.stream.parts import ERROR
from spymaster.engines.spark.stream.turns import turn_of_task
from spymaster.errors import SpymasterError
from spymaster.settings import Settings

STATE = "state BINARY"


class KeyTask:
    """What every task must know to work on a contract's rows."""

    def __init__(self, settings: Settings, job: str, layers: Sequence[str]) -> None:
        self._settings, self._job, self._layers = settings, job, tuple(layers)

    def run(
        self, contract: str, state: bytes | None, frames: Iterator[pd.DataFrame]
    ) -> tuple[pd.DataFrame, bytes | None]:
        """Pieces (`PIECES`), and the state behind; an error of ours is a piece, and no state."""
        root = str(self._settings.root)
        turn = turn_of_task(root, self._job)
        if state is None:
            state = handed_state(root, self._job, contract)
        rows = (r for f in frames for r in zip(f["file"], f["body"], strict=True))
        try:
            chunks = from_chunks(rows, turn.files)
            pieces, behind = run_key(self._settings, self._layers, contract, state, turn, chunks)
        except (SpymasterError, ValueError) as error:
            return _frame([told("", ERROR, f"{contract}: {error}")]), None
        return _frame(pieces), behind


def _frame(pieces: Sequence[Piece]) -> pd.DataFrame:
    return pd.DataFrame([p._asdict() for p in pieces], columns=list(Piece._fields))


class ContractProcessor(StatefulProcessor):
    """`transformWithStateInPandas`: one value, the contract's bytes."""

    def __init__(self, task: KeyTask) -> None:
        self._task = task

    def init(self, handle: Any) -> None:
        """Spark gives the store."""
        self._state = handle.getValueState(STATE_NAME, STATE)

    def handleInputRows(
        self, key: Any, rows: Iterator[pd.DataFrame], timerValues: Any
    ) -> Iterator[pd.DataFrame]:
        """A contract's chunks of this micro-batch."""
        found = self._state.get() if self._state.exists() else None
        pieces, state = self._task.run(key[0], found and bytes(found[0]), rows)
        if state is not None:
            self._state.update((state,))
        yield pieces

    def close(self) -> None:
        """Nothing is held."""


def in_pandas(task: KeyTask) -> Callable[..., Iterator[pd.DataFrame]]:
    """The function that `applyInPandasWithState` takes."""

    def run(key: Any, rows: Iterator[pd.DataFrame], state: Any) -> Iterator[pd.DataFrame]:
        found = bytes(state.get[0]) if state.exists else None
        pieces, behind = task.run(key[0], found, rows)
        if behind is not None:
            state.update((behind,))
        yield pieces

    return run
