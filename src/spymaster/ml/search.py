"""The search: what may be tried, and what is tried next, given what came of what was tried.

Trial i is proposed by the generator of [seed, i] from the trials of the rounds before its own
(rounds of four). So a trial hangs on nothing but the seed and the losses of earlier rounds: not
on how many worked at once, nor on how often the search was broken off and taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Any

import numpy as np

from spymaster.ml.extra import needed

ROUND = 4
#: Trials drawn from the space itself before any are reasoned from: three rounds.
STARTUP = 12


@dataclass(frozen=True)
class Proposal:
    """What a trial is to try: `values` as Hyperopt's labels have them, `knobs` as `fit` does."""

    values: dict[str, float]
    knobs: dict[str, Any]
    fit_seed: int


@dataclass(frozen=True)
class Known:
    """What came of an earlier trial; a loss of None is a trial that failed."""

    values: Mapping[str, float]
    loss: float | None


def space() -> Any:
    """Three kinds, each with knobs of its own; shares and penalties are per row, so that they
    mean the same however many rows there are."""
    hp = needed("hyperopt").hp
    return hp.choice(
        "kind",
        [
            {
                "kind": "logistic",
                "alpha": hp.loguniform("logistic.alpha", log(1e-3), log(10.0)),
                "scaling": hp.choice("logistic.scaling", ["standard", "robust"]),
                "clip": hp.choice("logistic.clip", [3.0, 6.0]),
                "indicators": hp.choice("logistic.indicators", [False, True]),
            },
            {"kind": "histogram", **_boosting(hp, "histogram")},
            {
                "kind": "lightgbm",
                **_boosting(hp, "lightgbm"),
                "rows": hp.uniform("lightgbm.rows", 0.4, 1.0),
            },
        ],
    )


def _boosting(hp: Any, kind: str) -> dict[str, Any]:
    return {
        "learning_rate": hp.loguniform(f"{kind}.learning_rate", log(0.02), log(0.2)),
        "rounds": hp.quniform(f"{kind}.rounds", 20, 150, 10),
        "leaves": hp.choice(f"{kind}.leaves", [4, 8, 16]),
        "depth": hp.choice(f"{kind}.depth", [3, 5]),
        "leaf_share": hp.loguniform(f"{kind}.leaf_share", log(2e-3), log(0.1)),
        "l2": hp.loguniform(f"{kind}.l2", log(1e-2), log(1e2)),
        "columns": hp.uniform(f"{kind}.columns", 0.1, 1.0),
    }


def propose(seed: int, trial: int, known: Sequence[Known]) -> Proposal:
    """What trial `trial` tries, from all trials of the rounds before it, in order."""
    before = known[: trial // ROUND * ROUND]
    draws = np.random.default_rng([seed, trial]).integers(2**31 - 1, size=2)
    (made,) = needed("hyperopt.tpe").suggest(
        [trial],
        _domain(),
        _trials(before),
        int(draws[0]),
        n_startup_jobs=STARTUP,
        verbose=False,
    )
    values = {label: float(v[0]) for label, v in sorted(made["misc"]["vals"].items()) if len(v)}
    knobs = needed("hyperopt").space_eval(
        space(), {label: _whole(v) for label, v in values.items()}
    )
    return Proposal(values, {k: knobs[k] for k in sorted(knobs)}, int(draws[1]))


@cache
def _domain() -> Any:
    return needed("hyperopt.base").Domain(_untried, space())


def _untried(_: Any) -> float:
    raise AssertionError("Hyperopt proposes; it does not run trials")


def _trials(known: Sequence[Known]) -> Any:
    """The history as Hyperopt keeps it."""
    base = needed("hyperopt.base")
    labels = sorted(_domain().params)
    trials = base.Trials()
    trials.insert_trial_docs(
        [
            {
                "state": base.JOB_STATE_ERROR if one.loss is None else base.JOB_STATE_DONE,
                "tid": tid,
                "spec": None,
                "result": {"status": "fail"}
                if one.loss is None
                else {"status": "ok", "loss": one.loss},
                "misc": {
                    "tid": tid,
                    "cmd": ("domain_attachment", "FMinIter_Domain"),
                    "workdir": None,
                    "idxs": {n: [tid] if n in one.values else [] for n in labels},
                    "vals": {n: [_whole(one.values[n])] if n in one.values else [] for n in labels},
                },
                "exp_key": None,
                "owner": None,
                "version": 0,
                "book_time": None,
                "refresh_time": None,
            }
            for tid, one in enumerate(known)
        ]
    )
    trials.refresh()
    return trials


def _whole(value: float) -> float | int:
    """An index of a choice is a whole number; other knobs may as well be."""
    return int(value) if value == int(value) else value
