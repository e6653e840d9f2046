"""Gateway, ingestor and engine as three processes at once, in the market's time but faster."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bus.broker import Broker
from tests.e2e.runner import environment
from tests.e2e.scenes import rows, run
from tests.live.chain import KEY, NIGHT, a_night, ended, fed, night, on_bus
from tests.live.streamed import compare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return a_night(tmp_path_factory.mktemp("market"))


class Processes:
    """Commands of one test; all have ended with it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.running = folder, dict[str, subprocess.Popen[str]]()

    def start(self, name: str, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "spymaster", name, *map(str, arguments)]
        with (self._folder / f"{name}.txt").open("w") as said:
            self.running[name] = subprocess.Popen(
                command, env=environment(DATABENTO_API_KEY=KEY), stdout=said,
                stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        return self.running[name]

    def said(self, name: str) -> str:
        return (self._folder / f"{name}.txt").read_text()

    def until(self, name: str, pattern: str) -> str:
        """What a command says, once it says this."""
        while (found := re.search(pattern, self.said(name))) is None:
            assert self.running[name].poll() is None, self.said(name)
            time.sleep(0.05)
        return found[1]

    def end(self, name: str, number: int = signal.SIGTERM) -> str:
        """Ask a command to end in order; what it said."""
        self.running[name].send_signal(number)
        assert self.running[name].wait(120) == 0, self.said(name)
        assert "Traceback" not in self.said(name)
        return self.said(name)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    for process in made.running.values():
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["embedded", "kafka"])
def test_a_market_at_a_hundred_times_its_speed_is_history_as_soon_as_it_has_ended(
    files: list[Path],
    kind: str,
    processes: Processes,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    broker: Broker | None = request.getfixturevalue("broker") if kind == "kafka" else None
    root = tmp_path / "root"
    processes.start("replay", *files, "--speed", "100x", "--port", "0")
    port = int(processes.until("replay", r"listening on \S+:(\d+)"))
    settings = on_bus(night(root), 2, broker)
    settings = fed(settings, port, {"ES": {"parent": ["ES.FUT"]}})
    config = tmp_path / "spymaster.toml"
    config.write_text(settings.to_toml())
    processes.start("live", "--config", config, "--commit", "0.3", "--health", "0")
    processes.until("live", r"(Ctrl-C drains)")
    processes.start("ingest", "--config", config, "--dataset", "GLBX.MDP3")
    while not ended(root):
        assert all(p.poll() is None for p in processes.running.values()), {
            name: processes.said(name) for name in processes.running
        }
        time.sleep(0.1)
    assert "ingest    GLBX.MDP3" in processes.end("ingest")
    assert "2024-01-09 ended; its certificate" in processes.end("live")
    assert "replay    1 connections" in processes.end("replay")
    proof = processes.start("parity", "--config", config, "--session", str(NIGHT))
    assert proof.wait(120) == 0, processes.said("parity")
    assert "ES 2024-01-09 against the capture: equal" in processes.said("parity")
    run(night(tmp_path / "history"), files)
    compared = compare(root, tmp_path / "history")
    print(dict(compared))
    assert compared["gold.setup_vectors"] > 50
    assert not rows(root, "bronze.gaps")
