"""A model is arrays: they say what the library said, in any batch, anywhere, and never NaN."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spymaster.errors import ModelError, ScoringError
from spymaster.ml import arrays, histogram, lightgbm, logistic, outcomes, walk
from spymaster.ml.arrays import F8, Model
from spymaster.ml.fitting import KINDS, fit, form
from spymaster.ml.model import load_scorer, save_model
from spymaster.ml.outcomes import prior
from spymaster.ml.trust import calibration, trust

K = 12
CONTRACT = "0123456789abcdef0123456789abcdef"
TREES = {
    "learning_rate": 0.1, "rounds": 12, "leaves": 8, "depth": 4, "leaf_share": 0.01, "l2": 1.0,
    "columns": 0.7, "rows": 0.8,
}  # fmt: skip
KNOBS: dict[str, dict[str, Any]] = {
    "logistic": {"kind": "logistic", "alpha": 0.01, "scaling": "robust", "clip": 3.0,
                 "indicators": True},
    "histogram": {"kind": "histogram", **TREES},
    "lightgbm": {"kind": "lightgbm", **TREES},
}  # fmt: skip
LIBRARY = {"logistic": logistic.fit, "histogram": histogram.fit, "lightgbm": lightgbm.fit}
COLUMNS = [f"f{i}" for i in range(K)]


def rows(n: int, seed: int) -> F8:
    """Columns of all sorts: noise, whole numbers, a constant, seldom and often missing."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, K))
    x[:, 1] = np.round(x[:, 1])
    x[:, 2] = 7.0
    x[:, 3] *= 1e6
    x[random.random(n) < 0.3, 4] = np.nan
    x[random.random(n) < 0.02, 5] = np.nan
    x[:, 6] = np.nan
    return x


def answers(x: F8) -> np.ndarray[Any, np.dtype[np.int8]]:
    random = np.random.default_rng(5)
    lean = x[:, 0] + np.isnan(x[:, 4]) + random.normal(size=len(x))
    return np.digitize(lean, [-0.4, 0.9]).astype(np.int8)


def unseen() -> F8:
    """What training did not hold: missing where nothing was, extremes, ties, infinities."""
    x = np.vstack([rows(300, 9), rows(600, 1)[:20]])
    x[0] = np.nan
    x[1:8, :4] = np.nan
    x[8, :] = 0.0
    x[9, :] = 1e300
    x[10, :] = -1e300
    x[11, :6] = np.inf
    x[12, :6] = -np.inf
    return x


def known(x: F8) -> F8:
    return np.where(np.isfinite(x), x, np.nan)


