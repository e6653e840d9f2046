"""The names of a vector's numbers, in their order: what gold.vector_spec tells and the model sees.

Everything is oriented: "ahead" is the side beyond the level, "behind" the side price comes from.
Distances are positive before the level is reached. Medians are those of the vector's own bar, also
for the bars of a window. A window's statistics are of the bars that have a value, at least three
quarters of them (all of 3); a change of mid needs two valid bars in a row. "At the level" is within
touch of it, whichever way the best prices are.
"""

from __future__ import annotations

from typing import NamedTuple

WINDOWS = (3, 12, 36, 72)
STATISTICS = ("mean", "slope", "curvature")
MEDIAN_BARS, MEDIAN_MIN_BARS = 360, 72


class Feature(NamedTuple):
    """One number of a vector."""

    name: str
    block: str
    unit: str
    meaning: str


_MEDIAN = "x its median of 360 bars"

NOW: tuple[tuple[str, str, str], ...] = (
    ("distance_ticks", "ticks", "level - mid"),
    ("distance_barriers", "barriers", "level - mid"),
    ("distance_vol", "72-bar volatilities", "level - mid"),
    ("close_distance_ticks", "ticks", "level - last trade of the bar"),
    ("vwap_distance_ticks", "ticks", "level - vwap of the bar"),
    ("return_ticks", "ticks", "change of mid towards the level"),
    ("range_ticks", "ticks", "high - low of the bar"),
    ("volatility_72", "ticks", "root mean square of the changes of mid over 72 bars, at least 54"),
    ("micro_lead_ticks", "ticks", "microprice - mid towards the level"),
    ("spread_ticks", "ticks", "ask - bid"),
    ("tw_spread_ticks", "ticks", "time-weighted spread"),
    ("book_time_share", "0..1", "share of the bar with a two-sided, uncrossed book"),
    ("imbalance_1", "-1..1", "(behind - ahead) / both, best level"),
    ("imbalance_3", "-1..1", "the same over 3 levels"),
    ("imbalance_5", "-1..1", "the same over 5 levels"),
    ("imbalance_10", "-1..1", "the same over 10 levels"),
    ("best_ahead_sz", _MEDIAN, "size at the best price ahead"),
    ("best_behind_sz", _MEDIAN, "size at the best price behind"),
    ("best_ahead_ct", _MEDIAN, "orders at the best price ahead"),
    ("best_behind_ct", _MEDIAN, "orders at the best price behind"),
    ("depth_10_ahead", _MEDIAN, "size over 10 levels ahead"),
    ("depth_10_behind", _MEDIAN, "size over 10 levels behind"),
    ("depth_4t_ahead", _MEDIAN, "size within 4 ticks of mid ahead"),
    ("depth_4t_behind", _MEDIAN, "size within 4 ticks of mid behind"),
    ("depth_20t_ahead", _MEDIAN, "size within 20 ticks of mid ahead"),
    ("depth_20t_behind", _MEDIAN, "size within 20 ticks of mid behind"),
    ("tw_sz_ahead", _MEDIAN, "time-weighted size at the best price ahead"),
    ("tw_sz_behind", _MEDIAN, "time-weighted size at the best price behind"),
    ("tw_depth_ahead", _MEDIAN, "time-weighted size over 10 levels ahead"),
    ("tw_depth_behind", _MEDIAN, "time-weighted size over 10 levels behind"),
    ("volume", _MEDIAN, "traded"),
    ("volume_towards", _MEDIAN + " (of volume)", "traded by aggressors towards the level"),
    ("volume_away", _MEDIAN + " (of volume)", "traded by aggressors away from it"),
    ("n_trades", _MEDIAN, "trades"),
    ("n_events", _MEDIAN, "records"),
    ("trade_imbalance", "-1..1", "(towards - away) / both"),
    ("ofi", "ratio", "order flow imbalance towards the level / mean time-weighted depth"),
    ("mlofi_2", "ratio", "the same at the 2. price"),
    ("mlofi_3", "ratio", "the same at the 3. price"),
    ("mlofi_4", "ratio", "the same at the 4. price"),
    ("mlofi_5", "ratio", "the same at the 5. price"),
    ("added_ahead", _MEDIAN + " (both sides)", "new size ahead"),
    ("added_behind", _MEDIAN + " (both sides)", "new size behind"),
    ("pulled_ahead", _MEDIAN + " (both sides)", "cancelled size ahead"),
    ("pulled_behind", _MEDIAN + " (both sides)", "cancelled size behind"),
    ("refilled_ahead", _MEDIAN + " (of volume)", "iceberg refills ahead"),
    ("refilled_behind", _MEDIAN + " (of volume)", "iceberg refills behind"),
    ("queue_age_ahead", "s", "size-weighted age of the best queue ahead"),
    ("queue_age_behind", "s", "size-weighted age of the best queue behind"),
    ("age_known_ahead", "0..1", "share of that size whose age is known, ahead"),
    ("age_known_behind", "0..1", "share of that size whose age is known, behind"),
    ("largest_ahead", _MEDIAN + " (of size at the best)", "largest order within 10 ticks ahead"),
    ("largest_behind", _MEDIAN + " (of size at the best)", "largest order within 10 ticks behind"),
    ("largest_ahead_ticks", "ticks", "its distance from the best, ahead"),
    ("largest_behind_ticks", "ticks", "its distance from the best, behind"),
    ("mean_order_ahead", _MEDIAN, "mean order size at the best price ahead"),
    ("mean_order_behind", _MEDIAN, "mean order size at the best price behind"),
    ("executed_old_ahead", "0..1", "share of executed size older than 1 s, ahead"),
    ("executed_old_behind", "0..1", "share of executed size older than 1 s, behind"),
    ("level_ahead_sz", _MEDIAN + " (over 10 levels)", "resting at the level, ahead"),
    ("level_behind_sz", _MEDIAN + " (over 10 levels)", "resting at the level, behind"),
    ("level_ahead_ct", _MEDIAN + " (at the best)", "orders at the level, ahead"),
    ("level_behind_ct", _MEDIAN + " (at the best)", "orders at the level, behind"),
    ("level_added_ahead", _MEDIAN + " (both sides)", "new size at the level, ahead"),
    ("level_added_behind", _MEDIAN + " (both sides)", "new size at the level, behind"),
    ("level_pulled_ahead", _MEDIAN + " (both sides)", "cancelled size at the level, ahead"),
    ("level_pulled_behind", _MEDIAN + " (both sides)", "cancelled size at the level, behind"),
    ("level_executed_ahead", _MEDIAN + " (of volume)", "executed size at the level, ahead"),
    ("level_executed_behind", _MEDIAN + " (of volume)", "executed size at the level, behind"),
    ("level_refilled_ahead", _MEDIAN + " (of volume)", "iceberg refills at the level, ahead"),
    ("level_refilled_behind", _MEDIAN + " (of volume)", "iceberg refills at the level, behind"),
    ("level_refill_share_ahead", "ratio", "refilled / executed at the level, ahead"),
    ("level_refill_share_behind", "ratio", "refilled / executed at the level, behind"),
    ("level_volume", _MEDIAN + " (of volume)", "traded at the level in the bar"),
    (
        "absorption",
        "ratio",
        "traded at the level in this episode / size that rests there, both sides",
    ),
)

