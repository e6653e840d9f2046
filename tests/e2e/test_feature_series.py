"""The dashboards' series is what bars and primitives say, and missing where those are."""

from __future__ import annotations

from pathlib import Path

from spymaster.contracts import TABLES
from tests.e2e.scenes import SHORT, market, rows, run, short

KEY = ("contract_id", "bar_start")


def by_key(root: Path, table: str) -> dict[tuple[object, ...], dict[str, object]]:
    return {tuple(row[k] for k in KEY): row for row in rows(root, table)}


def test_every_number_is_that_of_its_bar_or_its_primitives(tmp_path: Path) -> None:
    root = tmp_path / "root"
    files = market(tmp_path / "market", 1, 6_000, SHORT, options=6, option_events_per_session=600)
    run(short(root), files)
    bars, primitives = by_key(root, "silver.bar_5s"), by_key(root, "silver.feature_primitives")
    series = by_key(root, "gold.feature_series")
    names = [name for name in TABLES["gold.feature_series"].facts if name not in KEY]
    missing = 0
    assert series.keys() == bars.keys()
    for key, row in series.items():
        for name in names:
            whose = bars[key] if name in bars[key] else primitives.get(key)
            assert row[name] == (None if whose is None else whose[name]), (key, name)
            missing += whose is None
    of_primitives = {n for n in names if n not in next(iter(bars.values()))}
    assert of_primitives >= {"pressure", "liquidity_vacuum", "vpin"}
    assert missing == len(of_primitives) * (len(bars) - len(primitives)) > 0
    assert sum(row["pressure"] is not None for row in series.values()) > 200
