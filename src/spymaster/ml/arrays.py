"""A model as arrays: numbers in, three probabilities out, the same bits in any batch.

This file travels inside every saved model and is all that runs there: numpy, and MLflow where a
server calls it. A row's probabilities never depend on the rows beside it: no product of matrices
(their order of adding hangs on the shape), only sums in one fixed order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTCOMES = ("BREAK", "REJECT", "CHOP")
PROBABILITIES = ("p_break", "p_reject", "p_chop")
FLOOR = 1e-6
FORMAT = 1
CARD, ARRAYS = "card.json", "arrays.npz"
CALIBRATION = ("scale", "shift")
FORMS = {
    "linear": ("centre", "inverse", "clip", "weight", "missing", "intercept"),
    "trees": ("base", "root", "column", "threshold", "child", "value", "depth"),
}
_BLOCK = 256

F8 = NDArray[np.float64]
Raw = Callable[[Mapping[str, NDArray[Any]], F8], F8]


class Model:
    """A card (what it is) and arrays (what it computes). ValueError when they do not fit.

    `raw` computes the scores of a block of rows: `RAW[form]` unless a faster one, equal in every
    bit, is given.
    """

    def __init__(
        self, card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], raw: Raw | None = None
    ) -> None:
        if card.get("format") != FORMAT:
            raise ValueError(f"format {card.get('format')!r} of a model; allowed: {FORMAT}")
        if list(card["outcomes"]) != list(OUTCOMES):
            raise ValueError(f"outcomes {card['outcomes']}; allowed: {list(OUTCOMES)}")
        if set(arrays) != {*FORMS[card["form"]], *CALIBRATION}:
            raise ValueError(f"arrays {sorted(arrays)} of a model of form {card['form']}")
        if card["digest"] != digest(card, arrays):
            raise ValueError("the card and the arrays are not those that were saved together")
        self.card = dict(card)
        self.columns: tuple[str, ...] = tuple(card["columns"])
        self.feature_contract: str = card["feature_contract"]
        self.arrays = {name: np.asarray(arrays[name], order="C") for name in arrays}
        self._raw = raw or RAW[card["form"]]

    def check_contract(self, asked: str) -> None:
        """ValueError unless what is asked for is what this model has learnt ('' asks nothing)."""
        if asked and asked != self.feature_contract:
            raise ValueError(
                f"feature_contract {asked!r}; this model has learnt {self.feature_contract!r}"
            )

    def scores(self, features: F8) -> F8:
        """[n, k] -> [n, 3]: raw scores before calibration, what the library that trained says."""
        x = np.ascontiguousarray(features, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise ValueError(f"features of shape {x.shape}; allowed: (n, {len(self.columns)})")
        if len(x) <= _BLOCK:
            return np.asarray(self._raw(self.arrays, x))
        blocks = [self._raw(self.arrays, x[i : i + _BLOCK]) for i in range(0, len(x), _BLOCK)]
        return np.asarray(np.concatenate(blocks))

    def probabilities(self, features: F8) -> F8:
        """[n, k] -> [n, 3] in the order of OUTCOMES; at least FLOOR, sum 1, never NaN.

        NaN is missing, and so is what is not finite.
        """
        s = self.scores(features) * self.arrays["scale"] + self.arrays["shift"]
        s -= s.max(axis=1, keepdims=True)
        e = np.exp(s)
        total = e[:, 0] + e[:, 1] + e[:, 2]
        return np.asarray(FLOOR + (1 - 3 * FLOOR) * (e / total[:, None]))


def linear(a: Mapping[str, NDArray[Any]], x: F8) -> F8:
    """Multinomial logistic scores: per column a weight, or what it counts when it is missing."""
    known = np.isfinite(x)
    z = (np.where(known, x, a["centre"]) - a["centre"]) * a["inverse"]
    z = np.clip(z, -a["clip"], a["clip"])
    parts = np.where(known[:, :, None], z[:, :, None] * a["weight"], a["missing"])
    return np.asarray(np.add.accumulate(parts, axis=1)[:, -1] + a["intercept"])


def trees(a: Mapping[str, NDArray[Any]], x: F8) -> F8:
    """Boosted trees, class after class in each round: all of them walked at once, then added.

    A tree reads a column where it lies in `spread`, so that one comparison tells also where
    what is missing goes.
    """
    n = len(x)
    wide = spread(x)
    flat, start = wide.ravel(), (np.arange(n) * wide.shape[1])[:, None]
    column, threshold, child = a["column"], a["threshold"], a["child"]
    node = np.broadcast_to(a["root"], (n, len(a["root"])))
    for _ in range(int(a["depth"])):
        right = flat[start + column[node]] > threshold[node]
        node = child[2 * node + right]
    leaves = a["value"][node].reshape(n, len(a["root"]) // len(OUTCOMES), len(OUTCOMES))
    base = np.broadcast_to(a["base"], (n, 1, len(OUTCOMES)))
    return np.ascontiguousarray(np.add.accumulate(np.concatenate([base, leaves], 1), 1)[:, -1])


def spread(x: F8) -> F8:
    """[n, k] -> [n, 3k]: what is missing below all, above all, and as 0.

    >>> spread(np.array([[1.0, np.nan]])).tolist()
    [[1.0, -inf, 1.0, inf, 1.0, 0.0]]
    """
    known = np.isfinite(x)
    fills = (-np.inf, np.inf, 0.0)
    return np.concatenate([np.where(known, x, fill) for fill in fills], axis=1)


RAW: dict[str, Raw] = {"linear": linear, "trees": trees}


def digest(card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """BLAKE2b-128 over the card (without its digest) and every array's name, shape and bytes."""
    told = {key: value for key, value in card.items() if key != "digest"}
    total = blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        a = np.asarray(arrays[name], order="C")
        total.update(f"{name} {a.dtype.str} {a.shape}".encode() + a.tobytes())
    return total.hexdigest()


def write(folder: Path, card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Card and arrays into a folder; the digest is added to the card."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**card, "digest": digest(card, arrays)}
    (folder / CARD).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    with open(folder / ARRAYS, "wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))


def read(folder: str | Path, raw: Mapping[str, Raw] | None = None) -> Model:
    """The model in a folder. ValueError for files that are damaged or do not fit together."""
    try:
        card = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))
        with np.load(Path(folder) / ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return Model(card, arrays, (raw or RAW)[card["form"]])
    except Exception as error:
        raise ValueError(f"{folder}: not a model of Spymaster: {error}") from error


if not __name__.startswith("spymaster."):  # here MLflow runs this file, inside a saved model
    import pandas as pd
    from mlflow.models import set_model
    from mlflow.pyfunc import PythonModel, PythonModelContext

    class Served(PythonModel):
        """What a server calls: a frame with the model's columns in, a frame of outcomes out."""

        def load_context(self, context: PythonModelContext) -> None:
            self.model = read(context.artifacts["model"])

        def predict(
            self,
            context: PythonModelContext,
            model_input: pd.DataFrame,
            params: dict[str, Any] | None = None,
        ) -> pd.DataFrame:
            self.model.check_contract((params or {}).get("feature_contract") or "")
            absent = [name for name in self.model.columns if name not in model_input]
            if absent:
                raise ValueError(f"{len(absent)} columns are missing, such as {absent[0]!r}")
            x = model_input[list(self.model.columns)].to_numpy(dtype=np.float64, na_value=np.nan)
            p = self.model.probabilities(x)
            frame = pd.DataFrame(p, columns=list(PROBABILITIES), index=model_input.index)
            frame["prediction"] = np.array(OUTCOMES)[p.argmax(axis=1)]
            return frame

    set_model(Served())
