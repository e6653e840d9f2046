"""Alerts: what the rules of `spymaster alerts` told, the newest first."""

from __future__ import annotations

from spymaster.dashboard.tiles.query import rows
from spymaster.dashboard.tiles.tile import Shown, Tile

ALERTS = Tile(
    "alerts",
    "Alerts",
    pane="alerts",
    kind="table",
    query=rows("gold.alerts_stream")
    .keep(
        "at",
        "contract_id",
        "subject",
        "rule",
        "what",
        "condition",
        "value",
        "severity",
        "began_at",
        "clock",
    )
    .top(200, "-at", "rule", "subject"),
    series=(
        Shown("at", "At", "", "text"),
        Shown("subject", "Subject", "", "text"),
        Shown("rule", "Rule", "", "text"),
        Shown("what", "What", "", "text"),
        Shown("condition", "Condition", "", "text"),
        Shown("value", "Value", "of the figure"),
        Shown("severity", "Severity", "", "text"),
        Shown("began_at", "Since", "", "text"),
    ),
    empty="No rule gave an alert: spymaster alerts",
)

TILES = (ALERTS,)
