"""Silver: the order book, its bars of 5 seconds, the session's levels, and approaches of them."""

from __future__ import annotations

from spymaster.contracts.column import PARTITION, Column, Table, fact, key, session_columns, trace
from spymaster.contracts.event import BOOK_LEVELS, MLOFI_LEVELS

CURRENCY, SIZE, TICKS, NANO = "currency", "contracts or shares", "ticks", "1e-9 currency"
SIDES = ("bid", "ask")
LEVEL_TYPES = ("PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW", "PD_HIGH", "PD_LOW", "PD_CLOSE")
DIRECTIONS = ("FROM_BELOW", "FROM_ABOVE")
OUTCOMES = ("BREAK", "REJECT", "CHOP")
WINDOWS = ("bars", "premarket", "opening_range", "focus", "trigger", "regular")

CONTRACT = key("contract_id", "string", "contract")
BAR = (
    CONTRACT,
    key("bar_start", "int64", "start of the 5 s bar, inclusive", "ns UTC"),
    key("bar_end", "int64", "end of the 5 s bar, exclusive; known from here on", "ns UTC"),
)


def both(name: str, type_: str, meaning: str, unit: str = "", null: bool = False) -> list[Column]:
    """The same column for bid and ask; `{}` in the name takes the side."""
    return [
        fact(name.format(side), type_, meaning.format(side), unit, null=null)  # type: ignore[arg-type]
        for side in SIDES
    ]


SESSION_SUMMARY = Table(
    "silver.session_summary",
    "What a session was, per contract, for the sessions after it: trades of its windows.",
    (
        CONTRACT,
        fact("first_px", "int64", "first trade", NANO, null=True),
        fact("high_px", "int64", "highest trade", NANO, null=True),
        fact("low_px", "int64", "lowest trade", NANO, null=True),
        fact("last_px", "int64", "last trade", NANO, null=True),
        fact("regular_first_px", "int64", "first trade of regular hours", NANO, null=True),
        fact("regular_high_px", "int64", "highest trade of regular hours", NANO, null=True),
        fact("regular_low_px", "int64", "lowest trade of regular hours", NANO, null=True),
        fact("regular_last_px", "int64", "last trade of regular hours", NANO, null=True),
        fact("volume", "int64", "traded", SIZE),
        fact("n_trades", "int64", "trades"),
        fact(
            "range12m",
            "float64",
            "median trade range over disjoint 12-minute blocks of the trigger window",
            TICKS,
            null=True,
        ),
        fact("complete", "bool", "marks passed every window's end + L, book good before, no gap"),
        trace("missing", "string", "what it lacks to be complete"),
        fact("short_session", "bool", "a holiday's half session"),
        *session_columns(),
    ),
    PARTITION,
)

SESSION_LEVELS = Table(
    "silver.session_levels",
    "Prices that traders watch, and from when on they could (SilverAddSessionLevels).",
    (
        CONTRACT,
        key("level_type", "string", "one of " + ", ".join(LEVEL_TYPES)),
        fact("level_price", "int64", "the level", NANO),
        fact("known_at", "int64", "nobody knew it before", "ns UTC"),
        *session_columns(),
    ),
    PARTITION,
)

CONTRACT_DAY = Table(
    "silver.contract_day",
    "Which contract the session is about.",
    (
        CONTRACT,
        fact("selected", "bool", "levels, episodes and vectors are made for it"),
        fact(
            "previous_volume", "int64", "volume of the previous complete session", SIZE, null=True
        ),
        fact("rolled", "bool", "selected, and another one was in the previous session"),
        fact("expiration", "int64", "last trading time", "ns UTC", null=True),
        *session_columns(),
    ),
    PARTITION,
)

MBO_NORMALIZED = Table(
    "silver.mbo_normalized",
    "What normalising adds to a record: its time, its windows, its effect on the book.",
    (
        CONTRACT,
        key("ts_recv", "int64", "as in bronze.mbo", "ns UTC"),
        key("is_snapshot", "bool", "as in bronze.mbo"),
        key("event_index", "int32", "as in bronze.mbo"),
        fact("t", "int64", "time on the project's clock, never decreasing", "ns UTC"),
        fact("begins_event", "bool", "an event or market snapshot begins with it"),
        fact("in_bars", "bool", "t lies in the bars window"),
        fact("in_premarket", "bool", "t lies in the premarket window"),
        fact("in_opening_range", "bool", "t lies in the opening range"),
        fact("in_focus", "bool", "t lies in the focus window"),
        fact("in_trigger", "bool", "t lies in the trigger window"),
        fact("in_regular", "bool", "t lies in regular hours"),
        fact("added_sz", "int64", "new resting size", SIZE),
        fact("cancelled_sz", "int64", "resting size taken away by its owner", SIZE),
        fact("executed_sz", "int64", "resting size that traded", SIZE),
        fact("refilled_sz", "int64", "iceberg's hidden size that came to show", SIZE),
        *session_columns(),
    ),
    PARTITION,
)


