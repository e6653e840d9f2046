"""The jobs, DBN to gold, in a process that kills itself: python -m tests.parity.killed POINT.

POINT is one of `POINTS`, perhaps with a number behind a colon; without one nothing happens.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from spymaster.cli import spark as jobs
from spymaster.engines.spark import session
from spymaster.engines.spark.tables import SparkTables
from spymaster.lake import Lake
from tests.parity.conftest import CONF


def driver() -> None:
    """Kill the driver whole: Python and the JVM, which is in its process group."""
    os.killpg(0, signal.SIGKILL)


def python() -> None:
    """Kill Python alone, as a cluster's out-of-memory killer may."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_bronze(root: Path, number: int) -> None:
    """While Spark writes a file of bronze.mbo: as soon as one is there."""
    folder = root / "lake/bronze/mbo"

    def watch() -> None:
        while not any(folder.rglob("part-*.parquet")):
            time.sleep(0.002)
        driver()

    Thread(target=watch, daemon=True).start()


def between_tables(root: Path, number: int) -> None:
    """When so many tables are replaced, and the others are not."""
    _after(SparkTables, "replace", number, lambda *given: True, python)


def between_lineage_rows(root: Path, number: int) -> None:
    """When every table is committed, and the sessions are not shown again."""
    _before_row(lambda rows: rows[0]["status"] == "complete", driver)


def _after(
    owner: Any, name: str, number: int, counts: Callable[..., bool], kill: Callable[[], None]
) -> None:
    real, done = getattr(owner, name), 0

    def counted(*given: Any, **more: Any) -> Any:
        nonlocal done
        found = real(*given, **more)
        done += counts(*given)
        if done == number:
            kill()
        return found

    setattr(owner, name, counted)


def _before_row(wanted: Callable[[Any], bool], kill: Callable[[], None]) -> None:
    real = Lake.append_rows

    def checked(self: Lake, name: str, rows: Any, *more: Any, **named: Any) -> Any:
        if name == "lineage" and wanted(rows):
            kill()
        return real(self, name, rows, *more, **named)

    Lake.append_rows = checked  # type: ignore[method-assign]


POINTS = {f.__name__: f for f in (in_bronze, between_tables, between_lineage_rows)}


def main() -> None:
    """The jobs one after the other, as a shell would call them."""
    point, config, root, *files = sys.argv[1:]
    name, _, number = point.partition(":")
    if name in POINTS:
        POINTS[name](Path(root), int(number or 0))
    session.open_session(CONF)
    for job, given in (
        (jobs.dbn_to_bronze, files),
        (jobs.bronze_to_silver, ["--gold"]),
    ):
        sys.argv = [job.__name__, *given, "--config", config]
        job()


if __name__ == "__main__":
    main()
