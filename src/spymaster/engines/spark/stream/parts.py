"""Pieces of tables into Parquet, in the task that made them; the driver hears the files' names.

No commit names a file before the driver does, so a task that is run twice leaves files and no
rows. `lake/sweep.py` removes those of a process that died, by the tag in their names.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from spymaster.contracts.stream import SUFFIX
from spymaster.engines.spark.staged import FACT, Piece
from spymaster.lake import Lake, Part
from spymaster.lake.parquet import PartWriter

#: Pieces on their way from a contract's handler to the files, and facts from there to the driver.
PIECES = "kind STRING, name STRING, rows BIGINT, body BINARY"
ERROR = "error"
_SEEN, _PART, _ERROR = FACT + "seen", FACT + "part", FACT + ERROR
_SCHEMA = pa.schema(
    [("kind", pa.string()), ("name", pa.string()), ("rows", pa.int64()), ("body", pa.binary())]
)


@dataclass
class Heard:
    """What tasks told: facts of contracts, files of tables, the last version that they saw, and
    what went wrong.
    """

    facts: list[dict[str, Any]] = field(default_factory=list)
    parts: dict[str, list[Part]] = field(default_factory=lambda: defaultdict(list))
    seen: int = -1
    errors: list[str] = field(default_factory=list)

    def take(self, name: str, rows: int, body: bytes | None) -> None:
        """One piece, which is a fact."""
        if name == _SEEN:
            self.seen = max(self.seen, rows)
            return
        told = json.loads(body or b"null")
        if name == _PART:
            self.parts[told.pop("table")].append(Part(**told))
        elif name == _ERROR:
            self.errors.append(told)
        else:
            self.facts.append(told)

    def rows(self) -> Mapping[tuple[str, str, str], int]:
        """How many rows were made: by underlier, session date and table (without `_stream`)."""
        counted: Counter[tuple[str, str, str]] = Counter()
        for table, parts in self.parts.items():
            for part in parts:
                where = part.partition
                key = (where["underlier"], where["session_date"], table.removesuffix(SUFFIX))
                counted[key] += part.rows
        return counted


class PartsOut:
    """Takes pieces; `close` gives the facts among them, and one more for each finished file."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._writers: dict[str, PartWriter] = {}
        self._facts: list[Piece] = []
        self._seen = -1

    def take(self, piece: Piece) -> None:
        """Rows of a table go to its file, facts wait."""
        if piece.name == _SEEN:
            self._seen = max(self._seen, piece.rows)
        elif piece.name.startswith(FACT):
            self._facts.append(piece)
        else:
            self._write(piece)

    def _write(self, piece: Piece) -> None:
        name = piece.name + SUFFIX
        table = self._lake.table(name)
        if name not in self._writers:
            self._writers[name] = self._lake.writer(name)
        assert piece.body is not None
        with pa.ipc.open_stream(pa.py_buffer(piece.body)) as stream:
            rows = stream.read_all()
        partition = rows.select(list(table.partition)).slice(0, 1).to_pylist()[0]
        stored = rows.select([c.name for c in table.stored])
        self._writers[name].write(stored, partition)

    def close(self) -> list[Piece]:
        """All files are on disk for good."""
        told = [
            Piece("", _PART, part.rows, json.dumps({"table": name, **_plain(part)}).encode())
            for name, writer in self._writers.items()
            for part in writer.close()
        ]
        return [*self._facts, *told, Piece("", _SEEN, self._seen)]

    def abandon(self) -> None:
        """Leave no file behind."""
        for writer in self._writers.values():
            writer.abandon()


def _plain(part: Part) -> dict[str, Any]:
    return {**asdict(part), "partition": dict(part.partition)}


def parts_task(root: str, tag: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """The function that makes files of a task's pieces and hands on facts; both are `PIECES`."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        out = PartsOut(Lake(root, tag=tag))
        try:
            for batch in batches:
                for piece in _pieces(batch):
                    out.take(piece)
            yield pa.RecordBatch.from_pylist([p._asdict() for p in out.close()], _SCHEMA)
        except BaseException:
            out.abandon()
            raise

    return run


def _pieces(batch: pa.RecordBatch) -> Iterator[Piece]:
    columns = [batch[n].to_pylist() for n in ("kind", "name", "rows")]
    for kind, name, rows, body in zip(*columns, batch["body"], strict=True):
        yield Piece(kind, name, rows, body.as_py())


def commit_parts(
    lake: Lake,
    tables: Sequence[str],
    app: str,
    e: int,
    parts: Mapping[str, Sequence[Part]],
    info: Mapping[str, Any],
    check: Callable[[], None],
) -> dict[str, int]:
    """Name an epoch's files in each table, once; the tables' versions. An empty epoch counts, too.

    `check` raises when the job's lease has gone to another.
    """
    versions = {}
    for name in tables:
        check()
        done = lake.append(name, list(parts.get(name, ())), app=(f"{app}/{name}", e), info=info)
        versions[name] = done.version
    return versions


def heard(pieces: Iterable[Piece]) -> Heard:
    """Facts of pieces that `PartsOut` gave."""
    made = Heard()
    for piece in pieces:
        made.take(piece.name, piece.rows, piece.body)
    return made
