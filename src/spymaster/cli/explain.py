"""`spymaster explain`: from a vector back to the bars and records it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from spymaster.cli.console import tell
from spymaster.contracts.event import BAR_NS, LATENESS_NS
from spymaster.contracts.stream import SUFFIX
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.settings import Settings

_VECTORS = "gold.setup_vectors"


def explain_vector(settings: Settings, start: str, records: int) -> None:
    """Say what a vector is, and what its last bar was made of; history first, then the stream."""
    lake = Lake(settings.root)
    lake.check_exists()
    row, suffix = _find(lake, start)
    names = lake.scan(
        "gold.vector_spec", ["position", "name", "block"], {"lookback_spec": row["lookback_spec"]}
    ).sort_by("position")
    at = np.datetime64(row["vector_time"], "ns")
    tell(f"vector {row['feature_hash']} ({_VECTORS + suffix})")
    tell(
        f"  {row['contract_id']} at {at}Z, episode {row['episode_id']}: "
        f"{'/'.join(row['level_types'])} {row['level_price'] / 1e9:,.2f} {row['direction'].lower()}"
    )
    blocks: dict[str, int] = {}
    for block in names["block"].to_pylist():
        blocks[block] = blocks.get(block, 0) + 1
    told = ", ".join(f"{n} of {block}" for block, n in blocks.items())
    tell(f"  {len(row['feature_vector'])} numbers: {told}")
    for name, value in list(zip(names["name"].to_pylist(), row["feature_vector"], strict=True))[:8]:
        tell(f"    {name:<24} {value:.6g}")
    _bars(lake, row, suffix)
    if records:
        _records(lake, row, suffix, records)


def _find(lake: Lake, start: str) -> tuple[dict[str, Any], str]:
    hashes: set[str] = set()
    for suffix in ("", SUFFIX):
        if not lake.exists(_VECTORS + suffix):
            continue
        where = pc.starts_with(pc.field("feature_hash"), start)
        found = lake.scan(_VECTORS + suffix, filters=where).to_pylist()
        hashes |= {r["feature_hash"] for r in found}
        if len(hashes) == 1 and found:
            return found[0], suffix
    if not hashes:
        raise LakeError(
            f"{start}: no vector of {lake.root} has this feature_hash. See: spymaster show "
            f"{_VECTORS} --columns feature_hash,vector_time"
        )
    raise LakeError(f"{start}: {len(hashes)} vectors begin so; give more of the hash.")


def _bars(lake: Lake, row: dict[str, Any], suffix: str) -> None:
    where = {k: row[k] for k in ("session_date", "underlier", "contract_id")}
    columns = ["bar_start", "bar_end", "open", "high", "low", "close", "volume", "ofi", "n_events"]
    rows = lake.scan(f"silver.bar_5s{suffix}", columns, where).to_pylist()
    upto = [r for r in rows if r["bar_end"] <= int(row["vector_time"])][-3:]
    tell(f"  bars (silver.bar_5s{suffix}), the last three of those it looks back on:")
    for r in upto:
        end = np.datetime64(r["bar_end"], "ns")
        tell(
            f"    to {end}Z  {r['open']} {r['high']} {r['low']} {r['close']}  volume {r['volume']}"
            f"  ofi {r['ofi']}  {r['n_events']} records"
        )


def _records(lake: Lake, row: dict[str, Any], suffix: str, n: int) -> None:
    end = int(row["vector_time"])
    where = {k: row[k] for k in ("session_date", "underlier", "contract_id")}
    tags = lake.scan(
        f"silver.mbo_normalized{suffix}", ["ts_recv", "event_index", "is_snapshot", "t"], where
    ).to_pylist()
    mine = {
        (r["ts_recv"], r["event_index"], r["is_snapshot"])
        for r in tags
        if end - BAR_NS <= r["t"] < end
    }
    table = "bronze.stream" if suffix else "bronze.mbo"
    ts = pc.field("ts_recv")
    near = (ts >= end - BAR_NS - LATENESS_NS) & (ts <= end + BAR_NS)
    contract = pc.field("contract_id") == row["contract_id"]
    rows = lake.scan(
        table,
        ["ts_recv", "event_index", "is_snapshot", "action", "side", "price", "size", "order_id"],
        near & contract,
    ).to_pylist()
    shown = [r for r in rows if (r["ts_recv"], r["event_index"], r["is_snapshot"]) in mine]
    tell(f"  records of its last bar ({table}): {len(shown)}, the last {min(n, len(shown))}:")
    for r in shown[-n:] if n else ():
        price = "-" if r["price"] is None else f"{r['price'] / 1e9:,.4f}"
        tell(
            f"    {np.datetime64(r['ts_recv'], 'ns')}Z #{r['event_index']}  {r['action']} "
            f"{r['side']} {price} x {r['size']}  order {r['order_id']}"
        )
