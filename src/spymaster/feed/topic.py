"""What travels on the topic `mbo_raw`: batches of records, what contracts are, marks and gaps.

A batch is columns of numbers (`kernel.columns.Columns`) behind a head that says what they mean,
in one LZ4 frame; an Arrow stream of the same costs ten times as much for a few hundred records,
and the way from a record to its vector has only milliseconds. Everything else is JSON as
`contracts.topics` says. The header `kind` tells them apart; a message without it is a single event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from spymaster.errors import SourceError
from spymaster.kernel.columns import COLUMN_TYPES, Columns
from spymaster.kernel.state import pack, unpack
from spymaster.market.identify import Instrument

TOPIC = "mbo_raw"

_STATE = ("MBO", 1)
_CODEC = pa.Codec("lz4")
_LARGEST = 1 << 30  # bytes of a batch, unpacked


@dataclass(frozen=True)
class Batch:
    """Records of one connection, in the feed's order.

    `columns`: one value per record; `contract` is a place in `contracts`, which has contract_id and
    symbol; `action` and `side` are bytes as DBN has them. `backwards`: record -> the lower ts_recv
    that it came with. `batch_id`: the connection's capture. `upto`: number in that capture of the
    last record that was read before the message was made, whatever its partition.
    """

    columns: Columns
    contracts: tuple[tuple[str, str], ...]
    backwards: Mapping[int, int]
    venue: str
    batch_id: str
    upto: int
    ingest_time: int


@dataclass(frozen=True)
class Mark:
    """Every later record of this venue has ts_recv at or above this, ns UTC."""

    venue: str
    ts_recv: int


@dataclass(frozen=True)
class Gap:
    """Records are missing between two times (ns UTC): no book is good until a market snapshot."""

    venue: str
    from_ts: int
    to_ts: int
    reason: str


@dataclass(frozen=True)
class Single:
    """One event as JSON, as the user's test event is."""

    event: Mapping[str, Any]


Content: TypeAlias = Batch | Mark | Gap | Instrument | Single


def encode(content: Content) -> tuple[bytes, dict[str, str]]:
    """A message's value and headers."""
    if isinstance(content, Batch):
        headers = {
            "kind": "batch",
            "venue": content.venue,
            "batch_id": content.batch_id,
            "upto": str(content.upto),
            "ingest_time": str(content.ingest_time),
        }
        return _binary(content), headers
    if isinstance(content, Single):
        return _json(dict(content.event)), {}
    if isinstance(content, Instrument):
        return _json(content.to_row()), {"kind": "instrument"}
    return _json(vars(content)), {"kind": type(content).__name__.lower()}


def decode(value: bytes, headers: Mapping[str, str], where: str) -> Content:
    """A message's content. SourceError for what no version of ours has written; `where` it lay."""
    kind = headers.get("kind")
    try:
        if kind == "batch":
            columns, contracts, backwards = _columns(value)
            return Batch(
                columns=columns,
                contracts=contracts,
                backwards=backwards,
                venue=headers["venue"],
                batch_id=headers["batch_id"],
                upto=int(headers["upto"]),
                ingest_time=int(headers["ingest_time"]),
            )
        told = json.loads(value)
        if kind is None:
            if not isinstance(told, dict):
                raise ValueError("the JSON is no object")
            return Single(told)
        if kind == "instrument":
            return Instrument.from_row(told)
        return {"mark": Mark, "gap": Gap}[kind](**told)
    except (KeyError, ValueError, TypeError, RecursionError, pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{where}: not a message of {TOPIC} (kind {kind or 'event'}): {error}. Allowed are "
            "batch, mark, gap, instrument, and single events as docs/schemas/mbo_raw.json has them"
        ) from error


def _binary(batch: Batch) -> bytes:
    words = _json({"contracts": batch.contracts, "backwards": list(batch.backwards.items())})
    plain = pack(*_STATE, [np.frombuffer(words, "u1"), *batch.columns])
    packed: bytes = _CODEC.compress(plain, asbytes=True)
    return len(plain).to_bytes(8, "little") + packed


def _columns(value: bytes) -> tuple[Columns, tuple[tuple[str, str], ...], dict[int, int]]:
    size = int.from_bytes(value[:8], "little")
    if size > _LARGEST:
        raise ValueError(f"it says to be {size} bytes long, more than any of ours")
    plain = _CODEC.decompress(value[8:], size, asbytes=True)
    head, *columns = unpack(plain, *_STATE)[1]
    words = json.loads(head.tobytes())
    if [c.dtype for c in columns] != list(COLUMN_TYPES.values()) or len({*map(len, columns)}) != 1:
        raise ValueError(f"its columns are not {', '.join(COLUMN_TYPES)}")
    found = Columns._make(columns)
    contracts = tuple((str(c), str(symbol)) for c, symbol in words["contracts"])
    if len(found.contract) and not (
        found.contract.min() >= 0 and found.contract.max() < len(contracts)
    ):
        raise ValueError(f"a record's contract is none of the {len(contracts)} that are named")
    return found, contracts, {int(i): int(ts) for i, ts in words["backwards"]}


def _json(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
