"""Vectors meet their outcomes at a session's end: labels, and what may be learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spymaster.contracts import TABLES
from spymaster.contracts.event import BAR_NS
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.engines.sink import combine
from spymaster.kernel.weights import training_weights
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Rows

_TRAINING = numpy_dtype(TABLES["gold.training_view"])
_SHARED = (
    "contract_id", "model_id", "episode_id", "lookback_spec", "feature_vector", "feature_hash",
    "level_types", "direction",
)  # fmt: skip


def label_vectors(vectors: Sequence[Rows], labels: Sequence[Rows]) -> list[Rows]:
    """The vectors with the outcome of their episodes, null where it is not known."""
    known = {h: r.columns["label"] for r in labels for h in r.columns["feature_hash"]}
    return [
        replace(
            r,
            columns={**r.columns, "label": [known.get(h) for h in r.columns["feature_hash"]]},
        )
        for r in vectors
    ]


def training_view(day: ContractDay, vectors: Sequence[Rows], labels: Sequence[Rows]) -> list[Rows]:
    """The vectors of a whole session whose episodes had time for every outcome, weighted.

    An episode counts if its trigger bar's end plus the timeout is not past the end of focus,
    whatever came of it, else only fast outcomes survive. Censored ones have nothing to teach.
    """
    whole = combine(TABLES["gold.setup_vectors"], list(vectors))
    if whole.records is None:
        return []
    known_at = {
        h: int(t)
        for r in labels
        for h, t in zip(r.columns["feature_hash"], r.records["known_at"], strict=True)  # type: ignore[index]
    }
    times = whole.records["vector_time"]
    names = {e: i for i, e in enumerate(dict.fromkeys(whole.columns["episode_id"]))}
    episodes = np.array([names[e] for e in whole.columns["episode_id"]], np.int64)
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, episodes, times)  # the first vector is at the trigger bar's end
    in_time = first[episodes] + day.approach.timeout_bars * BAR_NS <= day.session.focus.end
    labelled = np.array([v is not None for v in whole.columns["label"]], np.bool_)
    chosen = np.flatnonzero(in_time & labelled)
    if not len(chosen):
        return []
    out = np.zeros(len(chosen), _TRAINING)
    for name in ("vector_time", "level_price", "touch_ticks", "barrier_ticks"):
        out[name] = whole.records[name][chosen]
    hashes = whole.columns["feature_hash"]
    out["known_at"] = [known_at[hashes[i]] for i in chosen]
    out["weight"] = training_weights(episodes, times)[chosen]
    columns = {}
    for name in (*_SHARED, "label"):
        value = whole.columns[name]
        per_row = isinstance(value, list | np.ndarray)
        columns[name] = [value[i] for i in chosen] if per_row else value
    columns["feature_vector"] = whole.columns["feature_vector"][chosen]
    return [Rows("gold.training_view", out, columns)]
