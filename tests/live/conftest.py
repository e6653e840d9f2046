"""A real Kafka broker for the tests of the live way that want one; a topic full of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spymaster.bus import open_bus
from spymaster.engines.stream.live import LiveEngine
from spymaster.settings import Settings
from tests.bus.conftest import broker
from tests.e2e.scenes import SHORT, market, short
from tests.live.endpoint import Service, service
from tests.live.posting import post
from tests.live.scored import copy_topic, impatient, understood

__all__ = ["broker"]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose features_gold holds two sessions' vectors and outcomes."""
    folder = tmp_path_factory.mktemp("published")
    settings = short(folder / "root")
    with open_bus(settings) as bus:
        post(bus, settings, market(folder / "market", 2, 4_000, SHORT), 500)
        LiveEngine(settings, bus, quiet_s=0.3).run()
    return folder / "root"


@pytest.fixture
def fresh(published: Path, tmp_path: Path) -> Callable[[str], Settings]:
    """Roots with the topic of `published` and nothing scored yet."""

    def make(name: str) -> Settings:
        settings = impatient(short(tmp_path / name))
        copy_topic(published, settings)
        return settings

    return make


@pytest.fixture(scope="session")
def served(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    contract, columns = understood(short(published))
    with service(tmp_path_factory.mktemp("service"), columns, contract) as made:
        yield made
