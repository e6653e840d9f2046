"""What is traded: a model, the sessions its thresholds come from, and the sessions it trades."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.baseline import Baseline, Prior
from spymaster.ml.dataset import Dataset, load, open_snapshot
from spymaster.ml.frozen_files import VECTOR_SPEC
from spymaster.ml.metrics import judge, per_episode
from spymaster.ml.model import Scorer
from spymaster.ml.outcomes import OUTCOMES
from spymaster.ml.promote import snapshot_of
from spymaster.ml.registry import seen_until
from spymaster.ml.split_file import load_split
from spymaster.settings import Settings

Part = Literal["test", "validation"]


@dataclass(frozen=True)
class Contest:
    """`learnt`: what prior and baseline may learn from. On validation `traded` is `validation`."""

    scorer: Scorer
    part: Part
    learnt: Dataset
    trained: Dataset  #: its training sessions alone
    validation: Dataset
    traded: Dataset
    blocks: tuple[str, ...]  #: block of each feature, in the vector's order

    @classmethod
    def of(
        cls, settings: Settings, scorer: Scorer, part: Part, run_date: dt.date | None
    ) -> Contest:
        """The model's own snapshot, or `run_date`'s: of that the test sessions are those it has not
        seen, after the embargo.

        Raises ModelError when there are none, or the snapshot is of another feature contract.
        """
        own = snapshot_of(settings.root, scorer)
        split = load_split(settings.root, scorer.model_id, own.run_date)
        data = own
        test = split.test
        if run_date is not None and run_date != own.run_date:
            if part == "validation":
                raise ModelError(
                    f"{scorer.model_id} version {scorer.version}: its validation sessions are "
                    f"those of its own snapshot {own.run_date}. Leave --run-date out, or trade the "
                    "sessions since with --sessions test."
                )
            data = load(settings.root, scorer.model_id, run_date)
            later = [day for day in data.sessions if day > seen_until(scorer)]
            test = tuple(later[settings.ml.split.embargo :])
        if data.feature_contract != scorer.feature_contract:
            raise ModelError(
                f"{scorer.model_id} version {scorer.version}: has learnt the feature contract "
                f"{scorer.feature_contract}, and the snapshot {data.run_date} is of "
                f"{data.feature_contract}. Name a --run-date of the model's contract."
            )
        validation, trained = own.of(split.validation), own.of(split.train)
        known = split.train if part == "validation" else own.sessions
        learnt = own.of(tuple(day for day in known if day <= seen_until(scorer)))
        traded = validation if part == "validation" else data.of(test)
        if not len(traded):
            raise ModelError(
                f"{scorer.model_id} version {scorer.version}: the snapshot {data.run_date} has no "
                f"sessions that it has not seen, after {seen_until(scorer)} and the embargo. Take "
                "a later snapshot, and name it with --run-date."
            )
        blocks = _blocks(settings.root, own)
        return cls(scorer, part, learnt, trained, validation, traded, blocks)

    def judged(self, p: NDArray[np.float64]) -> dict[str, Any]:
        """The model's metrics on what it trades, beside the prior's and the baseline's."""
        rows = self.traded
        others = {
            "prior": Prior.fit(self.learnt).probabilities(rows),
            "baseline": Baseline.fit(self.learnt).probabilities(rows),
        }
        own = judge(p, rows.label, rows.weight, rows.episode)
        compared = {
            name: judge(other, rows.label, rows.weight, rows.episode).flat()
            for name, other in others.items()
        }
        keep = ("vector_log_loss", "episode_log_loss", "vector_brier", "episode_brier")
        return {
            "model": own.to_json(),
            **{name: {k: flat[k] for k in keep} for name, flat in compared.items()},
            "calibration": {
                name: None
                if one.curve is None
                else {
                    "called": one.curve.called.tolist(),
                    "happened": one.curve.happened.tolist(),
                    "weight": one.curve.weight.tolist(),
                }
                for name, one in own.per_episode.classes.items()
            },
            "predictions": predictions(p, rows),
        }


def predictions(p: NDArray[np.float64], rows: Dataset) -> dict[str, Mapping[str, Any]]:
    """Of each outcome that is predicted: how often, and what came; episodes count once each."""
    weight = per_episode(rows.weight, rows.episode)
    said = p.argmax(axis=1)
    out: dict[str, Mapping[str, Any]] = {}
    for i, name in enumerate(OUTCOMES):
        mine = said == i
        came = np.bincount(rows.label[mine], weight[mine], len(OUTCOMES))
        total = float(came.sum())
        out[name] = {
            "vectors": int(mine.sum()),
            "share": total / float(weight.sum()),
            "hit_rate": float(came[i]) / total if total else None,
            "came": {o: float(c) for o, c in zip(OUTCOMES, came.tolist(), strict=True)},
        }
    return out


def _blocks(root: str | Path, data: Dataset) -> tuple[str, ...]:
    """The block of each feature, as the snapshot's vector spec tells."""
    folder, _ = open_snapshot(root, data.model_id, data.run_date)
    spec = pq.read_table(folder.path / VECTOR_SPEC, columns=["position", "name", "block"])
    rows = sorted(spec.to_pylist(), key=lambda row: int(row["position"]))
    if tuple(row["name"] for row in rows) != data.names:
        raise ModelError(f"{folder.path / VECTOR_SPEC}: does not name the snapshot's features.")
    return tuple(row["block"] for row in rows)
