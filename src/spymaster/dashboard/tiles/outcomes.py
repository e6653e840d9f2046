"""Scores against outcomes: each episode has one vote, however many vectors it had."""

from __future__ import annotations

from spymaster.contracts.silver import OUTCOMES
from spymaster.dashboard.tiles.expression import (
    Expression,
    Operand,
    Unary,
    col,
    either,
    given,
    present,
)
from spymaster.dashboard.tiles.query import count, rows, total
from spymaster.dashboard.tiles.scores import ROLE, scored
from spymaster.dashboard.tiles.tile import Shown, Tile

#: No outcome is ever called impossible.
_FLOOR = 1e-6
_MODEL = ("model_id", "model_version")
_PROBABILITIES = tuple(col(f"p_{o.lower()}") for o in OUTCOMES)


def _of_label(values: tuple[Operand, ...]) -> Expression:
    """The value of the outcome that came."""
    chosen = given(values[-1])
    for outcome, value in zip(OUTCOMES[-2::-1], values[-2::-1], strict=True):
        chosen = either(col("label").equals(outcome), value, chosen)
    return chosen


def _x_log_x(share: Expression) -> Expression:
    return either(share > 0.0, share * Unary("log", share), 0.0)


_KNOWN = (
    scored()
    .keep("feature_hash", "episode_id", "prediction", *_MODEL, *(p.name for p in _PROBABILITIES))
    .join(
        rows("gold.labels").keep("feature_hash", "label").where(present(col("label"))),
        on=("feature_hash",),
    )
)
_VECTORS = _KNOWN.group("episode_id", *_MODEL).get(vectors=count())
_JUDGED = _KNOWN.join(_VECTORS, on=("episode_id", *_MODEL)).extend(
    weight=given(1.0) / col("vectors"), p=_of_label(_PROBABILITIES)
)
_SHARES = tuple(col(o.lower()) / col("episodes") for o in OUTCOMES)

RECORD = Tile(
    "live_record",
    "Scores against outcomes",
    pane="live_record",
    kind="table",
    query=_JUDGED.extend(
        hit=either(col("prediction").equals(col("label")), col("weight"), 0.0),
        loss=Unary("log", either(col("p") < _FLOOR, _FLOOR, col("p"))) * col("weight"),
        **{o.lower(): either(col("label").equals(o), col("weight"), 0.0) for o in OUTCOMES},
    )
    .group(*_MODEL)
    .get(
        vectors=count(),
        episodes=total(col("weight")),
        hits=total(col("hit")),
        losses=total(col("loss")),
        **{o.lower(): total(col(o.lower())) for o in OUTCOMES},
    )
    .keep(
        *_MODEL,
        "vectors",
        "episodes",
        hit_rate=col("hits") / col("episodes"),
        log_loss=given(0.0) - col("losses") / col("episodes"),
        prior_loss=given(0.0) - _x_log_x(_SHARES[0]) - _x_log_x(_SHARES[1]) - _x_log_x(_SHARES[2]),
    )
    .sort(*_MODEL),
    series=(
        Shown("model_id", "Model", "", "text"),
        Shown("model_version", "Version", "", "text"),
        Shown("episodes", "Episodes", "episodes"),
        Shown("vectors", "Vectors", "vectors"),
        Shown("hit_rate", "Hit rate", "0..1"),
        Shown("log_loss", "Log-loss", "nats per episode"),
        Shown("prior_loss", "Log-loss of the shares themselves", "nats per episode"),
    ),
    parameters=(ROLE,),
    empty="No scored episode has ended in this window.",
)

_TENTH = Unary("floor", col("said") * 10.0)

CALIBRATION = Tile(
    "calibration",
    "Calibration",
    pane="calibration",
    kind="curve",
    query=_JUDGED.unpivot("place", outcome=OUTCOMES, said=_PROBABILITIES)
    .extend(
        # Whole until they are grouped: a division may differ in its last digit from row to row.
        tenth=either(_TENTH > 9.0, 9.0, _TENTH),
        weighed=col("said") * col("weight"),
        hit=either(col("label").equals(col("outcome")), col("weight"), 0.0),
    )
    .group(*_MODEL, "outcome", "tenth")
    .get(
        vectors=count(),
        episodes=total(col("weight")),
        weighed=total(col("weighed")),
        hits=total(col("hit")),
    )
    .keep(
        *_MODEL,
        "outcome",
        bin=col("tenth") / 10.0,
        vectors=col("vectors"),
        episodes=col("episodes"),
        said=col("weighed") / col("episodes"),
        happened=col("hits") / col("episodes"),
    )
    .sort(*_MODEL, "outcome", "bin"),
    x="said",
    split="outcome",
    series=(
        Shown("happened", "Share that came", "0..1", "line"),
        Shown("episodes", "Episodes", "episodes"),
        Shown("vectors", "Vectors", "vectors"),
        Shown("model_version", "Version", "", "text"),
    ),
    parameters=(ROLE,),
    empty="No scored episode has ended in this window.",
)

TILES = (RECORD, CALIBRATION)
