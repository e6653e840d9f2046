"""The kernel's rows of a scenario, straight from the kernel: no stages, no Arrow."""

from __future__ import annotations

import numpy as np

from spymaster.contracts import TABLES
from spymaster.contracts.event import ACTION_GAP, BAR_NS, BOOK_LEVELS, F_SNAPSHOT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.contracts.silver import DIRECTIONS, LEVEL_TYPES, OUTCOMES
from spymaster.kernel.approach import CENSORED, Approaches, ApproachParams
from spymaster.kernel.contract_book import Bars, BookParams, ContractBook, Notes
from spymaster.kernel.level_book import Watch
from spymaster.kernel.levels import SessionLevels
from spymaster.kernel.primitives import Primitives
from spymaster.kernel.trades import trades_of

NONE = -(2**63)
Row = dict[str, object]
Tables = dict[str, list[Row]]
BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])


def book_params(params, origin: int | None = None, watch: Watch | None = None) -> BookParams:
    """What the kernel's book is told, from what the oracle is told."""
    return BookParams(
        price_step=params.price_step,
        tick_steps=params.tick_steps,
        origin=params.origin if origin is None else origin,
        bars=params.windows["bars"],
        trading=params.trading,
        dense=params.kind != "OPT",
        warm=params.warm,
        watch=watch,
    )


