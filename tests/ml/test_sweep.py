"""A sweep comes to the same however it came about: killed, resumed, in parallel, in two parts."""

from __future__ import annotations

import csv
import datetime as dt
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from spymaster.cli import app
from spymaster.engines.lease import Lease
from spymaster.errors import LakeError, ModelError
from spymaster.lake.place import Place
from spymaster.ml import sweep as sweeping
from spymaster.ml.candidate import candidate
from spymaster.ml.dataset import load
from spymaster.ml.extra import needed, quiet
from spymaster.ml.freeze import freeze
from spymaster.ml.metrics import judge
from spymaster.ml.model import load_scorer
from spymaster.ml.search import propose
from spymaster.ml.split_file import load_split
from spymaster.ml.sweep import Swept, sweep
from spymaster.ml.tracking import ROLE, TRIAL, Store, tracking_uri
from spymaster.ml.trial import attempt
from spymaster.ml.trial_log import TrialLog, identity, key_of, lasting
from tests.ml import lakes

mlflow = needed("mlflow")

RUN_DATE = dt.date(2024, 3, 1)
TRIALS, SEED = 5, 11


def run(root: Path, trials: int = TRIALS, jobs: int = 1, **more: Any) -> Swept:
    settings = lakes.settings(root)
    return sweep(settings, "ES_MODEL", RUN_DATE, trials, SEED, time.time_ns, jobs, **more)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a snapshot of 22 sessions, and no lake: a sweep needs none.

    MLflow's tables are there, empty: to make them takes seconds.
    """
    root = tmp_path_factory.mktemp("frozen")
    lake = lakes.make(root / "whole", lakes.sessions(22))
    freeze(lake, lakes.settings(root / "whole"), "ES_MODEL", RUN_DATE, time.time_ns())
    shutil.copytree(root / "whole/ml-artifacts", root / "bare/ml-artifacts")
    with quiet():
        mlflow.MlflowClient(tracking_uri(lakes.settings(root / "bare"))).search_experiments()
    return root / "bare"


@pytest.fixture
def fresh(frozen: Path, tmp_path: Path) -> Path:
    shutil.copytree(frozen, tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture(scope="module")
def calm(frozen: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Swept]:
    """A sweep that nothing disturbed."""
    root = tmp_path_factory.mktemp("calm") / "root"
    shutil.copytree(frozen, root)
    return root, run(root)


def told(root: Path) -> dict[str, list[tuple[str, dict[str, str], dict[str, float]]]]:
    """What MLflow's store holds by role: each run's trial, parameters and metrics."""
    store = Store(lakes.settings(root), "ES_MODEL")
    roles: dict[str, list[tuple[str, dict[str, str], dict[str, float]]]] = {}
    for found in store.runs({}):
        assert found.info.status == "FINISHED"
        tags = found.data.tags
        row = (tags.get(TRIAL, ""), dict(found.data.params), dict(found.data.metrics))
        roles.setdefault(tags[ROLE], []).append(row)
    return {role: sorted(rows, key=lambda row: row[0]) for role, rows in roles.items()}


def assert_the_same(root: Path, done: Swept, calm: tuple[Path, Swept]) -> None:
    before, undisturbed = calm
    assert [lasting(r) for r in done.records] == [lasting(r) for r in undisturbed.records]
    assert done.best["trial"] == undisturbed.best["trial"]
    assert done.digest == undisturbed.digest
    assert done.validation == undisturbed.validation
    assert told(root) == told(before)


def test_the_best_is_the_least_mean_loss_over_the_folds(calm: tuple[Path, Swept]) -> None:
    _, done = calm
    losses = [r["loss"] for r in done.records]
    assert done.made == len(losses) == len(set(losses)) == TRIALS
    assert done.best["loss"] == min(losses)
    for record in done.records:
        assert record["loss"] == np.mean(record["folds"])
        assert len(record["folds"]) == 3
    assert len({r["knobs"]["kind"] for r in done.records}) > 1


def test_every_trial_is_a_run_under_the_sweeps_own(calm: tuple[Path, Swept]) -> None:
    root, done = calm
    roles = told(root)
    assert {role: len(rows) for role, rows in roles.items()} == {
        "sweep": 1, "trial": TRIALS, "model": 1,
    }  # fmt: skip
    for (trial, params, metrics), record in zip(roles["trial"], done.records, strict=True):
        assert trial == str(record["trial"]) == params["trial"]
        assert params["kind"] == record["knobs"]["kind"]
        assert metrics["loss"] == record["loss"]
        assert metrics["vector_auc_break"] == record["metrics"]["vector_auc_break"]
        assert metrics["episode_log_loss_chop"] > 0
    store = Store(lakes.settings(root), "ES_MODEL")
    (parent,) = store.runs({ROLE: "sweep"})
    assert parent.info.run_id == done.parent_run
    assert {r.data.tags["mlflow.parentRunId"] for r in store.runs({ROLE: "trial"})} == {
        done.parent_run
    }
    (given,) = parent.inputs.dataset_inputs
    assert given.dataset.digest == load(root, "ES_MODEL", RUN_DATE).checksum
    folder = Path(parent.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(root / "ml-artifacts/mlflow/artifacts")
    table = list(csv.DictReader((folder / "comparison.csv").read_text().splitlines()))
    assert float(table[0]["loss"]) == done.best["loss"]
    assert len(table) == TRIALS
    pictures = [folder / "comparison.png"]
    for trial in store.runs({ROLE: "trial"}):
        place = Path(trial.info.artifact_uri.removeprefix("file://"))
        pictures.append(place / "calibration.png")
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in pictures)
    assert len(pictures) == TRIALS + 1


def test_the_saved_model_is_fitted_on_train_and_calibrated_on_validation(
    calm: tuple[Path, Swept],
) -> None:
    from mlflow import set_tracking_uri

    root, done = calm
    data, cut = load(root, "ES_MODEL", RUN_DATE), load_split(root, "ES_MODEL", RUN_DATE)
    set_tracking_uri(done.tracking_uri)
    scorer = load_scorer(done.model_uri, data.feature_contract)
    assert scorer.columns == data.names
    card = scorer.model.card
    assert (card["digest"], card["snapshot"]) == (done.digest, data.checksum)
    assert card["seen_until"] == cut.validation[-1].isoformat()
    rows = data.of(cut.validation)
    again = judge(scorer.probabilities(rows.features), rows.label, rows.weight, rows.episode)
    assert again.per_vector.log_loss == done.validation["vector_log_loss"]
    assert again.per_vector.log_loss < done.validation["prior_vector_log_loss"]


def test_test_sessions_and_the_embargo_are_never_looked_at(calm: tuple[Path, Swept]) -> None:
    root, done = calm
    data, cut = load(root, "ES_MODEL", RUN_DATE), load_split(root, "ES_MODEL", RUN_DATE)
    seen = np.isin(data.session, np.array(cut.train + cut.validation, "datetime64[D]"))
    assert 0 < (~seen).sum() < len(data)
    spoilt = replace(
        data,
        features=np.where(seen[:, None], data.features, 1e9),
        label=np.where(seen, data.label, 1).astype(np.int8),
    )
    record = attempt(spoilt, cut.folds, 0, propose(SEED, 0, []))
    assert record["loss"] == done.records[0]["loss"]
    best = done.best
    made = [
        candidate(d.of(cut.train), d.of(cut.validation), best["knobs"], best["fit_seed"])
        for d in (data, spoilt)
    ]
    assert made[0].card["digest"] == made[1].card["digest"]


def in_a_child(work: Callable[[], object]) -> int:
    """Run in a process of its own; the signal that ended it, 0 for none."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def deadly(owner: Any, name: str, at: int, after: bool) -> None:
    """From its `at`-th call on nothing comes: the process is killed before, or after it."""
    real, calls = getattr(owner, name), iter(range(1, 1000))

    def call(*given: Any, **more: Any) -> Any:
        last = next(calls) == at
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        made = real(*given, **more)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    setattr(owner, name, call)


