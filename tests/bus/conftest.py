"""A broker for a session of tests, and each kind of bus for the tests that hold for both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spymaster.bus import Bus, open_bus
from spymaster.settings import Settings
from tests.bus.broker import CONNECTION, VARIABLE, Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, CONNECTION)
        running = Broker(tmp_path_factory.mktemp("broker"))
        yield running
        running.stop()


@pytest.fixture(params=["embedded", "kafka"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if kind == "embedded":
        return Settings.model_validate({"root": str(tmp_path), "bus": {"wait_s": 30.0}})
    found: Broker = request.getfixturevalue("broker")
    return found.settings()


@pytest.fixture
def bus(settings: Settings) -> Iterator[Bus]:
    with open_bus(settings) as opened:
        yield opened


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A name of its own per test: the broker lives longer than one."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"{name}-{os.getpid()}"
