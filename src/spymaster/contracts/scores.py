"""What a model said of the vectors, what it could not be asked, and what came of them."""

from __future__ import annotations

from spymaster.contracts.column import PARTITION, Column, Table, fact, key, session_columns, trace
from spymaster.contracts.silver import OUTCOMES

ROLES = ("champion", "shadow")

_IDENTITY: tuple[Column, ...] = (
    fact("vector_time", "int64", "close of the bar; nothing later was used", "ns UTC"),
    key("model_id", "string", "model that was asked"),
    fact("contract_id", "string", "contract"),
    fact("episode_id", "string", "its episode"),
    key("feature_hash", "string", "the vector"),
)
_ROLE = Column("role", "string", "champion is acted on", key=True, values=ROLES)
_SAID: tuple[Column, ...] = (
    *_IDENTITY,
    fact("model_version", "string", "registered version that answered"),
    fact("p_break", "float64", "probability of BREAK", "0..1"),
    fact("p_reject", "float64", "probability of REJECT", "0..1"),
    fact("p_chop", "float64", "probability of CHOP", "0..1"),
    fact("prediction", "string", "the most probable", values=OUTCOMES),
    _ROLE,
)

SCORE = Table(
    "gold.inference_scores_stream",
    "One row per vector, model and role: what the model said, and how long it took.",
    (
        *_SAID,
        *session_columns(),
        trace("scored_at", "int64", "when the answer came", "ns UTC"),
        trace("latency_ms", "float64", "request to answer", "ms"),
        trace("endpoint", "string", "who answered"),
    ),
    PARTITION,
    append=True,
    often=True,
)

SCORE_ERROR = Table(
    "gold.inference_errors_stream",
    "A vector that was given up, with the reason; it has no score.",
    (
        *_IDENTITY,
        _ROLE,
        fact("reason", "string", "why it was given up"),
        *session_columns(),
        trace("failed_at", "int64", "when it was given up", "ns UTC"),
        trace("attempts", "int64", "requests made", "requests"),
        trace("endpoint", "string", "who was asked"),
    ),
    PARTITION,
    append=True,
    often=True,
)

SCORE_OUTCOME = Table(
    "gold.score_outcomes_stream",
    "A score beside what came of its episode, once that was known: a model's live record.",
    (
        *_SAID,
        fact("label", "string", "outcome; null: censored", null=True, values=OUTCOMES),
        fact("known_at", "int64", "end of the outcome's bar", "ns UTC"),
        *session_columns(),
    ),
    PARTITION,
    append=True,
    often=True,
)

#: In the order in which an epoch of the scoring loop commits them.
TABLES = (SCORE, SCORE_ERROR, SCORE_OUTCOME)
