"""The recorded set of requests that both servers are asked: good ones, and all sorts of wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.serving import models

_JSON = {"content-type": "application/json"}
_COLUMNS = list(models.COLUMNS)
_ROWS = [[None if v != v else v for v in row] for row in models.vectors(3, seed=21).tolist()]
_WHOLE = np.nan_to_num(models.vectors(3, seed=22)).tolist()


@dataclass(frozen=True)
class Asked:
    """One request, as it goes over the wire."""

    content: bytes
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: dict(_JSON))


def _table(columns: Any, data: Any, **more: Any) -> dict[str, Any]:
    return {"columns": columns, "index": list(range(len(data))), "data": data, **more}


def _body(table: Any, **more: Any) -> bytes:
    return json.dumps({"input_data": table, **more}).encode()


def _with(value: Any) -> Asked:
    """A good request but for the second row's third number."""
    rows = [list(row) for row in _WHOLE]
    rows[1][2] = value
    return Asked(_body(_table(_COLUMNS, rows)))


def _reordered() -> Asked:
    order = np.random.default_rng(5).permutation(len(_COLUMNS))
    rows = [[row[i] for i in order] for row in _ROWS]
    return Asked(_body(_table([_COLUMNS[i] for i in order], rows)))


_GOOD = _table(_COLUMNS, _ROWS)
REQUESTS: dict[str, Asked] = {
    "good": Asked(_body(_GOOD)),
    "one row": Asked(_body(_table(_COLUMNS, _WHOLE[:1]))),
    "columns in another order": _reordered(),
    "no index": Asked(_body({"columns": _COLUMNS, "data": _ROWS})),
    "index of texts": Asked(_body({**_GOOD, "index": ["a", "b", "c"]})),
    "index too short": Asked(_body({**_GOOD, "index": [0]})),
    "whole numbers": Asked(_body(_table(_COLUMNS, [[1] * len(_COLUMNS)]))),
    "null": _with(None),
    "a row of null": Asked(_body(_table(_COLUMNS, [[None] * len(_COLUMNS)]))),
    "an extra column": Asked(_body(_table([*_COLUMNS, "more"], [[*r, 1.0] for r in _WHOLE]))),
    "an extra column of text": Asked(
        _body(_table(["who", *_COLUMNS], [["x", *r] for r in _WHOLE]))
    ),
    "an extra key beside input_data": Asked(_body(_GOOD, other=1)),
    "params: the model's contract": Asked(
        _body(_GOOD, params={"feature_contract": models.CONTRACT})
    ),
    "params: another contract": Asked(_body(_GOOD, params={"feature_contract": "0" * 32})),
    "params: unknown": Asked(_body(_GOOD, params={"temperature": 1})),
    "a missing column": Asked(_body(_table(_COLUMNS[:-1], [r[:-1] for r in _WHOLE]))),
    "an unknown column instead": Asked(_body(_table([*_COLUMNS[:-1], "other"], _WHOLE))),
    "a column twice": Asked(_body(_table([*_COLUMNS, _COLUMNS[0]], [[*r, 1.0] for r in _WHOLE]))),
    "text": _with("high"),
    "a number as text": _with("1.5"),
    "true": _with(True),
    "a list as value": _with([1.0]),
    "NaN": _with(float("nan")),
    "Infinity": _with(float("inf")),
    "a ragged row": Asked(_body(_table(_COLUMNS, [*_WHOLE, _WHOLE[0][:5]]))),
    "no rows": Asked(_body(_table(_COLUMNS, []))),
    "6,000 rows": Asked(_body(_table(_COLUMNS, [[0.5] * len(_COLUMNS)] * 6_000))),
    "an extra key in input_data": Asked(_body({**_GOOD, "dtype": "float64"})),
    "input_data as raw array": Asked(_body(_WHOLE)),
    "input_data as records": Asked(
        _body([dict(zip(_COLUMNS, row, strict=True)) for row in _WHOLE])
    ),
    "dataframe_split": Asked(json.dumps({"dataframe_split": _GOOD}).encode()),
    "input_data null": Asked(_body(None)),
    "not JSON": Asked(b'{"input_data": '),
    "not UTF-8": Asked(b'{"input_data": "\xff"}'),
    "no body": Asked(b""),
    "a JSON list": Asked(b"[1, 2, 3]"),
    "text/plain": Asked(_body(_GOOD), headers={"content-type": "text/plain"}),
    "no content type": Asked(_body(_GOOD), headers={}),
    "GET": Asked(b"", method="GET"),
    "PUT": Asked(_body(_GOOD), method="PUT"),
    "OPTIONS": Asked(b"", method="OPTIONS"),
    "a request id of 101 characters": Asked(
        _body(_GOOD), headers={**_JSON, "x-request-id": "r" * 101}
    ),
}
