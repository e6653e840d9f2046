"""A run of a feed's records, MBO and definitions mixed, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spymaster.feed.dbn_definitions import DEFINITION
from spymaster.feed.dbn_records import MBO_RECORD, TS_OUT_WORDS

Flags = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]
Rows = npt.NDArray[Any]

NO_MBO: Rows = np.empty(0, MBO_RECORD)
NO_DEFINITIONS: Rows = np.empty(0, DEFINITION)


@dataclass(frozen=True)
class Batch:
    """Records in the feed's order.

    keys: when each is due, ns UTC, never falling. mbo: MBO_RECORD, definitions: DEFINITION;
    kinds: True where a record is a definition, None where all are of one kind. places: each
    record's number in the feed, None where they are first, first + 1, ...
    """

    first: int
    keys: Longs
    mbo: Rows = field(default_factory=lambda: NO_MBO)
    definitions: Rows = field(default_factory=lambda: NO_DEFINITIONS)
    kinds: Flags | None = None
    places: Longs | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def end(self) -> int:
        """The number in the feed after the last record's."""
        if self.places is None:
            return self.first + len(self)
        return int(self.places[-1]) + 1 if len(self.places) else self.first

    def cut(self, a: int, b: int) -> Batch:
        """Records a up to b."""
        first = self.first + a
        places = None
        if self.places is not None:
            places = self.places[a:b]
            first = int(places[0]) if len(places) else self.first
        keys = self.keys[a:b]
        if self.kinds is None:
            return Batch(first, keys, self.mbo[a:b], self.definitions[a:b], None, places)
        before, inside = int(self.kinds[:a].sum()), self.kinds[a:b]
        n = int(inside.sum())
        mbo = self.mbo[a - before : a - before + len(keys) - n]
        return Batch(first, keys, mbo, self.definitions[before : before + n], inside, places)

    def where(self, wanted: Flags) -> Batch:
        """The records that are wanted."""
        if wanted.all():
            return self
        places = np.flatnonzero(wanted)
        places = self.first + places if self.places is None else self.places[places]
        mbo, definitions, kinds = self.mbo, self.definitions, self.kinds
        if kinds is not None:
            mbo, definitions = mbo[wanted[~kinds]], definitions[wanted[kinds]]
            kinds = kinds[wanted]
        elif len(mbo):
            mbo = mbo[wanted]
        else:
            definitions = definitions[wanted]
        return Batch(self.first, self.keys[wanted], mbo, definitions, kinds, places)

    def column(self, name: str) -> Longs:
        """A field that both kinds have, as int64."""
        if self.kinds is None:
            rows = self.mbo if len(self.mbo) else self.definitions
            return rows[name].astype(np.int64)
        out = np.empty(len(self), np.int64)
        out[~self.kinds], out[self.kinds] = self.mbo[name], self.definitions[name]
        return out

    def is_definition(self) -> Flags:
        if self.kinds is not None:
            return self.kinds
        return np.full(len(self), len(self.definitions) > 0)

    def encode(self, ts_out: Longs | None = None) -> bytes | memoryview:
        """The records as DBN version 3, each with its send time where there is one."""
        if self.kinds is None:
            return _bytes(self.mbo if len(self.mbo) else self.definitions, ts_out)
        starts = np.flatnonzero(np.diff(self.kinds, prepend=~self.kinds[:1])).tolist()
        pieces = []
        for a, b in zip(starts, [*starts[1:], len(self)], strict=True):
            part = self.cut(a, b)
            rows = part.definitions if part.kinds is not None and part.kinds[0] else part.mbo
            pieces.append(_bytes(rows, None if ts_out is None else ts_out[a:b]))
        return b"".join(pieces)


def merged(first: int, parts: list[Batch]) -> Batch:
    """Batches in one by their keys; of equal keys an earlier batch's come first."""
    if len(parts) == 1:
        one = parts[0]
        return Batch(first, one.keys, one.mbo, one.definitions, one.kinds)
    keys = np.concatenate([p.keys for p in parts])
    kinds = np.concatenate([p.is_definition() for p in parts])
    order = np.argsort(keys, kind="stable")
    mbo = np.concatenate([p.mbo for p in parts])
    definitions = np.concatenate([p.definitions for p in parts])
    number = np.where(kinds, np.cumsum(kinds), np.cumsum(~kinds))[order] - 1
    kinds = kinds[order]
    uniform = bool(kinds.all() or not kinds.any())
    return Batch(
        first,
        keys[order],
        mbo[number[~kinds]],
        definitions[number[kinds]],
        None if uniform else kinds,
    )


def _bytes(rows: Rows, ts_out: Longs | None) -> memoryview:
    if ts_out is not None:
        longer = np.empty(len(rows), [*rows.dtype.descr, ("ts_out", "<i8")])
        for name in rows.dtype.names or ():
            longer[name] = rows[name]
        longer["length"] += TS_OUT_WORDS
        longer["ts_out"] = ts_out
        rows = longer
    return np.ascontiguousarray(rows).view(np.uint8).data
