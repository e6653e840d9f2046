"""Bronze: what the feed sent, whole and in its order."""

from __future__ import annotations

from spymaster.contracts.column import PARTITION, Table, fact, key, session_columns, trace

MBO = Table(
    "bronze.mbo",
    "One row per MBO record, in the feed's order: the envelope.",
    (
        fact("event_time", "int64", "when the exchange made it (DBN ts_event)", "ns UTC"),
        trace("ingest_time", "int64", "when this system wrote it down", "ns UTC", null=False),
        key("venue", "string", "dataset, such as GLBX.MDP3"),
        fact("symbol", "string", "raw symbol of the venue on that day"),
        fact("contract_id", "string", "contract across days and venues' renumberings"),
        fact(
            "action",
            "string",
            "add, cancel, modify, clear, trade, fill, none",
            values=("A", "C", "M", "R", "T", "F", "N"),
        ),
        fact("order_id", "int64", "order id, uint64 as two's complement"),
        fact(
            "side", "string", "bid, ask or none; of a trade: the aggressor", values=("B", "A", "N")
        ),
        fact("price", "int64", "null when undefined", "1e-9 currency", null=True),
        fact("size", "int64", "quantity", "contracts or shares"),
        fact("sequence", "int64", "the venue's sequence number; many records share one"),
        fact("payload", "string", "JSON of what else the record had, {} as a rule"),
        key("ts_recv", "int64", "arrival at the capture server, running maximum", "ns UTC"),
        key("event_index", "int32", "place among the instrument's records of that ts_recv"),
        key(
            "is_snapshot", "bool", "part of a market snapshot (F_SNAPSHOT), a key space of its own"
        ),
        fact("ts_in_delta", "int32", "matching engine's send time before ts_recv", "ns"),
        fact("flags", "int32", "DBN flags: F_LAST 128, F_SNAPSHOT 32, F_MAYBE_BAD_BOOK 4, ..."),
        fact("channel_id", "int32", "the venue's channel"),
        key("publisher_id", "int32", "DBN publisher"),
        key("instrument_id", "int64", "the venue's number, unique within a day"),
        trace("batch_id", "string", "file or connection that brought it"),
        *session_columns(),
    ),
    PARTITION,
    append=True,
)

DEFINITIONS = Table(
    "bronze.definitions",
    "What each instrument was, point in time: definition records, or a file's symbol mapping.",
    (
        key("venue", "string", "dataset"),
        key("instrument_id", "int64", "the venue's number, unique within a day"),
        key("ts_recv", "int64", "known from", "ns UTC"),
        key(
            "source",
            "string",
            "where it is from",
        ),
        fact(
            "valid_to",
            "int64",
            "a mapping's end, exclusive; null: until the next",
            "ns UTC",
            null=True,
        ),
        key("raw_symbol", "string", "the venue's symbol"),
        fact(
            "contract_id",
            "string",
            "null: skipped (a spread, user-defined, not configured)",
            null=True,
        ),
        fact("underlier", "string", "root the contract belongs to", null=True),
        fact("instrument_type", "string", "FUT, OPT, STK", null=True),
        fact("asset", "string", "product code", null=True),
        fact("instrument_class", "string", "DBN class: F, C, P, K, S, ...", null=True),
        fact("underlying", "string", "symbol of the underlying", null=True),
        fact("expiration", "int64", "last trading time", "ns UTC", null=True),
        fact("strike_price", "int64", "strike", "1e-9 currency", null=True),
        fact(
            "min_price_increment", "int64", "tick; null where it varies", "1e-9 currency", null=True
        ),
        fact("multiplier", "float64", "currency per point", null=True),
        fact("price_step", "int64", "kernel's price unit", "1e-9 currency", null=True),
        fact("tick", "int64", "tick in which distances are told", "1e-9 currency", null=True),
        trace("batch_id", "string", "file that brought it"),
    ),
    append=True,
)

MANIFEST = Table(
    "bronze.manifest",
    "Every landed file; the latest row of a path wins.",
    (
        key("path", "string", "place under the root"),
        fact("sha256", "string", "checksum of the bytes"),
        fact("bytes", "int64", "size", "bytes"),
        fact("schema", "string", "DBN schema"),
        fact("dataset", "string", "DBN dataset"),
        fact("start", "int64", "metadata start", "ns UTC"),
        fact("end", "int64", "metadata end", "ns UTC", null=True),
        fact("last_mark", "int64", "the feed's last ts_recv in it", "ns UTC", null=True),
        fact("underlier", "string", "main underlier"),
        fact("instrument_types", "list<string>", "kinds of contract in it"),
        fact("records", "int64", "records decoded", null=True),
        trace("batch_id", "string", "name of this file's rows in the other tables"),
        trace("landed_at", "int64", "when it landed", "ns UTC"),
        key(
            "status",
            "string",
            "landed, ingested, or damaged (readable up to `records`)",
        ),
    ),
    append=True,
)

QUARANTINE = Table(
    "bronze.quarantine",
    "Records that could not be accepted, whole, with the reason.",
    (
        key("source", "string", "file or topic"),
        key("offset", "int64", "record's number in it, from 0"),
        fact("reason", "string", "what is wrong"),
        fact("ts_recv", "int64", "arrival", "ns UTC", null=True),
        fact("instrument_id", "int64", "the venue's number", null=True),
        fact("raw", "string", "the record's bytes, hexadecimal"),
        trace("batch_id", "string", "file or connection that brought it"),
    ),
    append=True,
)

GAPS = Table(
    "bronze.gaps",
    "Times in which the feed is not known to be whole.",
    (
        key("venue", "string", "dataset"),
        key("underlier", "string", "root it touches"),
        key("from_ts", "int64", "last ts_recv before it", "ns UTC"),
        key("to_ts", "int64", "first ts_recv after it", "ns UTC"),
        fact("reason", "string", "what is missing"),
        trace("batch_id", "string", "file or connection that brought it"),
    ),
    append=True,
)

TABLES = (MBO, DEFINITIONS, MANIFEST, QUARANTINE, GAPS)