SERIES: tuple[tuple[str, str, str], ...] = (
    ("distance", "ticks", "level - mid"),
    ("micro_lead", "ticks", "microprice - mid towards the level"),
    ("spread", "ticks", "ask - bid"),
    ("imbalance_1", "-1..1", "imbalance at the best level"),
    ("imbalance_5", "-1..1", "imbalance over 5 levels"),
    ("ofi", "ratio", "order flow imbalance / mean time-weighted depth"),
    ("trade_imbalance", "-1..1", "(towards - away) / both"),
    ("volume", _MEDIAN, "traded"),
    ("n_events", _MEDIAN, "records"),
    ("added_ahead", _MEDIAN + " (both sides)", "new size ahead"),
    ("added_behind", _MEDIAN + " (both sides)", "new size behind"),
    ("pulled_ahead", _MEDIAN + " (both sides)", "cancelled size ahead"),
    ("pulled_behind", _MEDIAN + " (both sides)", "cancelled size behind"),
    ("depth_ahead", _MEDIAN, "time-weighted size over 10 levels ahead"),
    ("depth_behind", _MEDIAN, "time-weighted size over 10 levels behind"),
    ("queue_age_ahead", "s", "age of the best queue ahead"),
    ("queue_age_behind", "s", "age of the best queue behind"),
    ("volatility", "ticks", "absolute change of mid"),
)

CONTEXT: tuple[tuple[str, str, str], ...] = (
    ("bars_since_trigger", "bars", "bars since the trigger's"),
    ("earlier_episodes", "episodes", "earlier ones at this price in this session"),
    ("near_bars", "bars", "bars of this episode that traded within 1 tick of the level"),
    ("touch_volume", "x median volume of 360 bars", "traded within touch in this episode"),
    ("minutes_into_session", "minutes", "from the start of focus to the bar's end"),
    (
        "next_level_ahead_ticks",
        "ticks",
        "to the nearest level beyond it that was known when the bar began",
    ),
    (
        "next_level_behind_ticks",
        "ticks",
        "to the nearest level before it that was known when the bar began",
    ),
)

_HOW = {
    "mean": ("{unit}", "mean of {meaning}"),
    "slope": ("{unit} per bar", "least-squares slope of {meaning}"),
    "curvature": ("{unit} per bar^2", "second derivative of the fitted parabola of {meaning}"),
}

FEATURES: tuple[Feature, ...] = (
    *(Feature(name, "now", unit, meaning) for name, unit, meaning in NOW),
    *(
        Feature(
            f"{name}_{statistic}_{window}",
            "lookback",
            _HOW[statistic][0].format(unit=unit),
            f"{_HOW[statistic][1].format(meaning=meaning)} over {window} bars",
        )
        for name, unit, meaning in SERIES
        for window in WINDOWS
        for statistic in STATISTICS
    ),
    *(Feature(name, "context", unit, meaning) for name, unit, meaning in CONTEXT),
)
NAMES = tuple(f.name for f in FEATURES)
