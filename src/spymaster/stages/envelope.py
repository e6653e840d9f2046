"""The envelope: bronze.mbo's rows from DBN records, and the kernel's events from those rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import to_arrow
from spymaster.contracts.event import EVENT, NOTE_BACKWARDS
from spymaster.feed.topic import Batch
from spymaster.kernel.columns import Columns, columns_of
from spymaster.kernel.layout import NONE
from spymaster.market.identify import Instrument
from spymaster.stages.bronze_process_dbn import Processed, payload_of

MBO, STREAM = TABLES["bronze.mbo"], TABLES["bronze.stream"]
_ACTIONS, _SIDES = "ACMRTFN", "BAN"


def _codes(letters: str) -> NDArray[np.int32]:
    table = np.zeros(256, np.int32)
    for i, letter in enumerate(letters):
        table[ord(letter)] = i
    return table


_ACTION_CODE, _SIDE_CODE = _codes(_ACTIONS), _codes(_SIDES)
_BYTES = np.arange(256, dtype=np.int32)


def envelope(
    records: NDArray[Any],
    done: Processed,
    which: NDArray[np.int64],
    contracts: Sequence[Instrument],
    venue: str,
    batch_id: str,
    now: int,
    partition: tuple[dt.date, str, str],
) -> pa.RecordBatch:
    """Rows of bronze.mbo from DBN records after bronze's stage; `which` of its events. ns UTC."""
    c = columns_of(records, done.events, done.sources, which, (_ACTION_CODE, _SIDE_CODE))
    session_date, underlier, instrument_type = partition
    return to_arrow(
        MBO,
        None,
        {
            **c._asdict(),
            "order_id": pa.array(c.order_id),  # the id 2**63 looks like a missing number
            "event_time": c.ts_event,
            "ingest_time": now,
            "venue": venue,
            "symbol": _dictionary(c.contract, [i.raw_symbol for i in contracts]),
            "contract_id": _dictionary(c.contract, [str(i.contract_id) for i in contracts]),
            "action": _dictionary(c.action, list(_ACTIONS)),
            "side": _dictionary(c.side, list(_SIDES)),
            "payload": _payload(records, done, which),
            "batch_id": batch_id,
            "session_date": session_date,
            "underlier": underlier,
            "instrument_type": instrument_type,
        },
        dictionary=True,
    )


def wire_batch(
    records: NDArray[Any],
    done: Processed,
    which: NDArray[np.int64],
    contracts: Sequence[Instrument],
    **told: Any,
) -> Batch:
    """The same rows as they travel on the topic; `told`: `feed.topic.Batch`'s other fields."""
    columns = columns_of(records, done.events, done.sources, which, (_BYTES, _BYTES))
    used, places = np.unique(columns.contract, return_inverse=True)
    backwards = np.flatnonzero(done.events["notes"][which] & NOTE_BACKWARDS).tolist()
    return Batch(
        columns=columns._replace(contract=places.astype(np.int32)),
        contracts=tuple((str(contracts[i].contract_id), contracts[i].raw_symbol) for i in used),
        backwards={i: int(records[done.sources[which[i]]]["ts_recv"]) for i in backwards},
        **told,
    )


def _dictionary(codes: NDArray[Any], words: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(words, pa.string()))


def _payload(records: NDArray[Any], done: Processed, which: NDArray[np.int64]) -> Any:
    if not (done.events["notes"] & NOTE_BACKWARDS).any():
        return "{}"
    backwards = np.flatnonzero(done.events["notes"][which] & NOTE_BACKWARDS)
    sources = done.sources[which[backwards]]
    words = ["{}", *(payload_of(records[i], NOTE_BACKWARDS) for i in sources)]
    codes = np.zeros(len(which), np.int32)
    codes[backwards] = np.arange(1, len(words))
    return _dictionary(codes, words)


