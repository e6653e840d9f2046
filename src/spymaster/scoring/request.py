"""What a client asks: Azure ML's `input_data` of columns and rows, checked, as an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from spymaster.errors import ScoringError

_KEYS = frozenset({"columns", "index", "data"})
_NUMBERS = frozenset({float, int, type(None)})
_LIKE = '{"input_data": {"columns": [...], "index": [...], "data": [[...], ...]}}'


class Refused(ScoringError):
    """A request that is answered with `status` and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RequestParser:
    """Bodies into arrays in a model's order of columns. Keeps the last order that a client used.

    Columns may come in any order; those that the model does not know are left out, `index` may be
    missing, null is NaN. Whatever else is not as it should be raises Refused with 400.
    """

    def __init__(self, columns: Sequence[str], feature_contract: str, max_rows: int) -> None:
        self._columns, self._contract, self._max_rows = list(columns), feature_contract, max_rows
        self._other: tuple[list[str], tuple[int, ...]] = ([], ())  # threads read it at once

    def features(self, body: bytes) -> NDArray[np.float64]:
        """The vectors of a request, [n, k]."""
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refused(400, f"the body is not JSON: {error}. Send {_LIKE}") from None
        if not isinstance(asked, dict):
            raise Refused(400, f"the body is {_kind(asked)}, not an object. Send {_LIKE}")
        self._check_contract(asked.get("params"))
        table = asked.get("input_data")
        if table is None:
            there = ", ".join(sorted(asked)[:5]) or "nothing"
            raise Refused(400, f"input_data is missing; found {there}. Send {_LIKE}")
        if not isinstance(table, dict):
            raise Refused(400, f"input_data is {_kind(table)}, not an object. Send {_LIKE}")
        for key in _KEYS - {"index"}:
            if not isinstance(table.get(key), list):
                raise Refused(
                    400, f"input_data.{key} is {_kind(table.get(key))}, not a list. Send {_LIKE}"
                )
        if unknown := sorted(table.keys() - _KEYS):
            raise Refused(
                400, f"input_data.{unknown[0]} is unknown; allowed: columns, index, data."
            )
        return self._array(table["columns"], table["data"], table.get("index"))

    def _check_contract(self, params: Any) -> None:
        if params is None:
            return
        if not isinstance(params, dict):
            raise Refused(
                400, f"params is {_kind(params)}, not an object. Leave it out, or send {{}}"
            )
        given = params.get("feature_contract")
        if given is not None and given != self._contract:
            raise Refused(
                400,
                f"params.feature_contract is {given!r:.80}, the model's is {self._contract!r}. "
                "Compute the vectors with the settings the model was trained with, or ask the "
                "model that fits them.",
            )

    def _array(self, columns: list[Any], data: list[Any], index: Any) -> NDArray[np.float64]:
        _check_rows(len(columns), data, index, self._max_rows)
        order = self._positions(columns)
        if order is not None:
            data = [[row[j] for j in order] for row in data]
        for i, row in enumerate(data):
            if not _NUMBERS.issuperset(map(type, row)):
                j = next(j for j, value in enumerate(row) if type(value) not in _NUMBERS)
                raise self._cell(i, j, _kind(row[j]))
        found = np.array(data, dtype=np.float64).reshape(len(data), len(self._columns))
        if np.isinf(found).any():
            i, j = np.argwhere(np.isinf(found))[0]
            raise self._cell(i, j, "too large for a float64")
        return found

    def _cell(self, i: int, j: int, found: str) -> Refused:
        return Refused(
            400,
            f"input_data.data[{i}], column {self._columns[j]!r}: {found}; "
            "allowed: a number, or null where it is missing.",
        )

    def _positions(self, columns: list[Any]) -> tuple[int, ...] | None:
        """Where each of the model's columns lies in the request; None: they are the model's."""
        if columns == self._columns:
            return None
        other, found = self._other
        if columns == other:
            return found
        at: dict[Any, int] = {}
        for i, name in enumerate(columns):
            if not isinstance(name, str):
                raise Refused(400, f"input_data.columns[{i}] is {_kind(name)}; allowed: text.")
            if name in at:
                raise Refused(400, f"input_data.columns has {name!r:.80} twice; allowed: once.")
            at[name] = i
        missing = [name for name in self._columns if name not in at]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise Refused(
                400,
                f"input_data.columns lacks {missing[0]!r}{more}; the model needs "
                f"{len(self._columns)} columns. Send all of them, null where a value is missing.",
            )
        self._other = (columns, tuple(at[name] for name in self._columns))
        return self._other[1]


def _check_rows(width: int, data: list[Any], index: Any, most: int) -> None:
    if len(data) > most:
        raise Refused(400, f"input_data.data has {len(data)} rows; allowed: {most}. Send fewer.")
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        found = f"{len(index)} long" if isinstance(index, list) else _kind(index)
        raise Refused(
            400, f"input_data.index is {found}; allowed: one entry for each of {len(data)} rows."
        )
    for i, row in enumerate(data):
        if type(row) is not list or len(row) != width:
            found = f"{len(row)} long" if isinstance(row, list) else _kind(row)
            raise Refused(400, f"input_data.data[{i}] is {found}; allowed: a list of {width}.")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object")
