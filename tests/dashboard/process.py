"""`spymaster dashboard` in a process that was forked from one that has read the libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nicegui  # noqa: F401
import polars  # noqa: F401

import spymaster.cli
import spymaster.dashboard.board


def main(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path | None
) -> None:
    """The command in a folder, its output in a file, its exit code the process's."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environment)
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    if folder is not None:
        os.chdir(folder)
    sys.argv = ["spymaster", *arguments]
    spymaster.cli.main()
