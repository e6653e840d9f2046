"""What runs in a service's process: the service, with the tests' loader."""

from __future__ import annotations

import os
from pathlib import Path

from spymaster.ml import walk
from spymaster.ml.extra import needed
from spymaster.ml.model import load_scorer
from spymaster.scoring.registered import MlflowRegistry
from spymaster.scoring.server import serve
from spymaster.settings import ServingSettings, Settings
from tests.serving.models import MODEL

for module in ("mlflow.artifacts", "mlflow.store.model_registry.sqlalchemy_store"):
    needed(module)  # before it forks
assert walk.RAW


def main(registry: str, config: Path, log: Path, key: str) -> None:
    """Serve; all that is said goes to `log`."""
    with open(log, "ab", buffering=0) as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    for name in [n for n in os.environ if n.startswith("SPYMASTER_")]:
        del os.environ[name]
    if key:
        os.environ["SPYMASTER_SCORING_KEY"] = key

    def settings() -> ServingSettings:
        return Settings.load(config).serving

    def tell(line: str) -> None:
        print(line, flush=True)

    serve(MODEL, MlflowRegistry(registry, MODEL, load_scorer), settings, tell, tell)
