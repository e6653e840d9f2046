"""Two models, a registry with one version of each, and services over it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import models
from tests.serving.running import KEY, Running

#: Microsoft's server reads it, with libraries of its own.
collect_ignore = ["entry.py"]
Start = Callable[..., Running]


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models a and b, and a registry: version 1 is a, 2 is b, @champion 1."""
    folder = tmp_path_factory.mktemp("registry")
    for name in models.KNOBS:
        models.save(folder / name, name)
    models.register(folder, folder / "a")
    models.register(folder, folder / "b", alias=None)
    return folder


@pytest.fixture
def registry(saved: Path, tmp_path: Path) -> Path:
    """A registry of this test's own."""
    shutil.copy(saved / "mlflow.db", tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Begin services; all end with the test."""
    running: list[Running] = []

    def begin(registry: Path, **given: Any) -> Running:
        running.append(Running(tmp_path / f"service{len(running)}", registry, **given))
        return running[-1].ready()

    yield begin
    for one in running:
        one.stop()


@pytest.fixture(scope="module")
def service(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with a key and small limits, for tests that only ask."""
    running = Running(
        tmp_path_factory.mktemp("service"), saved, key=KEY,
        deployments={"blue": "@champion", "green": "2"}, traffic={"blue": 75, "green": 25},
        max_body_bytes=3_000_000, max_rows=300, max_header_bytes=8_000,
        request_s=4.0, response_s=2.0,
    )  # fmt: skip
    yield running.ready()
    running.stop()
