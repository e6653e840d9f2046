"""Anomalies: one feature with its marks, and the strongest of all as a table.

No season is looked for unless it is declared: what a service finds by itself cannot be told from
outside, and a bar of 5 s has no season of its own.
"""

from __future__ import annotations

from spymaster.dashboard.tiles.expression import Unary, col, pick, present
from spymaster.dashboard.tiles.features import CHOSEN, FEATURE
from spymaster.dashboard.tiles.query import Anomaly, Query, Union, rows
from spymaster.dashboard.tiles.tile import Parameter, Shown, Tile

_THRESHOLDS = {"1.5": "1.5 (mild)", "3.0": "3.0 (strong)", "5.0": "5.0", "10.0": "10.0"}
THRESHOLD = Parameter("threshold", "Threshold", _THRESHOLDS, "3.0")
_CHOSEN = pick("threshold", {k: float(k) for k in _THRESHOLDS})

ANOMALIES = Tile(
    "anomalies",
    "Anomalies of a feature",
    pane="anomalies",
    kind="markers",
    query=rows("gold.feature_series")
    .keep("contract_id", at=col("bar_start"), value=CHOSEN)
    .where(present(col("value")))
    .decompose(Anomaly("value", _CHOSEN), at="at", by=("contract_id",))
    .sort("contract_id", "at"),
    x="at",
    split="contract_id",
    series=(
        Shown("value", "Value", "of the feature", "line"),
        Shown("baseline", "Baseline", "of the feature", "line"),
        Shown("score", "Score", "interquantile ranges"),
        Shown("flag", "Anomaly", "-1, 0, 1"),
    ),
    parameters=(FEATURE, THRESHOLD),
    empty="No value of this feature in this window.",
)


def _strong(what: str, feature: str, up_only: bool) -> Query:
    found = (
        rows("gold.feature_series")
        .keep("contract_id", at=col("bar_start"), value=Unary("real", col(feature)))
        .where(present(col("value")))
        .decompose(Anomaly("value", _CHOSEN), at="at", by=("contract_id",))
    )
    flag = col("flag")
    return found.where(flag > 0 if up_only else flag.differs(0)).extend(what=what)


STRONGEST = Tile(
    "anomaly_table",
    "Strongest anomalies",
    pane="anomaly_table",
    kind="table",
    query=Union(
        (
            _strong("OFI spike", "ofi", up_only=False),
            _strong("liquidity vacuum", "liquidity_vacuum", up_only=True),
        )
    )
    .extend(distance=Unary("abs", col("score")))
    .top(50, "-distance", "contract_id", "what", "at"),
    series=(
        Shown("at", "Bar", "", "text"),
        Shown("contract_id", "Contract", "", "text"),
        Shown("what", "What", "", "text"),
        Shown("value", "Value", "of the feature"),
        Shown("baseline", "Baseline", "of the feature"),
        Shown("score", "Score", "interquantile ranges"),
    ),
    parameters=(THRESHOLD,),
    empty="No anomaly above the threshold in this window.",
)

TILES = (ANOMALIES, STRONGEST)