def topic_rows(
    batches: Sequence[tuple[int, int, Batch, int]],
    events: NDArray[Any],
    which: NDArray[np.int64],
    contracts: Sequence[Instrument],
    partition: tuple[dt.date, str, str],
) -> pa.RecordBatch:
    """Rows of bronze.stream from batches of the topic; `which` of the batches' records in a row.

    batches: (partition, offset, batch, records) of each message; events: all of their events,
    `contract` indexing `contracts`.
    """
    counts = [n for *_, n in batches]
    told = [batch for _, _, batch, _ in batches]
    c = Columns._make(
        np.concatenate(x)[which] for x in zip(*(b.columns for b in told), strict=True)
    )
    symbols = sorted({symbol for b in told for _, symbol in b.contracts})
    place = {symbol: i for i, symbol in enumerate(symbols)}
    own = [np.array([place[s] for _, s in b.contracts], np.int32)[b.columns.contract] for b in told]
    notes = [{i: f'{{"ts_recv":{ts}}}' for i, ts in b.backwards.items()} for b in told]
    starts = np.cumsum([0, *counts[:-1]]).tolist()
    raw = {start + i: text for start, n in zip(starts, notes, strict=True) for i, text in n.items()}

    def of(values: Sequence[Any]) -> Any:
        """A word per message, as a column of codes."""
        words = sorted(set(values))
        codes = np.array([words.index(v) for v in values], np.int32)
        return _dictionary(np.repeat(codes, counts)[which], words)

    def each(values: Sequence[int], dtype: Any = np.int64) -> NDArray[Any]:
        repeated: NDArray[Any] = np.repeat(np.array(values, dtype), counts)[which]
        return repeated

    session_date, underlier, instrument_type = partition
    return to_arrow(
        STREAM,
        None,
        {
            **c._asdict(),
            "order_id": pa.array(c.order_id),  # the id 2**63 looks like a missing number
            "event_time": c.ts_event,
            "ingest_time": each([b.ingest_time for b in told]),
            "venue": of([b.venue for b in told]),
            "symbol": _dictionary(np.concatenate(own)[which], symbols),
            "contract_id": _dictionary(
                events["contract"][which], [str(i.contract_id) for i in contracts]
            ),
            "action": _dictionary(_ACTION_CODE[c.action], list(_ACTIONS)),
            "side": _dictionary(_SIDE_CODE[c.side], list(_SIDES)),
            "payload": _lower(raw, which),
            "batch_id": of([b.batch_id for b in told]),
            "session_date": session_date,
            "underlier": underlier,
            "instrument_type": instrument_type,
            "topic_partition": each([p for p, *_ in batches], np.int32),
            "topic_offset": each([offset for _, offset, *_ in batches]),
        },
        dictionary=True,
    )


def _lower(raw: Mapping[int, str], which: NDArray[np.int64]) -> Any:
    if not raw:
        return "{}"
    words = ["{}", *sorted(set(raw.values()))]
    codes = np.zeros(int(which.max()) + 1, np.int32)
    for i, text in raw.items():
        if i < len(codes):
            codes[i] = words.index(text)
    return _dictionary(codes[which], words)


def mark_rows(
    marks: Sequence[tuple[int, int, int]], venue: str, partition: tuple[dt.date, str, str]
) -> pa.RecordBatch:
    """Rows of bronze.stream that are clock marks: (partition, offset, ts_recv) of each message."""
    values = dict(zip(("session_date", "underlier", "instrument_type"), partition, strict=True))
    columns: dict[str, Any] = dict.fromkeys(STREAM.names)
    columns |= {
        **values,
        "venue": venue,
        "ts_recv": [ts for _, _, ts in marks],
        "is_snapshot": False,
        "topic_partition": [p for p, _, _ in marks],
        "topic_offset": [offset for _, offset, _ in marks],
    }
    return to_arrow(STREAM, None, columns, dictionary=True)


#: What the kernel needs of bronze.mbo.
EVENT_COLUMNS = [
    "event_time", "ts_recv", "order_id", "price", "size", "event_index", "contract_id", "action",
    "side", "flags", "payload",
]  # fmt: skip


def events_of(rows: pa.RecordBatch, contracts: list[str], steps: dict[str, int]) -> NDArray[Any]:
    """The kernel's events (`EVENT`) from rows of bronze.mbo with dictionary-coded strings.

    `contracts` takes new contracts at its end; `steps` gives each one's price step, 1e-9.
    """
    out = np.zeros(rows.num_rows, EVENT)
    out["ts_event"] = rows["event_time"].to_numpy()
    for name in ("ts_recv", "order_id", "size", "event_index"):
        out[name] = rows[name].to_numpy()
    out["flags"] = rows["flags"].to_numpy()
    out["action"] = _letters(rows["action"])
    out["side"] = _letters(rows["side"])
    words = rows["contract_id"].dictionary.to_pylist()
    for word in words:
        if word not in contracts:
            contracts.append(word)
    place = np.array([contracts.index(w) for w in words], np.int32)
    step = np.array([steps[w] for w in words], np.int64)
    codes = rows["contract_id"].indices.to_numpy()
    out["contract"] = place[codes]
    price = rows["price"].fill_null(NONE).to_numpy()
    out["price"] = np.where(price == NONE, NONE, price // step[codes])
    plain = np.array([w == "{}" for w in rows["payload"].dictionary.to_pylist()], np.bool_)
    out["notes"] = np.where(plain[rows["payload"].indices.to_numpy()], 0, NOTE_BACKWARDS)
    return out


def _letters(column: pa.DictionaryArray) -> NDArray[np.uint8]:
    letters = np.array([ord(w) for w in column.dictionary.to_pylist()], np.uint8)
    picked: NDArray[np.uint8] = letters[column.indices.to_numpy()]
    return picked
