"""Small parts of the local engine: pieces that become one table, and who may be learnt from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spymaster.contracts import TABLES
from spymaster.engines.sink import combine
from spymaster.engines.training import label_vectors
from spymaster.kernel.weights import training_weights
from spymaster.stages.rows import Rows


def _piece(contract: str, label: str | None, n: int) -> Rows:
    records = np.zeros(n, [("vector_time", "<i8")])
    hashes = [f"{contract}{i}" for i in range(n)]
    columns = {"contract_id": contract, "label": label, "feature_hash": hashes}
    return Rows("gold.setup_vectors", records, columns)


def test_a_value_that_all_pieces_share_stays_one_value() -> None:
    table = TABLES["gold.setup_vectors"]
    whole = combine(table, [_piece("A", None, 2), _piece("A", None, 1)])
    assert (whole.columns["contract_id"], len(whole)) == ("A", 3)
    assert whole.columns["feature_hash"] == ["A0", "A1", "A0"]


def test_values_that_differ_become_one_per_row_and_null_stays_null() -> None:
    table = TABLES["gold.setup_vectors"]
    whole = combine(table, [_piece("A", "BREAK", 2), _piece("B", None, 1), _piece("A", "CHOP", 1)])
    assert isinstance(whole.columns["label"], pa.DictionaryArray)
    assert whole.columns["label"].to_pylist() == ["BREAK", "BREAK", None, "CHOP"]
    assert whole.columns["contract_id"].to_pylist() == ["A", "A", "B", "A"]


def test_vectors_without_a_label_yet_have_none() -> None:
    label = Rows("gold.labels", None, {"feature_hash": ["A1"], "label": "REJECT"}, 1)
    (labelled,) = label_vectors([_piece("A", None, 3)], [label])
    assert labelled.columns["label"] == [None, "REJECT", None]


def test_weights_equal_a_naive_count() -> None:
    rng = np.random.default_rng(3)
    pairs = np.unique(rng.integers(0, 12, (200, 2)), axis=0)
    episodes, times = pairs[:, 0], pairs[:, 1]
    naive = [1 / ((episodes == e).sum() * (times == t).sum()) for e, t in pairs]
    assert training_weights(episodes, times).tolist() == naive
