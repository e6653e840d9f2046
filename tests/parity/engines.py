"""The engines that must agree, each as one function: files and settings in, a lake out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spymaster.engines.local import LocalEngine
from spymaster.engines.spark.engine import SparkEngine
from spymaster.settings import Settings

Engine = Callable[[Settings, Sequence[Path], Any], None]


def local_batch(settings: Settings, files: Sequence[Path], spark: Any) -> None:
    """Layer by layer: bronze, then silver from bronze, then gold from bronze."""
    _in_steps(lambda: LocalEngine(settings), files)


def spark_batch(settings: Settings, files: Sequence[Path], spark: Any) -> None:
    """The three jobs."""
    _in_steps(lambda: SparkEngine(spark(), settings), files)


def _in_steps(engine: Callable[[], LocalEngine], files: Sequence[Path]) -> None:
    engine().bronze(files)
    for layer in ("silver", "gold"):
        report = engine().run((), layers=(layer,), from_bronze=True)
        for failed in report.failed:
            raise failed.error


#: Each makes the same lake. `spark`: a function that gives the session, for those who need it.
ENGINES: dict[str, Engine] = {"local_batch": local_batch, "spark_batch": spark_batch}