def _levels() -> list[Column]:
    return [
        fact(
            f"{side}_{what}_{m:02d}",
            "float64" if what == "px" else "int64",
            f"{side} {word}, {m + 1}. level",
            unit,
            null=what == "px",
        )
        for m in range(BOOK_LEVELS)
        for side in SIDES
        for what, word, unit in (
            ("px", "price", CURRENCY),
            ("sz", "size", SIZE),
            ("ct", "orders", "orders"),
        )
    ]


ORDERBOOK_STATE = Table(
    "silver.orderbook_state",
    "Ten levels per side at each bar's close.",
    (*BAR, *_levels(), *session_columns()),
    PARTITION,
)

_TRADES = (
    fact("open", "float64", "first trade", CURRENCY, null=True),
    fact("high", "float64", "highest trade", CURRENCY, null=True),
    fact("low", "float64", "lowest trade", CURRENCY, null=True),
    fact("close", "float64", "last trade", CURRENCY, null=True),
    fact("high_time", "int64", "first trade at the high", "ns UTC", null=True),
    fact("low_time", "int64", "first trade at the low", "ns UTC", null=True),
    fact("volume", "int64", "traded, auctions and hidden orders included", SIZE),
    fact("buy_volume", "int64", "traded by buying aggressors", SIZE),
    fact("sell_volume", "int64", "traded by selling aggressors", SIZE),
    fact("n_trades", "int64", "trades"),
    fact("vwap", "float64", "volume-weighted trade price", CURRENCY, null=True),
    fact("notional", "float64", "sum of price x size", "currency x size"),
)

_BOOK_AT_CLOSE = (
    *both("{}_px", "float64", "best {}", CURRENCY, null=True),
    *both("{}_sz", "int64", "size at the best {}", SIZE),
    *both("{}_ct", "int64", "orders at the best {}", "orders"),
    fact("mid", "float64", "(bid + ask) / 2", CURRENCY, null=True),
    fact("spread", "float64", "ask - bid", CURRENCY, null=True),
    fact(
        "microprice", "float64", "(b q_a + a q_b) / (q_a + q_b), Stoikov 2018", CURRENCY, null=True
    ),
    *(
        fact(f"imbalance_{n}", "float64", f"(B - A) / (B + A) over {n} levels", "-1..1", null=True)
        for n in (1, 3, 5, 10)
    ),
    *both("{}_depth_10", "int64", "{} size over 10 levels", SIZE),
    *(
        c
        for n in (4, 8, 20)
        for c in both(f"{{}}_depth_{n}t", "int64", f"{{}} size within {n} ticks of mid", SIZE, True)
    ),
)

_TIME_WEIGHTED = (
    fact("tw_mid", "float64", "mid over the time it existed", CURRENCY, null=True),
    fact("tw_spread", "float64", "spread over the time it existed", CURRENCY, null=True),
    fact("ns_book", "int64", "time two-sided and uncrossed", "ns"),
    *both("tw_{}_sz", "float64", "size at the best {} over the bar", SIZE),
    *both("tw_{}_depth_10", "float64", "{} size over 10 levels, over the bar", SIZE),
)

_FLOW = (
    fact("ofi", "int64", "order flow imbalance, Cont, Kukanov & Stoikov 2014", SIZE),
    *(
        fact(f"mlofi_{m}", "int64", f"ofi at the {m}. best price, Xu, Gould & Howison 2019", SIZE)
        for m in range(1, MLOFI_LEVELS + 1)
    ),
    *(
        c
        for word, what in (
            ("added", "new {} size"),
            ("cancelled", "cancelled {} size"),
            ("executed", "executed resting {} size"),
            ("refilled", "iceberg refills on the {}"),
        )
        for c in (
            *both(f"{{}}_{word}_sz", "int64", what + " within 10 ticks of the best", SIZE),
            *both(f"{{}}_{word}_ct", "int64", what + ", records", "records"),
        )
    ),
)

_ONLY_MBO = (
    *both("{}_queue_age_s", "float64", "size-weighted age of the best {} queue", "s", True),
    *both("{}_age_known_share", "float64", "share of that size whose age is known", "0..1", True),
    *both("{}_largest_sz", "int64", "largest {} order within 10 ticks of the best", SIZE, True),
    *both("{}_largest_ticks", "float64", "its distance from the best", TICKS, True),
    *both("{}_mean_order_sz", "float64", "mean order size at the best {}", SIZE, True),
    *both(
        "{}_executed_old_share", "float64", "share of executed size older than 1 s", "0..1", True
    ),
)

_QUALITY = (
    fact("n_events", "int64", "live records of the bar", "records"),
    fact("n_unknown", "int64", "records of orders that are not in the book", "records"),
    fact("n_crossed", "int64", "F_LAST states with bid >= ask in trading hours", "states"),
    fact("n_backwards", "int64", "records whose ts_recv ran backwards", "records"),
    fact("n_lost_last", "int64", "events that ended without F_LAST", "events"),
    fact(
        "book_drift", "int64", "orders in which a market snapshot differed from our book", "orders"
    ),
    fact("valid", "bool", "the book may be believed over the whole bar"),
    fact("warm", "bool", "the session so far is known (false after some live starts)"),
)

