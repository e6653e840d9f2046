"""Gold: vectors, what came of them, and what a model may learn from."""

from __future__ import annotations

from spymaster.contracts.column import PARTITION, Table, fact, key, session_columns, trace
from spymaster.contracts.silver import BAR, CURRENCY, DIRECTIONS, NANO, OUTCOMES, SIZE, TICKS

VECTOR_SPEC = Table(
    "gold.vector_spec",
    "The name and meaning of every number in a vector.",
    (
        key("spec_hash", "string", "BLAKE2b-128 of the canonical lookback_spec"),
        key("position", "int64", "index in feature_vector, from 0"),
        fact("name", "string", "feature"),
        fact("block", "string", "now, lookback, context"),
        fact("unit", "string", "unit"),
        fact("meaning", "string", "one line"),
        fact("lookback_spec", "string", "canonical JSON of all knobs and the vector's layout"),
    ),
    append=True,
)

_EPISODE = (
    fact("level_price", "int64", "the level", NANO),
    fact("level_types", "list<string>", "what the price was, of the types known at the trigger"),
    fact("direction", "string", "side it came from", values=DIRECTIONS),
    fact("touch_ticks", "int64", "how near is a touch", TICKS),
    fact("barrier_ticks", "int64", "how far is an outcome", TICKS),
)

SETUP_VECTORS = Table(
    "gold.setup_vectors",
    "One row per bar of an episode whose outcome is still open (GoldExtractSetupVectors).",
    (
        fact("vector_time", "int64", "close of the bar; nothing later is in it", "ns UTC"),
        fact("model_id", "string", "model that scores it"),
        fact("contract_id", "string", "contract"),
        fact("episode_id", "string", "its episode"),
        fact("lookback_spec", "string", "canonical JSON of all knobs and the vector's layout"),
        fact("feature_vector", "list<float64>", "names in gold.vector_spec; NaN: missing"),
        key("feature_hash", "string", "BLAKE2b-128 of identity, spec and bytes"),
        fact("label", "string", "outcome, in history", null=True, values=OUTCOMES),
        trace("data_version", "string", "what it was made from: a row of lineage"),
        *_EPISODE,
        *session_columns(),
    ),
    PARTITION,
)

LABELS = Table(
    "gold.labels",
    "What came of each vector's episode, and when that was known.",
    (
        key("feature_hash", "string", "the vector"),
        fact("contract_id", "string", "contract"),
        fact("episode_id", "string", "its episode"),
        fact("vector_time", "int64", "close of the bar", "ns UTC"),
        fact("label", "string", "null: censored", null=True, values=OUTCOMES),
        fact("known_at", "int64", "end of the outcome's bar", "ns UTC"),
        *session_columns(),
    ),
    PARTITION,
)

TRAINING_VIEW = Table(
    "gold.training_view",
    "Vectors with an outcome that had time to happen, of complete sessions, weighted.",
    (
        key("feature_hash", "string", "the vector"),
        fact("vector_time", "int64", "close of the bar", "ns UTC"),
        fact("model_id", "string", "model that learns from it"),
        fact("contract_id", "string", "contract"),
        fact("episode_id", "string", "its episode"),
        fact("lookback_spec", "string", "canonical JSON of all knobs and the vector's layout"),
        fact("feature_vector", "list<float64>", "names in gold.vector_spec; NaN: missing"),
        fact("label", "string", "outcome", values=OUTCOMES),
        fact("known_at", "int64", "end of the outcome's bar", "ns UTC"),
        fact("weight", "float64", "1 / (vectors of the episode x episodes active at the bar)"),
        trace("data_version", "string", "what it was made from: a row of lineage"),
        *_EPISODE,
        *session_columns(),
    ),
    PARTITION,
)

FEATURE_SERIES = Table(
    "gold.feature_series",
    "A compact series per bar for dashboards.",
    (
        *BAR,
        fact("open", "float64", "first trade", CURRENCY, null=True),
        fact("high", "float64", "highest trade", CURRENCY, null=True),
        fact("low", "float64", "lowest trade", CURRENCY, null=True),
        fact("close", "float64", "last trade", CURRENCY, null=True),
        fact("volume", "int64", "traded", SIZE),
        fact("buy_volume", "int64", "traded by buying aggressors", SIZE),
        fact("sell_volume", "int64", "traded by selling aggressors", SIZE),
        fact("n_trades", "int64", "trades", "trades"),
        fact("vwap", "float64", "volume-weighted trade price", CURRENCY, null=True),
        fact("bid_px", "float64", "best bid", CURRENCY, null=True),
        fact("ask_px", "float64", "best ask", CURRENCY, null=True),
        fact("mid", "float64", "(bid + ask) / 2", CURRENCY, null=True),
        fact("spread", "float64", "ask - bid", CURRENCY, null=True),
        fact("microprice", "float64", "size-weighted mid", CURRENCY, null=True),
        fact("imbalance_1", "float64", "at the best", "-1..1", null=True),
        fact("imbalance_10", "float64", "over 10 levels", "-1..1", null=True),
        fact("bid_depth_10", "int64", "bid size over 10 levels", SIZE),
        fact("ask_depth_10", "int64", "ask size over 10 levels", SIZE),
        fact("ofi", "int64", "order flow imbalance", SIZE),
        fact("trade_imbalance", "float64", "(buy - sell) / (buy + sell)", "-1..1", null=True),
        fact("pressure", "float64", "of flow, trades and book", "-1..1", null=True),
        fact("liquidity_vacuum", "float64", "1 - depth / its median", "ratio", null=True),
        fact("realized_vol_72", "float64", "of the last 72 bars", TICKS, null=True),
        fact("vpin", "float64", "flow toxicity", "0..1", null=True),
        fact("kyle_lambda", "float64", "price impact", "ticks per size", null=True),
        fact("n_events", "int64", "live records of the bar", "records"),
        fact("n_unknown", "int64", "records of orders that are not in the book", "records"),
        fact("n_crossed", "int64", "crossed states in trading hours", "states"),
        fact("book_drift", "int64", "orders in which a snapshot differed", "orders"),
        fact("valid", "bool", "the book may be believed"),
        *session_columns(),
    ),
    PARTITION,
)

PARITY = Table(
    "gold.parity",
    "Parity certificates: was a streamed session the same, bit for bit, as its own record?",
    (
        key("session_date", "date", "trading session"),
        key("underlier", "string", "root"),
        key("against", "string", "capture: the stream's own record; vendor: the vendor's file"),
        trace("checked_at", "int64", "when", "ns UTC", null=False),
        fact("equal", "bool", "every fact of every table"),
        fact("rows", "string", "JSON: table -> rows of the stream, rows recomputed"),
        fact("vectors", "int64", "feature hashes compared"),
        fact("differences", "list<string>", "per table that differs: counts, the first row"),
        trace("first", "string", "JSON: table, contract_id, time, column, streamed, recomputed"),
        trace("files", "list<string>", "sha256 of the files it was recomputed from"),
        trace("chunk_records", "int64", "records at a time in the recomputation"),
        trace("data_version", "string", "of the recomputation"),
        trace("code_version", "string", "of the recomputation"),
        trace("machine", "string", "JSON: CPU, Python, library versions"),
    ),
    append=True,
)

TABLES = (VECTOR_SPEC, SETUP_VECTORS, LABELS, TRAINING_VIEW, FEATURE_SERIES, PARITY)
