"""What a request may look like, and which words a wrong one gets back."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from spymaster.scoring.request import Refused, RequestParser

PARSER = RequestParser(("a", "b", "c"), "0f", max_rows=3)
GOOD = {"columns": ["a", "b", "c"], "index": [0, 1], "data": [[1, 2.5, None], [4, 5, 6]]}


def parsed(table: Any, **more: Any) -> list[list[float]]:
    found = PARSER.features(json.dumps({"input_data": table, **more}).encode())
    assert found.dtype == np.float64
    assert found.shape[1] == 3
    return [[-1.0 if math.isnan(v) else v for v in row] for row in found.tolist()]


def refused(body: bytes) -> str:
    with pytest.raises(Refused) as caught:
        PARSER.features(body)
    assert caught.value.status == 400
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_null_is_missing_and_integers_are_numbers() -> None:
    assert parsed(GOOD) == [[1.0, 2.5, -1.0], [4.0, 5.0, 6.0]]


def test_columns_are_matched_by_name_and_what_the_model_does_not_know_is_left_out() -> None:
    table = {"columns": ["c", "x", "a", "b"], "data": [[3, "any", 1, 2], [6, None, 4, 5]]}
    for _ in range(2):  # the second time by the order it remembers
        assert parsed(table) == [[1, 2, 3], [4, 5, 6]]
    assert parsed(GOOD) == [[1.0, 2.5, -1.0], [4.0, 5.0, 6.0]]


def test_index_may_be_missing_and_a_batch_may_be_empty() -> None:
    assert parsed({"columns": ["a", "b", "c"], "data": [[1, 2, 3]]}) == [[1, 2, 3]]
    assert parsed({"columns": ["a", "b", "c"], "index": [], "data": []}) == []


def test_the_feature_contract_may_come_along() -> None:
    for params in (None, {}, {"feature_contract": "0f"}, {"other": 1}):
        assert len(parsed(GOOD, params=params)) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": ["a", "b"]}, "data[0] is 3 long; allowed: a list of 2"),
        ({"columns": ["a", "b", "x"]}, "lacks 'c'; the model needs 3 columns"),
        ({"columns": ["x", "y", "z"]}, "lacks 'a' and 2 more"),
        ({"columns": ["a", "b", "a"]}, "has 'a' twice"),
        ({"columns": ["a", "b", 3]}, "columns[2] is a number"),
        ({"columns": None}, "input_data.columns is null"),
        ({"data": {"a": 1}}, "input_data.data is an object"),
        ({"data": [[1, 2, 3], [4, 5]]}, "data[1] is 2 long; allowed: a list of 3"),
        ({"data": [[1, 2, 3], 4]}, "data[1] is a number"),
        ({"data": [[1, 2, 3], [1, "2", 3]]}, "data[1], column 'b': text; allowed: a number"),
        ({"data": [[1, 2, 3], [1, 2, True]]}, "data[1], column 'c': true or false"),
        ({"data": [[1, 2, [3]], [1, 2, 3]]}, "data[0], column 'c': a list"),
        ({"index": [0]}, "index is 1 long; allowed: one entry for each of 2 rows"),
        ({"index": "no"}, "index is text"),
        ({"data": [[1, 2, 3]] * 4, "index": None}, "4 rows; allowed: 3"),
        ({"dtype": "f8"}, "input_data.dtype is unknown"),
    ],
)
def test_a_wrong_table_is_refused_with_the_place(change: dict[str, Any], words: str) -> None:
    assert words in refused(json.dumps({"input_data": {**GOOD, **change}}).encode())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'\xff{"input_data": 1}', "not JSON"),
        (b"[[1, 2, 3]]", "the body is a list"),
        (b'{"dataframe_split": {}}', "input_data is missing; found dataframe_split"),
        (b'{"input_data": [[1, 2, 3]]}', "input_data is a list, not an object"),
        (b'{"input_data": {}, "params": 3}', "params is a number"),
        (
            b'{"params": {"feature_contract": "1e"}}',
            "feature_contract is '1e', the model's is '0f'",
        ),
        (b'{"input_data": {"columns": ["a","b","c"], "data": [[NaN, 1, 2]]}}', "not JSON"),
        (b'{"input_data": {"columns": ["a","b","c"], "data": [[1e999, 1, 2]]}}', ""),
    ],
)
def test_a_wrong_body_is_refused_with_the_reason(body: bytes, words: str) -> None:
    assert words in refused(body)


def test_a_number_keeps_its_bits() -> None:
    draw = np.random.default_rng(3)
    values = draw.integers(0, 2**63, 300).view(np.float64)
    values = values[np.isfinite(values)][:200]
    rows = np.resize(values, (3, 3))
    found = PARSER.features(
        json.dumps({"input_data": {"columns": ["a", "b", "c"], "data": rows.tolist()}}).encode()
    )
    assert found.tobytes() == rows.tobytes()
