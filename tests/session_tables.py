"""A scenario through all stages, `ContractSession`: rows as the engines get them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from spymaster.market.sessions import Session, Window
from spymaster.settings import ApproachSettings
from spymaster.stages.contract import ContractDay
from spymaster.stages.contract_session import ContractSession
from spymaster.stages.rows import Rows
from tests.kernel_tables import rows_of
from tests.scenarios import Scenario

SPEC = '{"of":"a test"}'
Row = dict[str, object]
Tables = dict[str, list[Row]]


def contract_day(s: Scenario) -> ContractDay:
    """The scenario's contract and session, as the stages know them."""
    windows = {name: Window(*w) for name, w in s.params.windows.items()}
    start, end = s.hull
    session = Session(
        session_date=s.session_date,
        underlier="ES",
        start=start,
        end=end,
        trading=tuple(Window(*w) for w in s.params.trading),
        short=False,
        **windows,
    )
    rule = s.rule
    return ContractDay(
        contract_id="ES.FUT.202403",
        instrument_type=s.params.kind,
        price_step=s.params.price_step,
        tick=s.params.price_step * s.params.tick_steps,
        session=session,
        approach=ApproachSettings(
            scale="fixed",
            touch_ticks=rule.touch_ticks,
            barrier_ticks=rule.barrier_ticks,
            approach_bars=rule.approach_bars,
            timeout_bars=rule.timeout_bars,
            max_episodes=rule.max_episodes,
        ),
        model_id="ES_MODEL",
        selected=s.selected,
        previous=s.previous,
        previous_volume=s.previous_volume,
        warm=s.params.warm,
    )


def new_session(s: Scenario) -> ContractSession:
    return ContractSession(contract_day(s), SPEC)


def run(s: Scenario) -> list[Rows]:
    """The scenario in as few pieces as its marks allow."""
    session, rows, at = new_session(s), [], 0
    for i, mark in s.all_marks:
        if i > at:
            rows += session.advance(s.events[at:i])
        rows += session.close(mark)
        at = i
    return rows


def tables_of(rows: Iterable[Rows]) -> Tables:
    """Rows as dicts, table by table, without the columns that name contract and session."""
    tables: Tables = {}
    for part in rows:
        own = tables.setdefault(part.table, [])
        dicts: list[Row] = [{} for _ in range(len(part))]
        if part.records is not None:
            dicts = rows_of(part.records, part.table)
        for name, value in part.columns.items():
            if name in ("contract_id", "model_id", "lookback_spec"):
                continue
            for row, v in zip(dicts, _spread(value, len(part)), strict=True):
                row[name] = v.tolist() if isinstance(v, np.ndarray | np.generic) else v
        own += dicts
    return tables


def _spread(value: Any, n: int) -> Any:
    return value if isinstance(value, list | np.ndarray) else [value] * n


def session_tables(s: Scenario) -> Tables:
    """Rows of the silver tables that the oracle has an opinion on."""
    found = tables_of(run(s))
    names = (
        "silver.bar_5s",
        "silver.orderbook_state",
        "silver.mbo_normalized",
        "silver.level_book",
        "silver.feature_primitives",
        "silver.session_levels",
        "silver.level_approach_2m",
    )
    tables = {name: found.get(name, []) for name in names}
    for row in tables["silver.level_approach_2m"]:
        del row["episode_id"], row["touch_ticks"], row["barrier_ticks"]
    return tables
