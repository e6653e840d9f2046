"""Law 3 on one machine: what a stream makes is what history makes of the same records."""

from __future__ import annotations

from pathlib import Path

import pytest

from spymaster.bus import open_bus
from spymaster.engines.stream.live import LiveEngine
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.e2e.scenes import SHORT, market, run, short
from tests.live.posting import post

TABLES = (
    "silver.mbo_normalized", "silver.orderbook_state", "silver.bar_5s", "silver.level_book",
    "silver.feature_primitives", "silver.session_levels", "silver.level_approach_2m",
    "silver.contract_day", "silver.session_summary", "gold.feature_series", "gold.setup_vectors",
    "gold.labels",
)  # fmt: skip


def partitioned(settings: Settings, partitions: int) -> Settings:
    bus = settings.bus.model_copy(update={"partitions": partitions})
    return settings.model_copy(update={"bus": bus})


def stream(settings: Settings, files: list[Path], batch_records: int = 500, **how: object) -> int:
    with open_bus(settings) as bus:
        post(bus, settings, files, batch_records)
        engine = LiveEngine(settings, bus, quiet_s=0.3, **how)  # type: ignore[arg-type]
        return engine.run().records


def compare(streamed: Path, history: Path) -> dict[str, int]:
    """Every table of both is equal; rows compared."""
    compared = {}
    for name in TABLES:
        found = diff(Lake(history), Lake(streamed), (name, name + "_stream"))
        print(found)
        assert found.equal, str(found)
        compared[name] = sum(n for n, _ in found.rows.values())
    found = diff(Lake(history), Lake(streamed), ("bronze.mbo", "bronze.stream"))
    assert found.equal, str(found)
    return compared


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("market")
    return market(out, sessions=3, events=3_000, windows=SHORT)


@pytest.fixture(scope="module")
def history(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("history")
    run(short(root), files)
    return root


@pytest.mark.parametrize(
    ("partitions", "batch_records", "intent_records", "commit_s"),
    [(1, 500, 100_000, 10.0), (3, 97, 1, 0.05)],
)
def test_streamed_sessions_are_those_of_history(
    files: list[Path],
    history: Path,
    tmp_path: Path,
    partitions: int,
    batch_records: int,
    intent_records: int,
    commit_s: float,
) -> None:
    settings = partitioned(short(tmp_path / "root"), partitions)
    how = {"intent_records": intent_records, "commit_s": commit_s}
    assert stream(settings, files, batch_records, **how) > 9_000
    compared = compare(tmp_path / "root", history)
    assert all(compared[t] for t in TABLES), compared
