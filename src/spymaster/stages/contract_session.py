"""One contract's session: what a task that is given one contract runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.book_view import BookView
from spymaster.stages.contract import ContractDay
from spymaster.stages.market_session import MarketSession
from spymaster.stages.rows import Rows


class ContractSession:
    """`MarketSession` with a single contract, whatever its events say of theirs."""

    def __init__(self, day: ContractDay, spec: str) -> None:
        self.day = day
        self._market = MarketSession(day.session, spec)
        self._market.add(day)

    @property
    def book(self) -> BookView:
        """The order book as it stands."""
        return self._market.book(0)

    def summary(self) -> dict[str, Any]:
        """What later sessions may know of this one (`Summaries.row`)."""
        return self._market.summary(0)

    def advance(self, events: NDArray[Any]) -> list[Rows]:
        """Take events (`EVENT`) in feed order."""
        return self._market.advance(events, np.zeros(len(events), np.int64))

    def close(self, mark: int) -> list[Rows]:
        """Take a clock mark: a ts_recv of the feed that no later record precedes, ns UTC."""
        return self._market.close(mark)

    def to_bytes(self) -> bytes:
        """The whole state, as engines keep it."""
        return self._market.to_bytes(0)

    @classmethod
    def from_bytes(cls, day: ContractDay, spec: str, data: bytes) -> ContractSession:
        """Go on where `to_bytes` left off, for the same contract, session and spec."""
        session = cls.__new__(cls)
        session.day = day
        session._market = MarketSession(day.session, spec)
        session._market.restore(day, data)
        return session
