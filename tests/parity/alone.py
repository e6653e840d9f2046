"""The streaming jobs' core and its driver's decisions, contract by contract, without Spark."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from spymaster.contracts.stream import SUFFIX
from spymaster.engines.session_run import TABLES
from spymaster.engines.spark.contract_stream import run_key
from spymaster.engines.spark.contract_turn import Turn
from spymaster.engines.spark.staged import FACT
from spymaster.engines.spark.stream.commits import STREAM, StreamLog
from spymaster.engines.spark.stream.openings import Openings
from spymaster.engines.spark.stream.parts import Heard, PartsOut, commit_parts, heard
from spymaster.engines.spark.stream_rows import COLUMNS
from spymaster.lake import Lake
from spymaster.settings import Settings

LAYERS = ("silver", "gold")
NAMES = tuple(n + SUFFIX for layer in LAYERS for n in TABLES[layer] if n != "gold.training_view")


class Alone:
    """Takes commits of bronze.stream as Spark's micro-batches do; everything is saved between."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.lake = settings, Lake(settings.root)
        self.states: dict[str, bytes] = {}
        self.openings = json.dumps(Openings(settings, self.lake).to_json())
        self.told: list[dict[str, object]] = []
        self.ended: list[str] = []
        self.batches = 0
        self._out = PartsOut(self.lake)

    def run(self, upto: int | None = None) -> None:
        """A micro-batch up to a version of the table; then whatever was waiting is called."""
        openings = self._openings()
        log = StreamLog(self.lake)
        upto = log.newest() if upto is None else upto
        openings.take(log.between(openings.read, upto), upto)
        self._batch(openings, self._chunks(openings.reached, upto))
        while callers := self._openings().callers:
            self._batch(self._openings(), {c: [] for c in callers})

    def _openings(self) -> Openings:
        made = Openings(self.settings, self.lake)
        made.restore(json.loads(self.openings))
        return made

    def _chunks(self, behind: int, upto: int) -> dict[str, list[tuple[int, pa.RecordBatch]]]:
        found: dict[str, list[tuple[int, pa.RecordBatch]]] = {}
        opened = self.lake.open(STREAM)
        for commit in StreamLog(self.lake).between(behind, upto):
            for name in commit.files:
                (path,) = [u for u in opened.file_uris() if u.endswith(name)]
                rows = pa.parquet.ParquetFile(path).read(COLUMNS)
                for contract in rows["contract_id"].unique().to_pylist():
                    mine = rows.filter(pa.compute.equal(rows["contract_id"], contract))
                    found.setdefault(contract, []).extend(
                        (commit.version, batch) for batch in mine.to_batches()
                    )
        return found

    def _batch(
        self, openings: Openings, chunks: dict[str, list[tuple[int, pa.RecordBatch]]]
    ) -> None:
        turn = Turn.from_json(json.loads(json.dumps(openings.turn().to_json())))
        made = Heard()
        for contract in sorted(chunks):
            pieces, self.states[contract] = run_key(
                self.settings, LAYERS, contract, self.states.get(contract), turn, chunks[contract]
            )
            for piece in pieces:
                if piece.name.startswith(FACT):
                    made.take(piece.name, piece.rows, piece.body)
                else:
                    self._out.take(piece)
        self.batches += 1
        openings.advance(made.seen)
        self.told += made.facts
        ended = openings.hear(made.facts, {})
        self.ended += [f"{e.underlier} {e.session.date}" for e in ended]
        self.openings = json.dumps(openings.to_json())

    def finish(self) -> None:
        """All rows into their tables, a commit each."""
        made = heard(self._out.close())
        commit_parts(self.lake, NAMES, "alone", 1, made.parts, {}, lambda: None)


def total(told: Sequence[dict[str, object]], name: str) -> int:
    """A number that contracts told, added up."""
    return sum(int(str(t.get(name, 0))) for t in told)
