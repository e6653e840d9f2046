"""Two sets of rows, bit for bit; and what was compared, so that nobody compares nothing."""

from __future__ import annotations

import struct
from collections import Counter

Row = dict[str, object]
Tables = dict[str, list[Row]]
EPISODES = "silver.level_approach_2m"
AT_LEVELS = ("resting", "added", "cancelled", "executed", "refilled")
PRIMITIVES = (
    "return_ticks", "realized_vol_12", "realized_vol_72", "realized_vol_360", "ofi_per_depth",
    "trade_imbalance", "bid_cancel_to_add", "ask_cancel_to_add", "liquidity_vacuum", "pressure",
    "microprice_velocity", "microprice_acceleration", "vpin", "kyle_lambda",
)  # fmt: skip
#: What there must be for a comparison of levels' books and of primitives to say something.
FEATURES_SEEN = (
    *(f"{what} at levels" for what in ("resting", "added", "cancelled", "executed", "traded")),
    *PRIMITIVES,
)
_BY_TIME = {
    EPISODES: ("trigger_bar", "level_price"),
    "silver.session_levels": ("level_type",),
    "silver.level_book": ("bar_start", "level_price"),
}


def bits(value: object) -> object:
    """A value that equals another only when both are the same; one NaN, missing is None."""
    if isinstance(value, float):
        return ("nan",) if value != value else ("float", struct.pack("<d", value))
    if isinstance(value, list):
        return [bits(v) for v in value]
    return value


def difference(found: Tables, expected: Tables, all_columns: bool = True) -> str | None:
    """The first row and column in which two sets of tables differ; None when they do not.

    Without `all_columns` only the columns that `found` has are compared.
    """
    for table, rows in expected.items():
        mine, theirs = _sorted(table, found[table]), _sorted(table, rows)
        for i, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if all_columns and a.keys() != b.keys():
                return f"{table} row {i}: columns {sorted(a.keys() ^ b.keys())}"
            for name in a:
                if bits(a[name]) != bits(b[name]):
                    return f"{table} row {i}: {name} is {a[name]!r}, expected {b[name]!r}"
        if len(mine) != len(theirs):
            return f"{table}: {len(mine)} rows, expected {len(theirs)}"
    return None


def _sorted(table: str, rows: list[Row]) -> list[Row]:
    names = _BY_TIME.get(table)
    return rows if names is None else sorted(rows, key=lambda r: tuple(r[n] for n in names))


def census(tables: Tables) -> Counter[str]:
    """How much of each thing that matters the rows hold."""
    n: Counter[str] = Counter()
    n["bars"] += len(tables["silver.bar_5s"])
    n["values"] += sum(len(row) for rows in tables.values() for row in rows)
    n["records"] += len(tables["silver.mbo_normalized"])
    n["levels"] += len(tables["silver.session_levels"])
    for row in tables["silver.bar_5s"]:
        n["invalid bars"] += not row["valid"]
        n["valid bars"] += bool(row["valid"])
        for name in ("n_unknown", "n_crossed", "n_backwards", "n_lost_last", "book_drift"):
            n[name] += row[name]
        for side in ("bid", "ask"):
            n["refills"] += row[f"{side}_refilled_ct"]
            n["executed_old"] += (row[f"{side}_executed_old_share"] or 0.0) > 0
            n["partly known ages"] += 0 < (row[f"{side}_age_known_share"] or 0.0) < 1
    for row in tables["silver.level_book"]:
        n["level rows"] += 1
        for what in AT_LEVELS:
            n[f"{what} at levels"] += bool(row[f"bid_{what}_sz"]) + bool(row[f"ask_{what}_sz"])
        n["traded at levels"] += row["traded_sz"] > 0
    for row in tables["silver.feature_primitives"]:
        n["primitives"] += 1
        for name in PRIMITIVES:
            n[name] += row[name] is not None
    for row in tables[EPISODES]:
        n[row["outcome"] or "censored"] += 1
        n[row["direction"]] += 1
    return n
