"""Jars from Maven Central by a pinned list: fetched once for this machine, used by every test."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spymaster-tests"


def jars(pom: Path, what: str, name: str) -> Path:
    """The folder with a pom's jars; skips the test where they cannot be had.

    `what` needs them, in words; `name`: what the folder is called, before the first version.
    """
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.skip(f"{what} needs java >= 17 and mvn: make debian")
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < 17:
        pytest.skip(f"{what} needs java >= 17: {told.splitlines()[0]}")
    version = re.findall(r"<version>([\d.]+)</version>", pom.read_text())[1]
    folder = CACHE / f"{name}-{version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = folder.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            made = subprocess.run(
                ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
                 f"-DoutputDirectory={new}", "-DincludeScope=runtime"],
                capture_output=True, text=True,
            )  # fmt: skip
            if made.returncode:
                pytest.skip(f"Maven Central cannot be reached: {made.stdout.strip()[:500]}")
            new.rename(folder)
    return folder
