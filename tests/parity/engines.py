"""The engines that must agree, each as one function: files and settings in, a lake out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from spymaster.cli.spark import bronze_to_silver, dbn_to_bronze, silver_to_gold
from spymaster.engines.local import LocalEngine
from spymaster.settings import Settings

Engine = Callable[[Settings, Sequence[Path], Any], None]


def local_batch(settings: Settings, files: Sequence[Path], spark: Any) -> None:
    """Layer by layer: bronze, then silver from bronze, then gold from bronze."""
    _in_steps(lambda: LocalEngine(settings), files)


def spark_batch(settings: Settings, files: Sequence[Path], spark: Any) -> None:
    """The three jobs, as a cluster calls them: in the session that is active."""
    spark()
    config = Path(settings.root) / "spymaster.toml"
    config.write_text(settings.to_toml())
    for job, given in (
        (dbn_to_bronze, [str(f) for f in files]),
        (bronze_to_silver, []),
        (silver_to_gold, []),
    ):
        with pytest.MonkeyPatch.context() as change:
            change.setattr(sys, "argv", [job.__name__, *given, "--config", str(config)])
            job()


def _in_steps(engine: Callable[[], LocalEngine], files: Sequence[Path]) -> None:
    engine().bronze(files)
    for layer in ("silver", "gold"):
        report = engine().run((), layers=(layer,), from_bronze=True)
        for failed in report.failed:
            raise failed.error


#: Each makes the same lake. `spark`: a function that gives the session, for those who need it.
ENGINES: dict[str, Engine] = {"local_batch": local_batch, "spark_batch": spark_batch}
