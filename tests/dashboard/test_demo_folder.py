"""Folders that the dashboard writes into: nothing of anybody else's is lost."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

import spymaster.cli.dashboard  # noqa: F401  (declares the verb)
from spymaster.cli.app import app
from spymaster.cli.dashboard_demo import _empty
from spymaster.dashboard.tiles.paper import generated, write_kql
from spymaster.errors import LakeError


def test_a_market_that_somebody_simulated_is_no_earlier_demo(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "market").mkdir(parents=True)
    (folder / "market" / "day.dbn").write_text("mine")
    with pytest.raises(LakeError, match="is no earlier demo"):
        _empty(folder)
    assert (folder / "market" / "day.dbn").read_text() == "mine"


def test_a_demo_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    _empty(folder)
    (folder / "market").mkdir()
    _empty(folder)
    assert not (folder / "market").exists()
    _empty(folder)


def test_a_port_that_is_taken_ends_the_demo_before_anything_is_touched(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    _empty(folder)
    (folder / "earlier").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = CliRunner().invoke(app, ["dashboard", "--port", port, "--demo", str(folder)])
    assert found.exit_code != 0
    assert "cannot listen" in found.output + str(found.exception)
    assert (folder / "earlier").exists()


def test_tiles_written_elsewhere_leave_what_is_not_theirs(tmp_path: Path) -> None:
    write_kql(tmp_path)
    mine, old = tmp_path / "tiles" / "mine.kql", tmp_path / "tiles" / "old.kql"
    mine.write_text("// my own query\nbars | take 1\n")
    old.write_text((tmp_path / "tiles" / "price.kql").read_text())
    assert write_kql(tmp_path) == ["tiles/old.kql"]
    assert mine.exists()
    assert not old.exists()
    assert "tiles/mine.kql" not in generated()
