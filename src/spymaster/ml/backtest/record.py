"""A backtest's files: written once, whole; the same inputs give the same summary, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster.contracts.silver import DIRECTIONS
from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.lake.lineage import code_version
from spymaster.lake.place import Place
from spymaster.ml.backtest.contest import Contest
from spymaster.ml.backtest.market import EXITS, made_of
from spymaster.ml.backtest.trading import CALLS, Desk, Trades
from spymaster.ml.folder import FrozenFolder
from spymaster.ml.outcomes import OUTCOMES
from spymaster.settings import Settings

SUMMARY, TRADES, REPORT, LOOK = "summary.json", "trades.parquet", "report.html", "look.json"
#: What decides a summary beside the package's `code_version`: files under ml/.
_CODE = (
    "arrays", "baseline", "calibration", "dataset", "gain", "metrics", "model", "outcomes", "walk",
)  # fmt: skip
#: And files under engines/, by which bronze becomes quotes.
_ENGINES = (
    "bronze_file", "captured_gaps", "quotes", "session_feed", "session_quotes", "source",
)  # fmt: skip


def identity(lake: Lake, settings: Settings, contest: Contest) -> dict[str, Any]:
    """All that decides what a backtest comes to."""
    how = settings.ml.backtest
    markets = [made_of(lake, settings, data) for data in (contest.validation, contest.traded)]
    card, traded = contest.scorer.model.card, contest.traded
    return {
        "model_id": traded.model_id,
        "version": contest.scorer.version,
        "digest": card["digest"],
        "feature_contract": contest.scorer.feature_contract,
        "snapshot": contest.validation.checksum,
        "run_date": traded.run_date.isoformat(),
        "traded_snapshot": traded.checksum,
        "sessions": contest.part,
        "validation_days": [str(day) for day in contest.validation.sessions],
        "days": [str(day) for day in traded.sessions],
        "settings": how.model_dump(mode="json"),
        "market": blake2b(json.dumps(markets).encode(), digest_size=16).hexdigest(),
        "code": _code(),
    }


def _code() -> str:
    home = Path(__file__).parent
    total = blake2b(code_version().encode(), digest_size=16)
    engines = home.parents[1] / "engines"
    sources = [*sorted(home.glob("*.py")), *(home.parent / f"{name}.py" for name in _CODE)]
    for path in (*sources, *(engines / f"{name}.py" for name in _ENGINES)):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def folder_of(root: str | Path, about: Mapping[str, Any]) -> FrozenFolder:
    """Where a backtest lies, or would lie: by model, version, run date, sessions and key."""
    place = "/".join(str(about[name]) for name in ("model_id", "version", "run_date"))
    path = f"ml-artifacts/backtests/{place}/{about['sessions']}-{key_of(about)}"
    return FrozenFolder(Place(root), path)


def key_of(about: Mapping[str, Any]) -> str:
    """BLAKE2b-64 of an identity, in hexadecimal."""
    return blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=8).hexdigest()


def to_bytes(values: Mapping[str, Any]) -> bytes:
    """JSON as it is kept; ValueError for NaN."""
    return (json.dumps(values, indent=1, allow_nan=False) + "\n").encode()


def read(folder: FrozenFolder, name: str) -> dict[str, Any]:
    """One of the JSON files; ModelError for one that is gone or damaged."""
    try:
        return dict(json.loads(folder.read(name) or b""))
    except ValueError:
        raise ModelError(
            f"{folder.path / name}: is gone or damaged. Remove the folder and run the backtest "
            "again; on test sessions that is another look."
        ) from None


def write_trades(desk: Desk, trades: Trades, path: Path) -> None:
    """One row per trade, in the order in which they were decided."""
    pq.write_table(trade_table(desk, trades), path, compression="zstd", store_schema=False)


def trade_table(desk: Desk, trades: Trades) -> pa.Table:
    """Trades with all that made them. Times ns UTC, prices 1e-9 currency."""
    data, market = desk.data, desk.market
    rows, call = trades.row, trades.call
    whose = data.episode[rows].tolist()
    pick = (rows, call)
    return pa.table(
        {
            "session_date": pa.array(data.session[rows].tolist(), pa.date32()),
            "contract_id": data.contract_id[rows].tolist(),
            "episode_id": [data.episode_id[e] for e in whose],
            "feature_hash": data.feature_hash[rows].tolist(),
            "level_price": data.level_price[rows],
            "level_types": pa.array([market.level_types[e] for e in whose], pa.list_(pa.string())),
            "direction": [DIRECTIONS[0 if d > 0 else 1] for d in data.direction[rows].tolist()],
            "vector_time": data.vector_time[rows],
            "call": [CALLS[c] for c in call.tolist()],
            "probability": desk.p[pick],
            "side": ["LONG" if s > 0 else "SHORT" for s in desk.side[pick].tolist()],
            "ordered_at": market.ordered[rows],
            "entry_time": market.entry.ts[rows],
            "entry_price": desk.entry_px[pick],
            "exit_ordered_at": market.exit_ordered[rows],
            "exit_time": market.exit.ts[rows],
            "exit_price": desk.exit_px[pick],
            "exit_reason": [EXITS[r] for r in market.exit_reason[rows].tolist()],
            "outcome": [OUTCOMES[i] for i in data.label[rows].tolist()],
            "gross_ticks": desk.gross[pick],
            "fees_ticks": np.asarray(2 * market.cost[rows]),
            "net_ticks": desk.net[pick],
        }
    )