def kernel_tables(events: np.ndarray, s) -> Tables:
    """Rows of seven silver tables of a scenario; records come in the form the kernel takes."""
    p, rule = s.params, s.rule
    previous = {name: px // p.price_step for name, px in s.previous.items()}
    windows = (p.windows["premarket"], p.windows["opening_range"])
    watch = Watch(rule.touch_ticks * p.tick_steps, windows, list(previous.values()))
    book = ContractBook(book_params(p, watch=watch if s.selected else None), BAR_5S)
    primitives = Primitives(p.price_step, p.tick_steps, s.previous_volume)
    levels = SessionLevels(*windows, previous, s.hull[0])
    approaches = Approaches(
        ApproachParams(
            bars=p.windows["bars"],
            focus=p.windows["focus"],
            trigger=p.windows["trigger"],
            touch_ticks=rule.touch_ticks,
            barrier_ticks=rule.barrier_ticks,
            approach_bars=rule.approach_bars,
            timeout_bars=rule.timeout_bars,
            max_episodes=rule.max_episodes,
            tick_steps=p.tick_steps,
        )
    )
    tables: Tables = {
        name: []
        for name in (
            "silver.bar_5s",
            "silver.orderbook_state",
            "silver.mbo_normalized",
            "silver.level_book",
            "silver.feature_primitives",
            "silver.session_levels",
            "silver.level_approach_2m",
        )
    }

    def follow(part: np.ndarray, notes: Notes, bars: Bars) -> None:
        trades = trades_of(part, np.zeros(len(part), np.int64), notes)
        levels.advance(trades)
        tables["silver.mbo_normalized"] += _normalized(part, notes, s.hull)
        tables["silver.bar_5s"] += rows_of(bars.rows, "silver.bar_5s")
        tables["silver.orderbook_state"] += _states(bars)
        tables["silver.level_book"] += _level_rows(bars, p.price_step)
        if p.kind != "OPT":
            of_bars = primitives.advance(bars.rows)
            tables["silver.feature_primitives"] += rows_of(of_bars, "silver.feature_primitives")
        known = levels.close(book.watermark)
        if not s.selected:
            return
        tables["silver.session_levels"] += [_level(x, p.price_step) for x in known.tolist()]
        focus = p.windows["focus"][1]
        rows = bars.rows[bars.rows["bar_end"] <= focus]
        episodes, _ = approaches.advance(
            trades[trades["t"] < focus],
            known,
            np.ascontiguousarray(rows["bar_start"]),
            np.ascontiguousarray(rows["valid"]),
        )
        tables["silver.level_approach_2m"] += [_episode(e, p) for e in _dicts(episodes)]

    none = book.advance(events[:0])[0]
    at = 0
    for i, mark in s.all_marks:
        if i > at:
            follow(events[at:i], *book.advance(events[at:i]))
        follow(events[:0], none, book.close(mark))
        at = i
    return tables


def rows_of(records: np.ndarray, table: str) -> list[Row]:
    """Structured records as dicts; missing is None, as the contract says what may be missing."""
    missing = {c.name for c in TABLES[table].columns if c.null}
    return [
        {k: None if k in missing and (v != v or v == NONE) else v for k, v in row.items()}
        for row in _dicts(records)
    ]


def _dicts(records: np.ndarray) -> list[Row]:
    return [dict(zip(records.dtype.names, values, strict=True)) for values in records.tolist()]


def _normalized(events: np.ndarray, notes: Notes, hull: tuple[int, int]) -> list[Row]:
    kept = (notes.t >= hull[0]) & (notes.t < hull[1]) & (events["action"] != ACTION_GAP)
    columns = {name: events[name][kept].tolist() for name in ("ts_recv", "event_index")}
    columns["is_snapshot"] = (events["flags"][kept] & F_SNAPSHOT != 0).tolist()
    columns |= {name: getattr(notes, name)[kept].tolist() for name in Notes._fields}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _states(bars: Bars) -> list[Row]:
    rows = []
    for bar, prices, sizes in zip(
        bars.rows["bar_start"].tolist(), bars.prices.tolist(), bars.sizes.tolist(), strict=True
    ):
        row: Row = {"bar_start": bar, "bar_end": bar + BAR_NS}
        for side, word in enumerate(("bid", "ask")):
            for m in range(BOOK_LEVELS):
                px = prices[side][m]
                row[f"{word}_px_{m:02d}"] = None if px != px else px
                row[f"{word}_sz_{m:02d}"] = sizes[side][0][m]
                row[f"{word}_ct_{m:02d}"] = sizes[side][1][m]
        rows.append(row)
    return rows


def _level_rows(bars: Bars, step: int) -> list[Row]:
    """In the order of level_book.py: price, resting sizes and orders, four effects, trades."""
    names = [f"{side}_resting_{what}" for what in ("sz", "ct") for side in ("bid", "ask")]
    effects = ("added", "cancelled", "executed", "refilled")
    names += [f"{side}_{effect}_sz" for effect in effects for side in ("bid", "ask")]
    rows = []
    for start, levels in zip(bars.rows["bar_start"].tolist(), bars.levels.tolist(), strict=True):
        for price, *values in levels:
            if price == NONE:
                continue
            row: Row = {"bar_start": start, "bar_end": start + BAR_NS, "level_price": price * step}
            row |= dict(zip([*names, "traded_sz"], values, strict=True))
            for side in ("bid", "ask"):
                executed, refilled = row[f"{side}_executed_sz"], row[f"{side}_refilled_sz"]
                row[f"{side}_refill_share"] = refilled / executed if executed else None
            rows.append(row)
    return rows


def _level(level: tuple[int, int, int], step: int) -> Row:
    kind, price, known_at = level
    return {
        "level_type": LEVEL_TYPES[kind],
        "level_price": price * step,
        "known_at": known_at,
    }


def _episode(e: Row, p) -> Row:
    told = e["outcome"] != CENSORED
    return {
        "level_price": e["price"] * p.price_step,
        "level_types": [w for i, w in enumerate(LEVEL_TYPES) if e["types"] >> i & 1],
        "direction": DIRECTIONS[0] if e["side"] > 0 else DIRECTIONS[1],
        "trigger_bar": e["trigger_bar"] * BAR_NS,
        "trigger_time": e["trigger_t"],
        "trigger_price": e["trigger_price"] * p.price_step,
        "outcome": OUTCOMES[e["outcome"]] if told else None,
        "outcome_bar": e["outcome_bar"] * BAR_NS,
        "outcome_time": e["outcome_t"] if told else None,
        "time_to_outcome_ns": e["outcome_t"] - e["trigger_t"] if told else None,
        "favourable_ticks": e["favourable"] / p.tick_steps,
        "adverse_ticks": e["adverse"] / p.tick_steps,
        "n_vectors": e["outcome_bar"] - e["trigger_bar"],
        "known_at": (e["outcome_bar"] + 1) * BAR_NS,
    }