KILLS = {
    "while a trial is kept": (TrialLog, "put", 3, False),
    "before MLflow hears of a trial": (TrialLog, "put", 3, True),
    "while MLflow hears of a trial": (Store, "files", 1, False),
    "when all is told but the end": (Store, "end", 1, False),
    "while the model is saved": (sweeping, "save_model", 1, True),
    "while the trials are compared": (sweeping, "_compare", 1, False),
}


def test_killed_again_and_again_and_resumed_it_is_the_same(
    fresh: Path, calm: tuple[Path, Swept]
) -> None:
    for owner, name, at, after in KILLS.values():

        def work(owner: Any = owner, name: str = name, at: int = at, after: bool = after) -> None:
            deadly(owner, name, at, after)
            run(fresh)

        assert in_a_child(work) == signal.SIGKILL, name
    done = run(fresh)
    assert done.made == 0
    assert_the_same(fresh, done, calm)


def test_two_workers_and_more_trials_later_come_to_the_same(
    fresh: Path, calm: tuple[Path, Swept]
) -> None:
    first = run(fresh, trials=3, jobs=2)
    assert first.made == 3
    done = run(fresh)
    assert done.made == TRIALS - 3
    assert [lasting(r) for r in done.records] == [lasting(r) for r in calm[1].records]
    assert done.digest == calm[1].digest
    assert len(told(fresh)["trial"]) == TRIALS


