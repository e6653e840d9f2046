"""The sweep: propose, try on the folds, keep; then fit the best on train and save it.

Broken off at any point and run again, alone or with several workers, it comes to the same: what
a trial is hangs only on the seed and the losses of the rounds before its own. Test sessions are
never read.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spymaster.engines.lease import Lease
from spymaster.errors import ModelError
from spymaster.lake.place import Place
from spymaster.ml import arrays
from spymaster.ml.candidate import candidate
from spymaster.ml.crew import Crew
from spymaster.ml.dataset import Dataset, load
from spymaster.ml.extra import quiet
from spymaster.ml.metrics import Metrics, judge
from spymaster.ml.mlflow_dataset import mlflow_dataset
from spymaster.ml.model import save_model
from spymaster.ml.plots import draw_calibration, draw_comparison
from spymaster.ml.search import ROUND, Known, propose
from spymaster.ml.split import Split
from spymaster.ml.split_file import freeze_split
from spymaster.ml.tracking import ROLE, SWEEP, TRIAL, Store
from spymaster.ml.trial import attempt, curves
from spymaster.ml.trial_log import Record, TrialLog, identity
from spymaster.settings import Settings

log = logging.getLogger(__name__)

#: Called with each record as it is there, and whether it was made now.
Progress = Callable[[Record, bool], None]
Clock = Callable[[], int]
MODEL = "model"


@dataclass(frozen=True)
class Swept:
    """What a sweep came to."""

    best: Record
    records: tuple[Record, ...]
    made: int  #: trials made now; the others were there
    parent_run: str
    model_run: str
    model_uri: str
    tracking_uri: str  #: without a password
    digest: str  #: of the saved model
    validation: dict[str, float | None]  #: of the saved model
    folder: Path  #: of the records


def sweep(
    settings: Settings,
    model_id: str,
    run_date: dt.date,
    trials: int,
    seed: int,
    now: Clock,
    jobs: int = 1,
    progress: Progress = lambda record, made: None,
) -> Swept:
    """Search on a snapshot, and save the best model found; more trials later go on where it ended.

    `now` is the wall clock in ns. Raises ModelError for a snapshot or split that is not there or
    another one's, a store that does not answer, or when no trial succeeded; LakeError when
    another sweep of this model is at work.
    """
    root = settings.root
    cut, _ = freeze_split(root, model_id, run_date, settings.ml.split)
    with Lease(Place(root), uuid.uuid4().hex, now, f"sweep/{model_id}") as lease:
        lease.swept()  # what a killed one left is found by its name, below
        data = load(root, model_id, run_date)
        kept = TrialLog(root, identity(data, cut, seed))
        store = Store(settings, model_id)
        parent = _parent(store, kept, settings, data, cut, seed)
        told = {int(run.data.tags[TRIAL]) for run in store.ended({SWEEP: kept.key, ROLE: "trial"})}
        records: list[Record] = []
        made = 0
        for record, new in _trials(kept, data, cut, root, seed, trials, jobs):
            if record["trial"] not in told:
                _tell_trial(store, parent, kept.key, record)
            records.append(record)
            made += new
            progress(record, new)
        records.sort(key=lambda r: int(r["trial"]))
        best = _best(records, kept.path)
        run, digest, validation = _model_run(store, parent, kept.key, best, data, cut, now)
        _compare(store, parent, records, best, run, now)
    return Swept(
        best=best,
        records=tuple(records),
        made=made,
        parent_run=parent,
        model_run=run,
        model_uri=f"runs:/{run}/{MODEL}",
        tracking_uri=store.shown,
        digest=digest,
        validation=validation,
        folder=kept.path,
    )


def _trials(
    kept: TrialLog, data: Dataset, cut: Split, root: str, seed: int, trials: int, jobs: int
) -> Iterator[tuple[Record, bool]]:
    """Records, round after round, and whether they were made now."""
    known: list[Known] = []
    about = (root, data.model_id, data.run_date)
    with Crew(1, _same, (data,)) if jobs == 1 else Crew(min(jobs, ROUND), load, about) as crew:
        for first in range(0, trials, ROUND):
            numbers = range(first, min(first + ROUND, trials))
            there = {i: record for i in numbers if (record := kept.get(i)) is not None}
            yield from ((record, False) for record in there.values())
            absent = [i for i in numbers if i not in there]
            each = [(cut.folds, i, propose(seed, i, known)) for i in absent]
            for record in crew.run(attempt, each):
                there[record["trial"]] = kept.put(record)
                yield there[record["trial"]], True
            known += [Known(there[i]["values"], there[i]["loss"]) for i in numbers]


def _same(data: Dataset) -> Dataset:
    return data


def _best(records: Sequence[Record], folder: Path) -> Record:
    """The least loss; of equal ones the earliest."""
    done = [r for r in records if r["loss"] is not None]
    if not done:
        raise ModelError(
            f"{folder}: none of {len(records)} trials could be fitted; the last said: "
            f"{records[-1]['reason']}"
        )
    return min(done, key=lambda r: (r["loss"], r["trial"]))


def _parent(
    store: Store, kept: TrialLog, settings: Settings, data: Dataset, cut: Split, seed: int
) -> str:
    """The sweep's own run, found again by its key."""
    tags = {SWEEP: kept.key, ROLE: "sweep"}
    found = store.runs(tags)
    if found and found[0].data.params:
        return str(found[0].info.run_id)
    name = f"sweep {data.run_date} seed {seed}"
    run = str(found[0].info.run_id) if found else store.start(name, tags)
    with quiet():
        store.dataset(run, mlflow_dataset(settings.root, data))
    params = {
        "model_id": data.model_id,
        "run_date": data.run_date,
        "snapshot": data.checksum,
        "feature_contract": data.feature_contract,
        "seed": seed,
        "train": f"{cut.train[0]}..{cut.train[-1]}",
        "validation": f"{cut.validation[0]}..{cut.validation[-1]}",
        "folds": len(cut.folds),
    }
    store.tell(run, params, {}, 0)  # last: a run without parameters is begun again
    return run


