"""`spymaster rehearse`: the whole live way as processes, from a few files to a certificate."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.runner import environment
from tests.e2e.scenes import SHORT, market, short

pytestmark = pytest.mark.slow


def rehearse(files: list[Path], config: Path, root: Path) -> tuple[int, list[str]]:
    """At full speed; exit code and the lines that it and its processes say."""
    how = ["--speed", "max", "--every", "0.5", "--config", str(config), "--root", str(root)]
    done = subprocess.run(
        [sys.executable, "-m", "spymaster", "rehearse", *map(str, files), *how],
        env=environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.returncode, [*done.stdout.splitlines(), *done.stderr.splitlines()[-1:]]


def test_a_rehearsal_ends_with_its_certificate_and_begins_with_nothing(tmp_path: Path) -> None:
    files = market(tmp_path / "market", 1, 2_000, SHORT, contracts=1)
    config, root = tmp_path / "spymaster.toml", tmp_path / "root"
    config.write_text(short(root).to_toml())
    code, said = rehearse(files, config, root)
    assert code == 0
    assert said[0].startswith(f"playing {len(files)} files at max into {root}")
    told = [line for line in said if "certificate of" in line]
    found = re.fullmatch(
        r" +certificate of ES 2024-01-08: equal, ([\d,]+) rows, ([\d,]+) vectors", told[-1]
    )
    assert found, told
    assert int(found[1].replace(",", "")) > 5_000
    assert int(found[2].replace(",", "")) > 50
    code, said = rehearse(files, config, root)
    assert code == 1
    assert said[-1].startswith(f"error: {root}: a stream lies here already")
