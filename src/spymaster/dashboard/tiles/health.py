"""The feed's and the scoring's health."""

from __future__ import annotations

from spymaster.dashboard.tiles.expression import Bin, Seconds, col
from spymaster.dashboard.tiles.query import (
    count,
    count_if,
    highest,
    last,
    lowest,
    mean,
    p95,
    rows,
    total,
)
from spymaster.dashboard.tiles.tile import Shown, Tile

_BAR_S = 5.0
_MINUTE = Bin(col("bar_start"), 60)

RECORDS = Tile(
    "records",
    "Records",
    pane="records",
    kind="lines",
    query=rows("gold.feature_series")
    .group("contract_id", at=_MINUTE)
    .get(records=total(col("n_events")), bars=count())
    .keep("contract_id", "at", rate=col("records") / (col("bars") * _BAR_S))
    .sort("contract_id", "at"),
    x="at",
    split="contract_id",
    series=(Shown("rate", "Records", "records/s", "line"),),
    empty="No bars in this window.",
)

_EXPECTED = Seconds(col("until"), col("since")) / _BAR_S

QUALITY = Tile(
    "quality",
    "Feed",
    pane="quality",
    kind="table",
    query=rows("gold.feature_series")
    .group("contract_id")
    .get(
        bars=count(),
        since=lowest(col("bar_start")),
        until=highest(col("bar_end")),
        records=total(col("n_events")),
        unknown=total(col("n_unknown")),
        crossed=total(col("n_crossed")),
        drift=total(col("book_drift")),
        doubtful=count_if(~col("valid")),
    )
    .extend(absent=_EXPECTED - col("bars"))
    .sort("contract_id"),
    series=(
        Shown("contract_id", "Contract", "", "text"),
        Shown("until", "Last bar's end", "", "text"),
        Shown("bars", "Bars", "bars"),
        Shown("absent", "Absent", "bars"),
        Shown("doubtful", "Not to be believed", "bars"),
        Shown("records", "Records", "records"),
        Shown("unknown", "Of unknown orders", "records"),
        Shown("crossed", "Crossed", "states"),
        Shown("drift", "Drift", "orders"),
    ),
    empty="No bars in this window.",
)

GAPS = Tile(
    "gaps",
    "Gaps",
    pane="gaps",
    kind="table",
    query=rows("bronze.gaps")
    .keep(
        "venue",
        "underlier",
        "from_ts",
        "to_ts",
        "reason",
        seconds=Seconds(col("to_ts"), col("from_ts")),
    )
    .sort("-from_ts", "underlier", "venue", "to_ts"),
    series=(
        Shown("venue", "Venue", "", "text"),
        Shown("underlier", "Underlier", "", "text"),
        Shown("from_ts", "From", "", "text"),
        Shown("to_ts", "To", "", "text"),
        Shown("seconds", "Length", "s"),
        Shown("reason", "Reason", "", "text"),
    ),
    empty="No gap in this window.",
)

LATENCY = Tile(
    "latency",
    "Time to a score",
    pane="latency",
    kind="lines",
    query=rows("gold.inference_scores_stream")
    .extend(lag=Seconds(col("scored_at"), col("vector_time")))
    .group("endpoint", at=Bin(col("vector_time"), 60))
    .get(
        scores=count(),
        mean_ms=mean(col("latency_ms")),
        p95_ms=p95(col("latency_ms")),
        max_ms=highest(col("latency_ms")),
        lag_s=mean(col("lag")),
    )
    .sort("endpoint", "at"),
    x="at",
    split="endpoint",
    series=(
        Shown("p95_ms", "95th percentile", "ms", "line"),
        Shown("mean_ms", "Mean", "ms", "line"),
        Shown("max_ms", "Longest", "ms"),
        Shown("lag_s", "Bar's close to score", "s"),
        Shown("scores", "Scores", "scores"),
    ),
    empty="Nothing was scored in this window.",
)

ERRORS = Tile(
    "errors",
    "Vectors without a score",
    pane="errors",
    kind="table",
    query=rows("gold.inference_errors_stream")
    .group("contract_id", "reason", "endpoint")
    .get(vectors=count(), attempts=total(col("attempts")), at=highest(col("failed_at")))
    .sort("-vectors", "contract_id", "reason", "endpoint"),
    series=(
        Shown("contract_id", "Contract", "", "text"),
        Shown("reason", "Reason", "", "text"),
        Shown("endpoint", "Endpoint", "", "text"),
        Shown("vectors", "Vectors", "vectors"),
        Shown("attempts", "Requests", "requests"),
        Shown("at", "Last", "", "text"),
    ),
    empty="Every vector of this window has its score.",
)

PARITY = Tile(
    "parity",
    "Last parity certificate",
    pane="parity",
    kind="table",
    query=rows("gold.parity")
    .group("underlier", "against")
    .get(
        session_date=last("session_date", "checked_at"),
        equal=last("equal", "checked_at"),
        vectors=last("vectors", "checked_at"),
        checked_at=highest(col("checked_at")),
        certificates=count(),
    )
    .sort("underlier", "against"),
    series=(
        Shown("underlier", "Underlier", "", "text"),
        Shown("against", "Against", "", "text"),
        Shown("session_date", "Session", "", "text"),
        Shown("equal", "Equal, bit for bit", "", "text"),
        Shown("vectors", "Vectors compared", "vectors"),
        Shown("checked_at", "Checked", "", "text"),
        Shown("certificates", "Certificates", "certificates"),
    ),
    empty="No session was checked yet: spymaster parity",
)

TILES = (RECORDS, QUALITY, GAPS, LATENCY, ERRORS, PARITY)
