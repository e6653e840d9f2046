"""`spymaster replay` as a user meets it: in a process of its own, with a client connected."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import databento
import pytest
from typer.testing import CliRunner

from spymaster.cli import app
from spymaster.errors import SpymasterError
from tests.e2e.runner import environment
from tests.e2e.scenes import SHORT, market, mbo, records

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return market(tmp_path_factory.mktemp("market"), 1, 5_000, SHORT)


def _started(files: list[Path], *more: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "spymaster", "replay", *map(str, files), "--port", "0", *more]
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


def _connected(line: str) -> tuple[databento.Live, list[object]]:
    """A client by the line of Python that the command prints."""
    found = re.search(r"connect: (databento\.Live\(.*\))", line)
    assert found, line
    client = eval(found.group(1), {"databento": databento})
    came: list[object] = []
    client.add_callback(lambda r: came.append(r) if isinstance(r, databento.MBOMsg) else None)
    client.subscribe("GLBX.MDP3", "mbo")
    client.start()
    return client, came


def test_it_says_how_to_connect_plays_and_ends_with_its_client(files: list[Path]) -> None:
    process, line = _started(files, "--speed", "max", "--at-end", "close", "--once")
    assert "GLBX.MDP3: 2 symbols, 2024-01-07 00:00:00 to" in line
    client, came = _connected(line)
    client.block_for_close(timeout=60)
    out, errors = process.communicate(timeout=60)
    total = sum(len(records(path)) for path in mbo("mbo", files))
    assert len(came) == total
    assert process.returncode == 0
    assert f"1 connections, {total:,} records sent" in out
    assert "connection 1: ended in order" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: int, files: list[Path]) -> None:
    process, line = _started(files, "--speed", "max")
    client, _ = _connected(line)
    process.send_signal(number)
    client.block_for_close(timeout=60)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "replay    1 connections" in out
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--speed", "fast"], "--speed 'fast': allowed is a factor above 0"),
        (["--speed", "-1x"], "allowed is a factor above 0"),
        (["--from", "yesterday"], "--from 'yesterday': not a time"),
        (["--from", "2030-01-01"], "after the files' end"),
        (["--at-end", "never"], "allowed are heartbeat, close"),
        (["--fault", "explode:1"], "KIND[:N[:K]][@CONNECTION]"),
        (["--fault", "reset"], "allowed is reset:N"),
        (["--key", "abc"], "shorter than 5 characters"),
    ],
)
def test_a_bad_command_line_says_what_is_allowed(
    files: list[Path], more: list[str], said: str
) -> None:
    done = CliRunner().invoke(app, ["replay", *map(str, files), "--port", "0", *more])
    assert isinstance(done.exception, SpymasterError)
    assert said in str(done.exception)


def test_the_faults_are_listed() -> None:
    done = CliRunner().invoke(app, ["replay", "--faults"])
    assert done.exit_code == 0
