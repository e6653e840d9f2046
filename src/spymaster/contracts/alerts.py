"""What rules may watch, and the alerts that they gave."""

from __future__ import annotations

from spymaster.contracts.column import PARTITION, Column, Table, fact, key, session_columns, trace
from spymaster.contracts.gold import FEATURE_SERIES
from spymaster.contracts.scores import SCORE

SEVERITIES = ("info", "warning", "critical")
CLOCKS = ("feed", "wall")

ALERT = Table(
    "gold.alerts_stream",
    "An alert that a rule gave: what it saw, and since when.",
    (
        key("rule", "string", "name of the rule in the settings"),
        key("subject", "string", "contract; of a score also model and role; of a feed the root"),
        key("at", "int64", "close of the bar or vector that it was given at", "ns UTC"),
        fact("began_at", "int64", "since when the condition has held", "ns UTC"),
        fact("clock", "string", "feed: the market's time; wall: ours, a trace", values=CLOCKS),
        fact("contract_id", "string", "contract; null: the whole underlier", null=True),
        fact("what", "string", "figure that was watched"),
        fact("condition", "string", "what was asked of it"),
        fact("value", "float64", "the figure", null=True),
        fact("score", "float64", "of the anomaly; null: no anomaly was asked for", null=True),
        fact("baseline", "float64", "what was expected, likewise", null=True),
        fact("times", "int64", "bars, or messages, in a row", "bars"),
        Column("severity", "string", "how bad", values=SEVERITIES),
        *session_columns(),
        trace("alert_id", "string", "idempotency key of its webhooks"),
        trace("given_at", "int64", "when, by the clock of the machine", "ns UTC"),
    ),
    PARTITION,
    append=True,
    often=True,
)

TABLES = (ALERT,)

_NUMBERS = ("int64", "float64", "bool")
_NO_FIGURE = {"bar_start", "bar_end", "valid"}
#: Columns that tell of the book itself; they are believed where the book is not.
COUNTS = {"unknown": "n_unknown", "crossed": "n_crossed", "drift": "book_drift"}
HEALTH = {
    **{name: FEATURE_SERIES.by_name[column].meaning for name, column in COUNTS.items()},
    "gaps": "1 where the book may not be believed, else 0",
    "lag_s": "seconds from the bar's close to its message; none of a replay",
}
SERIES = {
    **{
        c.name: c.meaning
        for c in FEATURE_SERIES.columns
        if c.type in _NUMBERS and c.name not in _NO_FIGURE
    },
    **HEALTH,
}
SCORES = {
    c.name: c.meaning for c in SCORE.columns if c.type == "float64"
}  # latency_ms and the probabilities
ERRORS = {"score_errors": "vectors given up in the last `window` times 5 s"}
SILENCE = {"stale_s": "seconds without a bar while bars are due, by the machine's clock"}
FIGURES = {**SERIES, **SCORES, **ERRORS, **SILENCE}
