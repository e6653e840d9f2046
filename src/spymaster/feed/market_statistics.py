"""What a market looks like in its records, real or simulated, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spymaster.errors import ContractError
from spymaster.feed.dbn import DbnReader
from spymaster.feed.market_count import (
    ADD,
    LEVELS,
    ORDER,
    SAMPLE,
    SNAPSHOT,
    Count,
    count,
    new_count,
    rehash,
)

_ACTIONS = "ACMRTFN"
_CHUNK = 250_000

#: Rows of the table: key, what it says, how it is written.
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("records", "live records", "{:,.0f}"),
    *((f"share_{a}", f"of them {a}", "{:.1%}") for a in _ACTIONS),
    ("share_last", "with F_LAST", "{:.1%}"),
    ("records_per_event", "records an event", "{:.3f}"),
    ("records_per_sequence", "records a sequence", "{:.3f}"),
    ("share_multi_packet", "events over several `ts_recv`", "{:.2%}"),
    ("share_equal_recv", "`ts_recv` groups of several records", "{:.1%}"),
    ("share_mixed_recv", "`ts_recv` groups of several `ts_event`", "{:.2%}"),
    ("share_moved", "M: to another price", "{:.1%}"),
    ("share_resized", "M: another size", "{:.1%}"),
    ("share_partial", "M: what a fill left", "{:.1%}"),
    ("share_refill", "M: iceberg refills", "{:.2%}"),
    ("share_no_aggressor", "T without aggressor", "{:.2%}"),
    ("share_burst", "T in the ns of the T before", "{:.1%}"),
    ("orders_start", "resting orders: start", "{:,.0f}"),
    ("orders_median", "resting orders: median", "{:,.0f}"),
    ("orders_end", "resting orders: end", "{:,.0f}"),
    ("levels", "price levels a side", "{:,.0f}"),
    ("best_sz", "size at the best", "{:,.1f}"),
    ("best_ct", "orders at the best", "{:,.1f}"),
    ("order_sz", "size of an order over 10 levels", "{:.2f}"),
    ("ten_sz", "size over 10 levels", "{:,.0f}"),
    ("ten_ct", "orders over 10 levels", "{:,.0f}"),
    ("spread", "spread, ticks (mean)", "{:.2f}"),
    ("lag_p50_us", "`ts_recv` - `ts_event`: p50, us", "{:,.0f}"),
    ("lag_p99_us", "p99, us", "{:,.0f}"),
    ("lag_max_us", "max, us (1 s and more is 1 s)", "{:,.0f}"),
    ("unknown", "C or M of unknown orders", "{:,.0f}"),
    ("crossed", "crossed states", "{:,.0f}"),
)


def market_statistics(
    files: Iterable[str | Path], instrument_id: int | None = None
) -> dict[str, float]:
    """Counts of one instrument's live records, and of its book once a second, over MBO files.

    instrument_id: else the busiest of the files. The files are one feed, in its order, read in
    bounded chunks. Shares are of live records, of events, of groups of equal `ts_recv`, of M or
    of T, as the keys in `_ROWS` say; book figures are medians (the spread: the mean) of the
    states at the first F_LAST of each second that is two-sided and not crossed, sizes and
    counts per side. Ticks are the largest common step of resting prices. Raises ContractError
    for files without a live record.
    """
    paths = [Path(p) for p in files]
    number, tick, base = _chosen(paths, instrument_id)
    state, samples = new_count(), np.zeros(_CHUNK, SAMPLE)
    state.tally["base"] = base // tick - LEVELS // 2
    orders = np.zeros(1 << 16, ORDER)
    for rows in _rows(paths, number):
        orders = _roomy(orders, int(state.tally["orders"][0]) + len(rows))
        samples = _roomy_samples(samples, int(state.tally["samples"][0]) + len(rows))
        count(state, orders, rows, tick, samples)
    return _figures(state, samples[: int(state.tally["samples"][0])])


def statistics_table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: one row per statistic, one column per market, in the order given."""
    lines = ["| statistic | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for key, what, how in _ROWS:
        values = [how.format(c[key]) if c[key] == c[key] else "-" for c in columns.values()]
        lines.append(f"| {what} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def _rows(paths: Sequence[Path], number: int) -> Iterable[npt.NDArray[Any]]:
    for path in paths:
        with DbnReader(path) as reader:
            for chunk in reader.chunks(_CHUNK):
                mine = chunk.records["instrument_id"] == number
                yield chunk.records if mine.all() else chunk.records[mine]


def _chosen(paths: Sequence[Path], instrument_id: int | None) -> tuple[int, int, int]:
    """The instrument to count, the step of its resting prices, and a price near its middle."""
    counts: dict[int, int] = {}
    steps: dict[int, int] = {}
    first: dict[int, int] = {}
    for path in paths:
        with DbnReader(path) as reader:
            for chunk in reader.chunks(_CHUNK):
                rows = chunk.records
                live = rows[rows["flags"] & SNAPSHOT == 0]
                ids, ns = np.unique(live["instrument_id"], return_counts=True)
                for number, n in zip(ids.tolist(), ns.tolist(), strict=True):
                    counts[number] = counts.get(number, 0) + n
                    adds = live[(live["instrument_id"] == number) & (live["action"] == ADD)]
                    prices = adds["price"]
                    if len(prices):
                        step = int(np.gcd.reduce(prices))
                        steps[number] = int(np.gcd(steps.get(number, 0), step))
                        first.setdefault(number, int(np.median(prices)))
    usable = {n: counts[n] for n in counts if n in steps}
    number = (
        instrument_id
        if instrument_id is not None
        else max(usable, key=usable.__getitem__, default=-1)
    )
    if number not in usable:
        raise ContractError(
            f"market statistics: {', '.join(p.name for p in paths) or 'no file'} has no added order"
            f" of instrument {'any' if instrument_id is None else number};"
            f" allowed: {sorted(usable)[:10]}. Name another instrument, or files with live records."
        )
    return number, steps[number], first[number]


def _roomy(orders: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """A table with room for `n` orders."""
    if len(orders) >= 2 * n:
        return orders
    larger = np.zeros(1 << (2 * n - 1).bit_length(), ORDER)
    rehash(orders, larger)
    return larger


def _roomy_samples(samples: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    if len(samples) >= n:
        return samples
    return np.concatenate([samples, np.zeros(max(n, len(samples)), SAMPLE)])


def _figures(state: Count, samples: npt.NDArray[Any]) -> dict[str, float]:
    t = {name: float(state.tally[name][0]) for name in state.tally.dtype.names or ()}
    modified, trades = float(state.actions[ord("M")]), t["trades"]
    below = np.cumsum(state.lag)

    def lag(share: float) -> float:
        return float(np.searchsorted(below, share * below[-1]))

    def median(name: str, per: float = 1.0) -> float:
        return float(np.median(samples[name])) / per if len(samples) else float("nan")

    return {
        "records": t["records"],
        **{f"share_{a}": _ratio(float(state.actions[ord(a)]), t["records"]) for a in _ACTIONS},
        "share_last": _ratio(t["last"], t["records"]),
        "records_per_event": _ratio(t["records"], t["events"]),
        "records_per_sequence": _ratio(t["records"], t["sequences"]),
        "share_multi_packet": _ratio(t["long_events"], t["events"]),
        "share_equal_recv": _ratio(t["groups_many"], t["groups"]),
        "share_mixed_recv": _ratio(t["groups_events"], t["groups"]),
        "share_moved": _ratio(t["moved"], modified),
        "share_resized": _ratio(t["resized"], modified),
        "share_partial": _ratio(t["partials"], modified),
        "share_refill": _ratio(t["refills"], modified),
        "share_no_aggressor": _ratio(t["no_aggressor"], trades),
        "share_burst": _ratio(t["bursts"], trades),
        "orders_start": t["orders_start"],
        "orders_median": median("orders"),
        "orders_end": t["orders"],
        "levels": (median("levels_bid") + median("levels_ask")) / 2,
        "best_sz": median("best_sz", 2),
        "best_ct": median("best_ct", 2),
        "order_sz": _ratio(median("ten_sz"), median("ten_ct")),
        "ten_sz": median("ten_sz", 2),
        "ten_ct": median("ten_ct", 2),
        "spread": float(samples["spread"].mean()) if len(samples) else float("nan"),
        "lag_p50_us": lag(0.5),
        "lag_p99_us": lag(0.99),
        "lag_max_us": lag(1.0),
        "unknown": t["unknown"],
        "crossed": t["crossed"],
        "bursts": t["bursts"],
        "burst_levels": t["burst_levels"],
        "lost_last": t["lost_last"],
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
