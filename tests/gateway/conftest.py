"""A small simulated market, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.e2e.scenes import SHORT, market, mbo, records


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three UTC days of two futures, with definitions."""
    return market(tmp_path_factory.mktemp("market"), 2, 8_000, SHORT)


@pytest.fixture(scope="session")
def feed(files: list[Path]) -> np.ndarray:
    """All MBO records of these files, in order."""
    return np.concatenate([records(path) for path in mbo("mbo", files)])