def test_another_seed_is_another_sweep(calm: tuple[Path, Swept]) -> None:
    root, done = calm
    data, cut = load(root, "ES_MODEL", RUN_DATE), load_split(root, "ES_MODEL", RUN_DATE)
    assert done.folder.name.endswith(key_of(identity(data, cut, SEED)))
    assert key_of(identity(data, cut, SEED)) != key_of(identity(data, cut, SEED + 1))
    other = replace(data, checksum="another snapshot")
    assert key_of(identity(data, cut, SEED)) != key_of(identity(other, cut, SEED))
    assert propose(SEED, 0, []) != propose(SEED + 1, 0, [])


def test_a_damaged_record_is_named(calm: tuple[Path, Swept], tmp_path: Path) -> None:
    shutil.copytree(calm[0], tmp_path / "root")
    (path,) = (tmp_path / "root/ml-artifacts/sweeps").rglob("trial-0002.json")
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ModelError, match=r"trial-0002\.json: is damaged\. Remove it"):
        run(tmp_path / "root")


def test_a_trial_that_cannot_be_fitted_is_failed_with_its_reason(
    calm: tuple[Path, Swept],
) -> None:
    root, _ = calm
    data, cut = load(root, "ES_MODEL", RUN_DATE), load_split(root, "ES_MODEL", RUN_DATE)
    chops = replace(data, label=np.full_like(data.label, 2))
    record = attempt(chops, cut.folds, 0, propose(SEED, 0, []))
    assert record["loss"] is None
    assert "at least 2 outcomes" in record["reason"]


def test_one_sweep_of_a_model_at_a_time(fresh: Path) -> None:
    with (
        Lease(Place(fresh), "other", time.time_ns, "sweep/ES_MODEL"),
        pytest.raises(LakeError, match="another sweep of ES_MODEL is at work"),
    ):
        run(fresh)


def test_a_store_that_cannot_be_opened_is_one_clear_error(fresh: Path) -> None:
    (fresh / "a_file").touch()
    settings = lakes.settings(fresh, ml={"tracking_uri": f"sqlite:///{fresh / 'a_file'}/mlflow.db"})
    with pytest.raises(ModelError, match="tracking_uri") as caught:
        sweep(settings, "ES_MODEL", RUN_DATE, 1, SEED, time.time_ns)
    assert "\n" not in str(caught.value)


def test_the_command_tells_the_best_trials_and_the_model(calm: tuple[Path, Swept]) -> None:
    root, done = calm
    given = ["--model", "ES_MODEL", "--run-date", str(RUN_DATE), "--root", str(root)]
    said = CliRunner().invoke(
        app, ["ml", "sweep", *given, "--trials", str(TRIALS), "--seed", str(SEED)]
    )
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert lines[0].split()[:2] == ["trial", "kind"]
    assert f"{TRIALS} trials: 0 made, {TRIALS} were there" in lines[-1]
    assert f"best {done.best['loss']:.4f}" in lines[-1]
    assert done.model_uri in said.output
