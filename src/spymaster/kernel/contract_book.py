"""One contract's book with its open bar: give it records and clock marks, take closed bars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.book_params import BookParams
from spymaster.kernel.book_view import BookView
from spymaster.kernel.books import Books
from spymaster.kernel.closed_bars import Bars
from spymaster.kernel.layout import BookState
from spymaster.kernel.notes import Notes

__all__ = ["Bars", "BookParams", "ContractBook", "Notes"]


class ContractBook(BookView):
    """A contract's order book over one session, on the project's clock.

    `advance` and `close` change the state in place and return the bars that closed. Cutting the
    records anywhere, and saving and loading between, changes no row (law 2).
    """

    def __init__(self, params: BookParams, bar_dtype: np.dtype[Any]) -> None:
        self._books = Books(bar_dtype)
        self._books.add(params)

    @property
    def _state(self) -> BookState:
        return self._books[0]._state

    def advance(self, events: NDArray[Any]) -> tuple[Notes, Bars]:
        """Take records (`EVENT`, in feed order): a note for each, and closed bars."""
        return self._books.advance_one(0, events)

    def close(self, mark: int) -> Bars:
        """Take a clock mark, ns UTC; returns the bars that can no longer change."""
        return self._books.close(mark)

    def to_bytes(self) -> bytes:
        """The whole state; what holds nothing is left out."""
        return self._books.to_bytes(0)

    @classmethod
    def from_bytes(cls, data: bytes, bar_dtype: np.dtype[Any]) -> ContractBook:
        """A book that goes on where `to_bytes` left off. ValueError for another version."""
        book = cls.__new__(cls)
        book._books = Books(bar_dtype)
        book._books.from_bytes(data)
        return book
