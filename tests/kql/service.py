"""Microsoft's language service for KQL, installed by npm into a cache folder, once per lockfile.

``python -m tests.kql.service`` installs it; tests skip, and say so, where that cannot be done.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT = HERE / "check.js"
_FILES = ("package.json", "package-lock.json")
_HELP = "Run once, as root: apt-get install -y nodejs npm; then: python -m tests.kql.service"


def cache() -> Path:
    """The folder of this lockfile's packages."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    state = hashlib.sha256(b"".join((HERE / f).read_bytes() for f in _FILES)).hexdigest()
    return base / "spymaster-tests" / f"kql-{state[:16]}"


def install() -> str:
    """Install what is missing; returns why it cannot be, or nothing."""
    to = cache()
    if (to / "complete").exists():
        return ""
    if not shutil.which("node") or not shutil.which("npm"):
        return f"node and npm are not there. {_HELP}"
    to.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copy(HERE / name, to)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=to, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"npm ci: {done.stderr.strip()[-300:]}. {_HELP}"
    (to / "complete").touch()
    return ""


def folder() -> Path:
    """The folder with node_modules; skips the test where it cannot be made."""
    if why := install():
        pytest.skip(why)
    return cache()


if __name__ == "__main__":
    sys.stdout.write(f"{install() or cache()}\n")
