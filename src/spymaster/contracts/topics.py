"""What travels on the bus: four topics, the JSON form of their messages taken from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spymaster.contracts import bronze, gold, scores, silver
from spymaster.contracts.column import Table, key


@dataclass(frozen=True)
class Message:
    """One kind of message: the topic it travels on, its key, and the columns of its JSON form.

    ``required`` are the names a message must have (None: all facts); ``instead`` replaces the
    JSON type of a column where the message's form is not the table's.
    """

    name: str
    topic: str
    meaning: str
    keyed_by: str
    table: Table
    required: tuple[str, ...] | None = None
    instead: Mapping[str, dict[str, Any]] = field(default_factory=dict)


#: The user's envelope: what a single JSON event must bring. The rest is the feed's and optional.
ENVELOPE = (
    "event_time",
    "ingest_time",
    "venue",
    "symbol",
    "instrument_type",
    "underlier",
    "contract_id",
    "action",
    "order_id",
    "side",
    "price",
    "size",
    "sequence",
    "payload",
)

MARK = Table(
    "mbo_raw.mark",
    "A clock mark: every later record of this dataset has ts_recv at or above it.",
    (key("venue", "string", "dataset"), key("ts_recv", "int64", "the feed's time", "ns UTC")),
)

GAP = Table(
    "mbo_raw.gap",
    "Records are missing here: no book of this dataset is good until a market snapshot.",
    tuple(c for c in bronze.GAPS.columns if c.name not in ("underlier", "batch_id")),
)

MESSAGES: dict[str, Message] = {
    m.name: m
    for m in (
        Message(
            "mbo_raw",
            "mbo_raw",
            "One MBO record as JSON; batches of them travel in a binary form.",
            "contract_id",
            bronze.MBO,
            ENVELOPE,
            {
                "price": {"type": ["number", "null"]},
                "symbol": {"type": ["string", "integer"]},
                "order_id": {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
            },
        ),
        Message("mbo_raw.mark", "mbo_raw", "A clock mark, on every partition.", "venue", MARK),
        Message("mbo_raw.gap", "mbo_raw", "A gap, on every partition.", "venue", GAP),
        Message(
            "mbo_raw.instrument",
            "mbo_raw",
            "What a contract is, before its first record of a connection.",
            "contract_id",
            bronze.DEFINITIONS,
        ),
        Message(
            "features_gold.vector",
            "features_gold",
            "A vector as it is made; it has no label.",
            "contract_id",
            gold.SETUP_VECTORS,
            tuple(c for c in gold.SETUP_VECTORS.facts if c != "label"),
        ),
        Message(
            "features_gold.series",
            "features_gold",
            "The compact series of a bar.",
            "contract_id",
            gold.FEATURE_SERIES,
        ),
        Message(
            "features_gold.book",
            "features_gold",
            "Ten levels of the order book at a bar's close.",
            "contract_id",
            silver.ORDERBOOK_STATE,
        ),
        Message(
            "features_gold.level",
            "features_gold",
            "A level, when it becomes known.",
            "contract_id",
            silver.SESSION_LEVELS,
        ),
        Message(
            "features_gold.outcome",
            "features_gold",
            "What came of a vector; it follows the vector in its partition.",
            "contract_id",
            gold.LABELS,
        ),
        Message("inference_scores", "inference_scores", "A score.", "contract_id", scores.SCORE),
        Message(
            "inference_errors",
            "inference_errors",
            "A vector that was given up, with the reason.",
            "contract_id",
            scores.SCORE_ERROR,
        ),
    )
}

#: The topics themselves, in the order of the way.
TOPICS = tuple(dict.fromkeys(m.topic for m in MESSAGES.values()))