def model(kind: str, **told: Any) -> Model:
    x = rows(600, 1)
    y, w = answers(x), np.random.default_rng(2).random(600) + 0.1
    made = {**fit(KNOBS[kind], x, y, w, 3), **calibration(0.8, prior(y, w))}
    card = {
        "format": 1, "form": form(kind), "model_id": "ES_MODEL", "feature_contract": CONTRACT,
        "outcomes": list(arrays.OUTCOMES), "columns": COLUMNS, **told,
    }  # fmt: skip
    return Model({**card, "digest": arrays.digest(card, made)}, made)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {kind: model(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def saved(models: dict[str, Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for kind, made in models.items():
        save_model(folder / kind, made, unseen()[:2])
    return folder


def test_the_file_that_travels_knows_the_same_outcomes_as_the_package() -> None:
    assert arrays.OUTCOMES == outcomes.OUTCOMES
    assert arrays.PROBABILITIES == outcomes.PROBABILITIES
    assert arrays.FLOOR == outcomes.FLOOR


def test_boosted_arrays_say_what_scikit_learn_says_of_rows_it_has_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sklearn import ensemble

    grown: list[Any] = []

    class Watched(ensemble.HistGradientBoostingClassifier):  # type: ignore[misc]
        def fit(self, *given: Any, **more: Any) -> Any:
            grown.append(super().fit(*given, **more))
            return grown[-1]

    monkeypatch.setattr(ensemble, "HistGradientBoostingClassifier", Watched)
    x = rows(600, 1)
    made = fit(KNOBS["histogram"], x, answers(x), np.ones(600), 3)
    new = known(unseen())
    binned = histogram._binned(new, [histogram._edges(x[:, j]) for j in range(K)])
    binned[:, 6] = 0.0  # never known in training
    assert len(np.unique(made["threshold"])) > 20
    assert np.array_equal(grown[0].decision_function(binned), arrays.trees(made, unseen()))


def test_lightgbm_arrays_say_what_lightgbm_says_of_rows_it_has_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import lightgbm as library

    train, grown = library.train, []
    monkeypatch.setattr(library, "train", lambda *a, **b: grown.append(train(*a, **b)) or grown[0])
    x = rows(600, 1)
    made = fit(KNOBS["lightgbm"], x, answers(x), np.ones(600), 3)
    # Missing counts as 0 in a column where training knew all, else it goes a way of its own.
    assert {c // K for c in made["column"].tolist()} >= {0, 2}
    said = grown[0].predict(known(unseen()), raw_score=True, num_threads=1)
    assert np.array_equal(said, arrays.trees(made, unseen()))


def test_logistic_arrays_say_what_scikit_learn_says() -> None:
    x = rows(600, 1)
    made, told = logistic.fit(KNOBS["logistic"], x, answers(x), np.ones(600), 3)
    assert np.allclose(arrays.linear(made, x), told, rtol=1e-12, atol=1e-12)
    assert np.abs(made["missing"][4]).max() > 0.1  # being missing there foretells
    assert not made["missing"][6].any()  # nothing is learnt of a column that is never known


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_says_the_same_alone_in_a_batch_and_compiled(
    kind: str, models: dict[str, Model]
) -> None:
    slow, x = models[kind], unseen()
    fast = Model(slow.card, slow.arrays, walk.RAW[form(kind)])
    whole = slow.probabilities(x)
    assert len(x) > arrays._BLOCK
    assert np.array_equal(whole, fast.probabilities(x))
    for made in (slow, fast):
        alone = np.concatenate([made.probabilities(x[i : i + 1]) for i in range(len(x))])
        assert np.array_equal(whole, alone)
        assert np.array_equal(whole[7:40], made.probabilities(x[7:40]))
        assert np.array_equal(whole[::-1], made.probabilities(x[::-1]))
    assert np.isfinite(whole).all()
    assert (whole >= arrays.FLOOR).all()
    assert np.allclose(whole.sum(axis=1), 1, rtol=0, atol=1e-15)
    assert len(np.unique(whole[:, 0])) > 50
    assert slow.probabilities(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_and_seed_fit_to_the_same_bits(kind: str, models: dict[str, Model]) -> None:
    assert model(kind).card["digest"] == models[kind].card["digest"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_outcome_that_never_came_is_called_next_to_impossible(kind: str) -> None:
    x = rows(300, 1)
    y = np.where(answers(x) == 1, 0, answers(x)).astype(np.int8)
    made = {**fit(KNOBS[kind], x, y, np.ones(300), 3), **calibration(1.0, np.full(3, 1 / 3))}
    card = {**model(kind).card, "columns": COLUMNS}
    p = Model({**card, "digest": arrays.digest(card, made)}, made).probabilities(x)
    assert p[:, 1].max() < 0.02
    assert np.isfinite(p).all()


def test_one_outcome_alone_cannot_be_learnt() -> None:
    with pytest.raises(ModelError, match="at least 2 outcomes"):
        fit(KNOBS["logistic"], rows(9, 1), np.zeros(9, np.int8), np.ones(9), 1)


def test_scores_that_know_nothing_are_not_trusted_over_the_prior() -> None:
    random = np.random.default_rng(3)
    y = random.choice(3, 900, p=[0.5, 0.3, 0.2]).astype(np.int8)
    w = np.ones(900)
    before = prior(y, w)
    noise = 4 * random.normal(size=(900, 3))
    assert trust(noise, y, w, before) < 0.03
    sure = np.log(np.where(np.eye(3)[y] > 0, 0.9, 0.05))
    assert trust(sure, y, w, before) == 3.0


def test_scores_that_are_right_are_trusted_as_they_are_and_too_sure_ones_less() -> None:
    random = np.random.default_rng(4)
    true = np.log(random.dirichlet([2, 2, 2], 20_000))
    y = (random.random((20_000, 1)) > np.exp(true).cumsum(axis=1)[:, :2]).sum(axis=1)
    w, even = np.ones(20_000), np.full(3, 1 / 3)
    assert trust(true, y.astype(np.int8), w, even) == pytest.approx(1.0, abs=0.05)
    assert trust(2 * true, y.astype(np.int8), w, even) == pytest.approx(0.5, abs=0.03)


ELSEWHERE = """
import json, sys
for absent in ("spymaster", "sklearn", "lightgbm", "numba", "hyperopt"):
    sys.modules[absent] = None
import numpy as np, pandas as pd
import mlflow.pyfunc
folder, given = sys.argv[1:]
x = np.load(given)
names = [f"f{i}" for i in range(x.shape[1])]
said = {}
for kind in ("logistic", "histogram", "lightgbm"):
    loaded = mlflow.pyfunc.load_model(f"{folder}/{kind}")
    frame = pd.DataFrame(x, columns=names)
    out = loaded.predict(frame)
    said[kind] = {
        "columns": list(out.columns),
        "bits": out[["p_break", "p_reject", "p_chop"]].to_numpy().tobytes().hex(),
        "prediction": out["prediction"].tolist(),
    }
    out = loaded.predict(frame[names[::-1]].assign(more=1), params={"feature_contract": CONTRACT})
    said[kind]["reordered"] = out.iloc[:, :3].to_numpy().tobytes().hex()
    nulls = pd.DataFrame([[None] * len(names), [1] * len(names)], columns=names)
    said[kind]["nulls"] = loaded.predict(nulls).iloc[:, :3].to_numpy().tolist()
    whole = loaded.predict(pd.DataFrame([[1] * len(names)], columns=names))
    said[kind]["whole"] = whole.iloc[:, :3].to_numpy().tolist()
    for name, call in {
        "other contract": lambda: loaded.predict(frame, params={"feature_contract": "other"}),
        "missing column": lambda: loaded.predict(frame[names[1:]]),
        "text": lambda: loaded.predict(frame.assign(f3="high")),
    }.items():
        try:
            call()
            said[kind][name] = "answered"
        except Exception as error:
            said[kind][name] = str(error)
print(json.dumps(said))
"""


def test_a_saved_model_answers_where_there_is_no_spymaster(
    saved: Path, models: dict[str, Model], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    saved.rename(moved)
    try:
        x = unseen()
        np.save(tmp_path / "x.npy", x)
        ended = subprocess.run(
            [sys.executable, "-c", ELSEWHERE.replace("CONTRACT", repr(CONTRACT)),
             str(moved), str(tmp_path / "x.npy")],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        for kind, said in json.loads(ended.stdout.splitlines()[-1]).items():
            scorer = load_scorer(moved / kind, CONTRACT)
            p = scorer.probabilities(x, CONTRACT)
            assert said["columns"] == ["p_break", "p_reject", "p_chop", "prediction"]
            assert said["bits"] == said["reordered"] == p.tobytes().hex()
            assert said["prediction"] == [arrays.OUTCOMES[i] for i in p.argmax(axis=1)]
            nothing, ones = np.full((1, K), np.nan), np.ones((1, K))
            assert said["nulls"] == scorer.probabilities(np.vstack([nothing, ones])).tolist()
            assert said["whole"] == scorer.probabilities(ones).tolist()
            assert "this model has learnt" in said["other contract"]
            assert "f0" in said["missing column"]
            assert said["text"] != "answered"
    finally:
        moved.rename(saved)


def test_a_saved_model_tells_what_it_takes_and_needs(saved: Path) -> None:
    from mlflow.models import Model as Told

    told = Told.load(saved / "lightgbm")
    inputs = told.signature.inputs
    assert inputs.input_names() == COLUMNS
    assert {str(kind) for kind in inputs.input_types()} == {"DataType.double"}
    assert not inputs.optional_input_names()
    assert told.signature.params.params[0].name == "feature_contract"
    assert told.metadata["feature_contract"] == CONTRACT
    needs = (saved / "lightgbm" / "requirements.txt").read_text().split()
    assert {"azureml-inference-server-http", "azureml-ai-monitoring"} <= set(needs)
    assert not any("scikit" in line or "lightgbm" in line for line in needs)
    example = json.loads((saved / "lightgbm" / "serving_input_example.json").read_text())
    assert example["dataframe_split"]["columns"] == COLUMNS
    assert "pickle" not in "".join(p.suffix for p in saved.rglob("*"))


def test_a_scorer_refuses_another_contract_and_other_columns(saved: Path) -> None:
    with pytest.raises(ModelError, match="has learnt '0123"):
        load_scorer(saved / "logistic", "f" * 32)
    scorer = load_scorer(saved / "logistic")
    assert scorer.columns == tuple(COLUMNS)
    assert scorer.model_id == "ES_MODEL"
    assert len(scorer.version) == 12
    with pytest.raises(ScoringError, match="has learnt '0123"):
        scorer.probabilities(unseen(), "f" * 32)
    with pytest.raises(ScoringError, match=r"allowed: \(n, 12\)"):
        scorer.probabilities(unseen()[:, :11])


@pytest.mark.parametrize("what", ["a byte of the arrays", "the card", "the contract", "all"])
def test_a_damaged_model_is_refused(saved: Path, tmp_path: Path, what: str) -> None:
    inside = tmp_path / "artifacts" / "model"
    inside.mkdir(parents=True)
    card = json.loads((saved / "histogram/artifacts/model/card.json").read_text())
    data = bytearray((saved / "histogram/artifacts/model/arrays.npz").read_bytes())
    if what == "a byte of the arrays":
        data[len(data) // 2] ^= 1
    elif what == "the card":
        card["columns"].reverse()
    elif what == "the contract":
        card["feature_contract"] = "f" * 32
    if what != "all":
        (inside / "card.json").write_text(json.dumps(card))
        (inside / "arrays.npz").write_bytes(data)
    with pytest.raises(ModelError, match="not a model of Spymaster"):
        load_scorer(tmp_path)