def _tell_trial(store: Store, parent: str, key: str, record: Record) -> None:
    trial, end = record["trial"], record["ended_ms"]
    tags = {SWEEP: key, ROLE: "trial", TRIAL: str(trial)}
    name = f"trial {trial} {record['knobs']['kind']}"
    run = store.start(name, tags, parent, record["started_ms"])
    failed = record["loss"] is None
    params = {**record["knobs"], "trial": trial, "fit_seed": record["fit_seed"]}
    if failed:
        store.tell(run, params, {}, end, tags={"spymaster.reason": record["reason"]})
    else:
        metrics = {"loss": record["loss"], **record["metrics"]}
        store.tell(run, params, metrics, end, {"fold_log_loss": tuple(record["folds"])})

    def fill(folder: Path) -> None:
        (folder / "trial.json").write_text(json.dumps(record, indent=1) + "\n")
        if not failed:
            draw_calibration(record, folder / "calibration.png")

    store.files(run, fill)
    store.end(run, end, failed)


def _model_run(
    store: Store, parent: str, key: str, best: Record, data: Dataset, cut: Split, now: Clock
) -> tuple[str, str, dict[str, float | None]]:
    """The run that holds the model of a trial: made once, found again; its digest and metrics."""
    tags = {SWEEP: key, ROLE: "model", TRIAL: str(best["trial"])}
    for run in store.ended(tags):
        found = {k.removeprefix("validation_"): v for k, v in run.data.metrics.items()}
        return str(run.info.run_id), run.data.tags["spymaster.digest"], found
    train, validation = data.of(cut.train), data.of(cut.validation)
    model = candidate(
        train,
        validation,
        best["knobs"],
        best["fit_seed"],
        snapshot=data.checksum,
        run_date=data.run_date.isoformat(),
        trial=best["trial"],
        sweep=key,
        seen_until=max(cut.train + cut.validation).isoformat(),
    )
    p = model.probabilities(validation.features)
    judged = _judge(p, validation)
    prior = _judge(np.tile(model.card["prior"], (len(p), 1)), validation)
    metrics = {
        **{f"validation_{name}": value for name, value in judged.flat().items()},
        "validation_prior_vector_log_loss": prior.per_vector.log_loss,
        "validation_prior_episode_log_loss": prior.per_episode.log_loss,
        "trust": model.card["trust"],
    }
    run = store.start(f"model of trial {best['trial']} {best['knobs']['kind']}", tags, parent)
    store.tell(
        run,
        {**best["knobs"], "trial": best["trial"], "fit_seed": best["fit_seed"]},
        metrics,
        now() // 10**6,
        tags={
            "spymaster.digest": model.card["digest"],
            "spymaster.feature_contract": model.feature_contract,
            "spymaster.snapshot": data.checksum,
            "spymaster.seen_until": model.card["seen_until"],
        },
    )
    drawn = {**best, "loss": judged.per_vector.log_loss, "curves": curves(judged)}
    store.files(run, lambda folder: draw_calibration(drawn, folder / "calibration.png"))
    store.files(run, lambda folder: save_model(folder / MODEL, model, train.features[:2]))
    store.end(run)
    told = {name.removeprefix("validation_"): value for name, value in metrics.items()}
    return run, str(model.card["digest"]), told


def _judge(p: arrays.F8, rows: Dataset) -> Metrics:
    return judge(p, rows.label, rows.weight, rows.episode)


def _compare(
    store: Store, parent: str, records: Sequence[Record], best: Record, run: str, now: Clock
) -> None:
    """The table and the picture of all trials, on the sweep's own run."""
    knobs = sorted({name for r in records for name in r["knobs"]} - {"kind"})
    heads = ["trial", "kind", "loss", "seconds", *knobs]

    def fill(folder: Path) -> None:
        with open(folder / "comparison.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(heads)
            for r in sorted(records, key=lambda r: (r["loss"] is None, r["loss"] or 0.0)):
                seconds = (r["ended_ms"] - r["started_ms"]) / 1000
                row = [r["trial"], r["knobs"]["kind"], r["loss"], seconds]
                table.writerow([*row, *(r["knobs"].get(name) for name in knobs)])
        draw_comparison(records, folder / "comparison.png")

    store.files(parent, fill)
    store.tell(
        parent,
        {},
        {"best_loss": best["loss"], "best_trial": best["trial"], "trials": len(records)},
        now() // 10**6,
        tags={"spymaster.best_trial": str(best["trial"]), "spymaster.model_run": run},
    )
    store.end(parent)
