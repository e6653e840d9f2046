"""Changes of champion that were killed half-way, and an alias that somebody set meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.ml.champions import PROMOTIONS, Champions
from tests.ml.schools import ES, NOW


class Alias:
    """The registry's alias, for as long as nobody is killed before it moves."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.kills = False

    def get(self) -> str | None:
        return self.version

    def put(self, version: str) -> None:
        if self.kills:
            raise SystemExit
        self.version = version


@pytest.fixture
def alias() -> Alias:
    return Alias()


@pytest.fixture
def champions(tmp_path: Path, alias: Alias) -> Champions:
    lake = Lake(tmp_path)
    lake.create(PROMOTIONS)
    return Champions(lake, ES, alias.get, alias.put)


def promote(champions: Champions, version: str) -> None:
    champions.promote(version, "look", "for the test", NOW)


def test_a_version_that_never_was_champion_is_never_gone_back_to(
    champions: Champions, alias: Alias
) -> None:
    promote(champions, "1")
    alias.kills = True
    with pytest.raises(SystemExit):
        promote(champions, "2")
    alias.kills, alias.version = False, "3"
    assert champions.settle(NOW) == "3"
    found = champions.changes()[-1]
    assert (found["event"], found["version"], found["before"]) == ("found", "3", "1")
    assert champions.roll_back("worse", NOW) == ("1", "3")
    with pytest.raises(ModelError, match="champion is 1, and there was none before"):
        champions.roll_back("worse still", NOW)


def test_a_rollback_that_never_came_about_takes_no_champion_away(
    champions: Champions, alias: Alias
) -> None:
    promote(champions, "1")
    promote(champions, "2")
    alias.kills = True
    with pytest.raises(SystemExit):
        champions.roll_back("worse", NOW)
    alias.kills, alias.version = False, "3"
    assert champions.roll_back("worse", NOW) == ("2", "3")
    assert champions.roll_back("worse still", NOW) == ("1", "2")


def test_the_first_champion_may_be_found_where_another_was_to_be(
    champions: Champions, alias: Alias
) -> None:
    alias.kills = True
    with pytest.raises(SystemExit):
        promote(champions, "1")
    alias.kills, alias.version = False, "2"
    assert champions.settle(NOW) == "2"
    with pytest.raises(ModelError, match="champion is 2, and there was none before"):
        champions.roll_back("worse", NOW)
