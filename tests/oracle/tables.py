"""The oracle's rows of a scenario, table by table, in the contracts' units."""

from __future__ import annotations

from tests.oracle.approach import oracle_episodes
from tests.oracle.bars import oracle_bars
from tests.oracle.levels import oracle_levels
from tests.oracle.params import PreviousSession, Watched
from tests.oracle.primitives import oracle_primitives
from tests.scenarios import Scenario

Row = dict[str, object]
Tables = dict[str, list[Row]]


def oracle_tables(s: Scenario) -> Tables:
    """Rows of seven silver tables, without the columns that name contract and session."""
    step, windows = s.params.price_step, s.params.windows
    before = (s.previous.get(f"PD_{what}") for what in ("HIGH", "LOW", "CLOSE"))
    previous = PreviousSession(*(None if px is None else px // step for px in before))
    watched = Watched(s.rule.touch_ticks * s.params.tick_steps, previous, s.hull[0])
    found = oracle_bars(s.events, s.params, s.all_marks, watched if s.selected else None)
    start, end = s.hull
    grid = (step, s.params.tick_steps)
    dense = s.params.kind != "OPT"
    tables: Tables = {
        "silver.bar_5s": found.bars,
        "silver.orderbook_state": found.states,
        "silver.mbo_normalized": [r for r in found.normalized if start <= r["t"] < end],
        "silver.level_book": found.level_book,
        "silver.feature_primitives": oracle_primitives(found.bars, *grid, s.previous_volume)
        if dense
        else [],
        "silver.session_levels": [],
        "silver.level_approach_2m": [],
    }
    if not s.selected:
        return tables
    levels = oracle_levels(found.trades, windows, previous, s.hull[0])
    episodes = oracle_episodes(
        found.bars,
        found.trades,
        levels,
        s.rule,
        windows,
        s.params.tick_steps,
        closed_until=found.closed_until,
    )
    tables["silver.session_levels"] = [_nano(x, step, "level_price") for x in levels]
    tables["silver.level_approach_2m"] = [
        _nano(e, step, "level_price", "trigger_price") for e in episodes
    ]
    return tables


def _nano(row: Row, step: int, *prices: str) -> Row:
    return row | {name: row[name] * step for name in prices}
