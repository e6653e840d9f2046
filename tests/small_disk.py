"""A small file system of a test's own, that can fill or become read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A tmpfs there, with these options of mount(8); skips where none can be mounted."""
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting needs root and mount(8)")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "none", place], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"this machine does not let us mount: {made.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """64 MiB, until a test remounts it."""
    with mounted(tmp_path / "disk", "size=64m") as place:
        yield place


def remount(disk: Path, how: str) -> None:
    """Another size, or `ro`, `rw`."""
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
