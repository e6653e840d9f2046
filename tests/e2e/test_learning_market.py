"""The market to learn from: outcomes of all kinds, and a flow that foretells them only if told."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import spymaster
from spymaster.engines.local import LocalEngine
from spymaster.feed.simulator import simulate
from spymaster.ml.learning_market import SETTINGS, STRONG, learning_market, learning_settings

HOME = Path(__file__).resolve().parents[2]
SESSIONS = 8


def test_the_documentation_shows_the_settings_that_are_packaged() -> None:
    text = (HOME / "docs" / "simulator.md").read_text(encoding="utf-8")
    shown = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    packaged = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    assert packaged in [tomllib.loads(part) for part in shown]


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.0, STRONG])
def test_flow_before_the_trigger_tells_the_outcome_if_there_is_a_signal(
    strength: float, tmp_path: Path
) -> None:
    files = simulate(learning_market(strength, sessions=SESSIONS), tmp_path / "market").files
    settings = learning_settings(tmp_path / "data")
    report = LocalEngine(settings).run(files)
    assert not report.failed
    rows = spymaster.scan("gold.training_view", settings.root, named=True).sort("vector_time")
    first = rows.unique("episode_id", keep="first", maintain_order=True)
    count = Counter(first["label"])
    assert len(first) > 15 * SESSIONS
    assert min(count[o] for o in ("BREAK", "REJECT", "CHOP")) > 0.1 * len(first)
    outcome = first["label"].replace_strict({"BREAK": 1, "CHOP": 0, "REJECT": -1})
    flow = first["trade_imbalance_mean_36"].fill_nan(0.0)
    told = float(np.corrcoef(flow, outcome)[0, 1])
    print(strength, count, "correlation of trades before the trigger with the outcome", told)
    if strength:
        assert told > 0.3
    else:
        assert abs(told) < 3.3 / np.sqrt(len(first))
