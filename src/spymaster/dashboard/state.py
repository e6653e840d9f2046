"""What a client looks at, as the page's address has it: a bookmark keeps its meaning."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

LIVE = "live"
#: Bars to choose from, in seconds; auto follows the zoom.
BARS = ("auto", "5", "15", "60", "300", "900")
FEATURES = ("ofi", "pressure", "imbalance_10")
_MOST = 6
_NAME = re.compile(r"[A-Za-z0-9_. :@+-]{1,64}")


@dataclass(frozen=True)
class State:
    """What is looked at. Empty fields: the page chooses, and says what it chose.

    `session`: live, or a date. `contracts`: the first one's price and book are drawn, the others'
    features beside its own. `start`, `end`: what is zoomed to, ns UTC; 0: all, or the live edge.
    `choices`: parameters of tiles, by their names.
    """

    session: str = LIVE
    underlier: str = ""
    contracts: tuple[str, ...] = ()
    features: tuple[str, ...] = FEATURES
    start: int = 0
    end: int = 0
    choices: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, query: Mapping[str, Any]) -> State:
        """From an address or a message of the page; what makes no sense is left out."""
        session = str(query.get("s") or LIVE)
        choices = {str(k)[2:]: str(v) for k, v in query.items() if str(k).startswith("p.")}
        features = _names(query.get("f"))
        return cls(
            session=session if session == LIVE or _is_date(session) else LIVE,
            underlier=next(iter(_names(query.get("u"))), ""),
            contracts=_names(query.get("c")),
            features=features[:_MOST] if features else FEATURES,
            start=_time(query.get("a")),
            end=_time(query.get("b")),
            choices=tuple(sorted((k, v) for k, v in choices.items() if _NAME.fullmatch(v))),
        )

    @property
    def live(self) -> bool:
        """Whether the topics are looked at."""
        return self.session == LIVE

    def whole(self) -> State:
        """The same without the zoom."""
        return replace(self, start=0, end=0)


def _names(given: Any) -> tuple[str, ...]:
    """A list, or text with commas; each name once."""
    parts: Iterable[Any] = given if isinstance(given, list | tuple) else str(given or "").split(",")
    return tuple(dict.fromkeys(n for n in (str(p).strip() for p in parts) if _NAME.fullmatch(n)))


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _time(given: Any) -> int:
    """Milliseconds since 1970, as browsers count, in ns."""
    try:
        return max(0, int(float(given))) * 1_000_000
    except (TypeError, ValueError, OverflowError):
        return 0
