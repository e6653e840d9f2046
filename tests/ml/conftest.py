"""One small lake for all tests that only read it; those that change one copy it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.ml import lakes


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with 12 sessions of 30 vectors, from 2024-01-08 on."""
    root = tmp_path_factory.mktemp("school")
    lakes.make(root, lakes.sessions(12))
    return root


@pytest.fixture
def root(school: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(school, tmp_path / "root")
    return tmp_path / "root"
