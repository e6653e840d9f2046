"""Law 3: whatever engine computes a day, the facts are the same, bit for bit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spymaster.lake import Lake
from spymaster.lake.diff import diff
from tests.e2e.scenes import counts, rows, run
from tests.parity.engines import ENGINES
from tests.parity.scenarios import SCENARIOS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]


@pytest.fixture(scope="module", params=SCENARIOS)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[Path], Path]:
    """A scenario, its files, and the root that one local run made of them."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    scenario = SCENARIOS[name]
    files = scenario.files(folder / "files")
    run(scenario.settings(folder / "reference"), files)
    return name, files, folder / "reference"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_makes_the_same_facts(
    engine: str, scene: tuple[str, list[Path], Path], tmp_path: Path, request: Any
) -> None:
    name, files, reference = scene
    settings = SCENARIOS[name].settings(tmp_path)
    ENGINES[engine](settings, files, lambda: request.getfixturevalue("spark"))
    found = diff(reference, tmp_path)
    print(engine, name)
    print(found)
    assert found.equal, str(found)
    assert set(found.rows) >= {n for n, c in counts(reference).items() if c}
    episodes = rows(tmp_path, "silver.level_approach_2m", "outcome", "direction")
    outcomes = Counter(e["outcome"] for e in episodes)
    print(outcomes, Counter(e["direction"] for e in episodes))
    assert all(outcomes[o] > 0 for o in SCENARIOS[name].outcomes)
    for table in ("bronze.mbo", "silver.bar_5s", "gold.setup_vectors", "gold.labels"):
        assert found.rows[table][1] > 0
    assert _shown(tmp_path) == _shown(reference)


def _shown(root: Path) -> list[tuple[Any, ...]]:
    """What lineage says of each session at last: who may see it, and what it was made from."""
    last: dict[Any, tuple[Any, ...]] = {}
    lineage = Lake(root).scan("lineage").to_pylist()
    for r in sorted(lineage, key=lambda r: r["committed_at"]):
        facts = (r[n] for n in ("session_date", "status", "data_version", "counters"))
        last[r["session_date"]] = (*facts, sorted(json.loads(r["rows"]).items()))
    return [last[d] for d in sorted(last)]
