"""Scores: what the model says of each vector, with the version that said it."""

from __future__ import annotations

from spymaster.contracts.scores import ROLES
from spymaster.dashboard.tiles.expression import col, pick
from spymaster.dashboard.tiles.query import Query, rows
from spymaster.dashboard.tiles.tile import Parameter, Shown, Tile

ROLE = Parameter("role", "Role", {r: r for r in ROLES}, ROLES[0])


def scored() -> Query:
    """Scores of the role that the viewer chose."""
    chosen = pick("role", {r: r for r in ROLES})
    return rows("gold.inference_scores_stream").where(col("role").equals(chosen))


SCORES = Tile(
    "scores",
    "Scores",
    pane="scores",
    kind="lines",
    query=scored()
    .keep(
        "contract_id",
        "episode_id",
        "p_break",
        "p_reject",
        "p_chop",
        "prediction",
        "model_id",
        "model_version",
        at=col("vector_time"),
    )
    .sort("contract_id", "at", "episode_id", "model_id"),
    x="at",
    split="episode_id",
    series=(
        Shown("p_break", "Break", "0..1", "line"),
        Shown("p_reject", "Reject", "0..1", "line"),
        Shown("p_chop", "Chop", "0..1", "line"),
        Shown("prediction", "Prediction", "", "text"),
        Shown("model_version", "Model version", "", "text"),
        Shown("contract_id", "Contract", "", "text"),
    ),
    parameters=(ROLE,),
    empty="Nothing was scored in this window.",
)

TILES = (SCORES,)
