"""What was asked of the test sessions, and which version of a model was made champion when."""

from __future__ import annotations

from spymaster.contracts.column import Column, Table, fact, key, trace

#: A look is `begun` before anything is computed, and `ended` before anything is shown.
LOOK_EVENTS = ("begun", "ended")
#: `seen`: nothing was to be decided by it.
VERDICTS = ("passed", "refused", "seen")
#: `found`: the alias was set by somebody else, and is taken as it is.
PROMOTION_EVENTS = ("promoted", "rolled_back", "carried_out", "found")

TEST_LOOKS = Table(
    "gold.test_looks",
    "Every look at test sessions, also one that broke off: what it asked, cost and answered.",
    (
        key("look_id", "string", "the look"),
        Column("event", "string", "a look without `ended` broke off", key=True, values=LOOK_EVENTS),
        trace("at", "int64", "when", "ns UTC", null=False),
        fact("model_id", "string", "model"),
        fact("purpose", "string", "what for: gate, or the name of another verb"),
        fact("challenger", "string", "version that was judged"),
        fact("champion", "string", "version it was judged against", null=True),
        fact("run_date", "date", "of the dataset snapshot"),
        fact("checksum", "string", "of the dataset snapshot"),
        fact("sessions", "list<string>", "test sessions looked at"),
        fact("episodes", "int64", "in them"),
        fact("metric", "string", "what was compared, with its unit"),
        fact("look", "int64", "1 + earlier looks that share a test session with it"),
        fact("alpha", "float64", "significance it may use", "0..1"),
        fact("verdict", "string", "null: begun", null=True, values=VERDICTS),
        fact(
            "findings", "string", "JSON: check -> found, allowed, and how it was found", null=True
        ),
        fact("reasons", "list<string>", "why it was refused"),
        trace("code_version", "string", "of the judge"),
    ),
    append=True,
)

PROMOTIONS = Table(
    "gold.promotions",
    "Which version of a model became champion when, and why; written before the alias moves, "
    "and again (`carried_out`) after.",
    (
        key("model_id", "string", "model"),
        key("number", "int64", "of the model's changes, from 1"),
        trace("at", "int64", "when", "ns UTC", null=False),
        fact("event", "string", "what happened", values=PROMOTION_EVENTS),
        fact("version", "string", "champion from now on", null=True),
        fact("before", "string", "champion until now", null=True),
        fact("look_id", "string", "the look that it passed", null=True),
        fact("reason", "string", "why"),
        trace("code_version", "string", "of who changed it"),
    ),
    append=True,
)

TABLES = (TEST_LOOKS, PROMOTIONS)