BAR_5S = Table(
    "silver.bar_5s",
    "One row per contract and 5 s (SilverComputeBar5sFeatures). Options: only with events.",
    (
        *BAR,
        *_TRADES,
        *_BOOK_AT_CLOSE,
        *_TIME_WEIGHTED,
        *_FLOW,
        *_ONLY_MBO,
        *_QUALITY,
        *session_columns(),
    ),
    PARTITION,
)

LEVEL_BOOK = Table(
    "silver.level_book",
    "What rests and happens within touch of each known level, per bar.",
    (
        *BAR,
        key("level_price", "int64", "the level", NANO),
        *both("{}_resting_sz", "int64", "{} size within touch at the close", SIZE),
        *both("{}_resting_ct", "int64", "{} orders within touch at the close", "orders"),
        *both("{}_added_sz", "int64", "{} size added within touch in the bar", SIZE),
        *both("{}_cancelled_sz", "int64", "{} size cancelled within touch in the bar", SIZE),
        *both("{}_executed_sz", "int64", "{} size executed within touch in the bar", SIZE),
        *both("{}_refilled_sz", "int64", "{} size refilled within touch in the bar", SIZE),
        *both("{}_refill_share", "float64", "refilled / executed, {}", "ratio", True),
        fact("traded_sz", "int64", "volume traded within touch in the bar", SIZE),
        *session_columns(),
    ),
    PARTITION,
)

FEATURE_PRIMITIVES = Table(
    "silver.feature_primitives",
    "Per bar, what vectors and dashboards build on.",
    (
        *BAR,
        fact("return_ticks", "float64", "change of mid", TICKS, null=True),
        *(
            fact(
                f"realized_vol_{n}",
                "float64",
                f"root of summed squares, {n} bars",
                TICKS,
                null=True,
            )
            for n in (12, 72, 360)
        ),
        fact("ofi_per_depth", "float64", "ofi / mean tw depth", "ratio", null=True),
        fact("trade_imbalance", "float64", "(buy - sell) / (buy + sell)", "-1..1", null=True),
        *both("{}_cancel_to_add", "float64", "{} cancelled / added size", "ratio", True),
        fact("liquidity_vacuum", "float64", "1 - depth / its median, 360 bars", "ratio", null=True),
        fact(
            "pressure",
            "float64",
            "mean of clipped ofi per depth, trade imbalance, imbalance_3",
            "-1..1",
            null=True,
        ),
        fact("microprice_velocity", "float64", "change of microprice", "ticks per bar", null=True),
        fact(
            "microprice_acceleration",
            "float64",
            "change of its velocity",
            "ticks per bar^2",
            null=True,
        ),
        fact("vpin", "float64", "Easley, Lopez de Prado & O'Hara 2012", "0..1", null=True),
        fact(
            "kyle_lambda",
            "float64",
            "72-bar OLS of return on signed volume, Kyle 1985",
            "ticks per size",
            null=True,
        ),
        *session_columns(),
    ),
    PARTITION,
)

LEVEL_APPROACH_2M = Table(
    "silver.level_approach_2m",
    "Price comes to a level after 2 minutes on one side (SilverExtractLevelApproach2m).",
    (
        key(
            "episode_id",
            "string",
            "BLAKE2b-128 of contract, session, level, direction, trigger bar",
        ),
        fact("contract_id", "string", "contract"),
        fact("level_price", "int64", "the level", NANO),
        fact(
            "level_types", "list<string>", "what the price was, of the types known at the trigger"
        ),
        fact("direction", "string", "side it came from", values=DIRECTIONS),
        fact("touch_ticks", "int64", "how near is a touch", TICKS),
        fact("barrier_ticks", "int64", "how far is an outcome", TICKS),
        fact("trigger_bar", "int64", "start of the bar of the trigger (tau)", "ns UTC"),
        fact("trigger_time", "int64", "t of the trigger trade", "ns UTC"),
        fact("trigger_price", "int64", "its price", NANO),
        fact("outcome", "string", "null: censored", null=True, values=OUTCOMES),
        fact("outcome_bar", "int64", "start of the bar of the outcome (rho)", "ns UTC"),
        fact("outcome_time", "int64", "t of the outcome; CHOP: end of rho", "ns UTC", null=True),
        fact("time_to_outcome_ns", "int64", "outcome_time - trigger_time", "ns", null=True),
        fact("favourable_ticks", "float64", "furthest beyond the level", TICKS),
        fact("adverse_ticks", "float64", "furthest back from the level", TICKS),
        fact("n_vectors", "int64", "bars tau .. rho-1"),
        fact("known_at", "int64", "end of rho", "ns UTC"),
        *session_columns(),
    ),
    PARTITION,
)

TABLES = (
    SESSION_SUMMARY,
    SESSION_LEVELS,
    CONTRACT_DAY,
    MBO_NORMALIZED,
    ORDERBOOK_STATE,
    BAR_5S,
    LEVEL_BOOK,
    FEATURE_PRIMITIVES,
    LEVEL_APPROACH_2M,
)
