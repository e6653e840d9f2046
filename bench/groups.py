"""What each group of features costs: the stages of one session, timed one by one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.kernel import BAR_5S, CHUNK, busiest, params_of, run
from spymaster.kernel.books import Books
from spymaster.market.sessions import session as session_of
from spymaster.market.sessions import session_date_of
from spymaster.settings import Settings
from spymaster.stages.contract import ContractDay
from spymaster.stages.market_session import MarketSession
from spymaster.stages.vector_spec import lookback_spec

__all__ = ["groups_table"]

_STAGES = {
    "_bars": "order book, bars, levels watched, their rows",
    "_primitives": "feature primitives",
    "_tags": "record tags (`mbo_normalized`)",
    "_summaries": "session summary",
    "_levels": "session levels",
    "_focus": "focus",
    "_approach": "approaches of levels",
    "_vectors": "vectors and labels",
}


class _Timed:
    """Another object whose calls are timed."""

    def __init__(self, inner: Any, told: Callable[[float], None]) -> None:
        self._inner, self._told = inner, told

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*given: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return value(*given, **named)
            finally:
                self._told(time.process_time() - started)

        return call


def groups_table(files: list[Path]) -> str:
    """Markdown: nanoseconds of CPU a record by stage, and of the kernel with and without levels."""
    events, step = busiest(files)
    u = Settings.load().of("ES")
    middle = int(events["ts_recv"][len(events) // 2])
    s = session_of(u, "ES", session_date_of(u, middle))
    traded = events["price"][events["action"] == ord("T")]
    levels = dict(zip(("PD_HIGH", "PD_LOW", "PD_CLOSE"),
                      (np.quantile(traded, q) for q in (0.8, 0.2, 0.5)), strict=True))  # fmt: skip
    day = ContractDay(
        "ES.FUT.202403", "FUT", step, step, s, u.approach, "ES_MODEL", selected=True,
        previous={k: int(v) * step for k, v in levels.items()}, previous_volume=1_000_000,
    )  # fmt: skip
    market = MarketSession(s, lookback_spec(u))
    market.add(day)
    spent: dict[str, float] = defaultdict(float)

    def watch(owner: Any, name: str) -> None:
        def told(seconds: float) -> None:
            spent[name] += seconds

        setattr(owner, name, _Timed(getattr(owner, name), told))

    for name in ("_bars", "_primitives", "_tags", "_summaries"):
        watch(market, name)
    for name in ("_levels", "_focus", "_approach", "_vectors"):
        watch(market._selected[0], name)
    for at in range(0, len(events), CHUNK):
        part = events[at : at + CHUNK]
        market.advance(part, np.zeros(len(part), np.int64))
    market.close(int(events["ts_recv"][-1]))
    lines = ["| stage | ns of CPU a record |", "|---|---:|"]
    lines += [f"| {what} | {spent[k] / len(events) * 1e9:.1f} |" for k, what in _STAGES.items()]
    for watched, words in ((True, "seven levels followed"), (False, "none")):
        params = params_of(events, step, watch=watched)
        started = time.process_time()
        run(events, params)
        ns = (time.process_time() - started) / len(events) * 1e9
        lines.append(f"| of it the kernel, {words}, bars all day | {ns:.1f} |")
    started = time.process_time()
    _light(events, step)
    ns = (time.process_time() - started) / len(events) * 1e9
    lines.append(f"| the light pass (clock only) | {ns:.1f} |")
    return "\n".join(lines) + "\n"


def _light(events: Any, step: int) -> None:
    from dataclasses import replace

    books = Books(BAR_5S)
    books.add(replace(params_of(events, step, watch=False), light=True))
    for at in range(0, len(events), CHUNK):
        books.advance_one(0, events[at : at + CHUNK])
