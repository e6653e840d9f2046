"""Tables that no topic brings, made of those that do: open episodes, scores beside outcomes."""

from __future__ import annotations

import polars as pl

from spymaster.contracts.event import BAR_NS
from spymaster.contracts.scores import SCORE_OUTCOME
from spymaster.dashboard.times import schema, table_of

_EPISODE = table_of("silver.level_approach_2m")


def episodes(vectors: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Episodes as their vectors tell of them, and as far as their outcomes are known.

    Rows of silver.level_approach_2m; what only the lake knows (trigger price, ticks of the
    outcome) is null. An open episode has no outcome and no `outcome_bar`.
    """
    told = (
        vectors.sort("vector_time")
        .group_by("episode_id", maintain_order=True)
        .agg(
            *(
                pl.col(name).first()
                for name in ("contract_id", "level_price", "level_types", "direction",
                             "touch_ticks", "barrier_ticks", "session_date", "underlier",
                             "instrument_type")
            ),
            trigger_bar=pl.col("vector_time").min() - BAR_NS,
            n_vectors=pl.len().cast(pl.Int64),
        )
    )  # fmt: skip
    ended = labels.group_by("episode_id").agg(
        outcome=pl.col("label").first(), known_at=pl.col("known_at").max()
    )
    found = told.join(ended, on="episode_id", how="left").with_columns(
        outcome_bar=pl.col("known_at") - BAR_NS, trigger_time=pl.col("trigger_bar")
    )
    types = schema(_EPISODE)
    absent = [pl.lit(None, dtype=t).alias(n) for n, t in types.items() if n not in found.columns]
    return found.with_columns(absent).select(pl.col(n).cast(t) for n, t in types.items())


def outcomes(scores: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Scores beside what came of them, as soon as both are there."""
    known = labels.select("feature_hash", "label", "known_at")
    return scores.join(known, on="feature_hash", how="inner").select(SCORE_OUTCOME.names)
