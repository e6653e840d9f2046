"""What runs in a service's process."""

from __future__ import annotations

import os
from pathlib import Path

from spymaster.ml import walk
from spymaster.ml.extra import needed
from spymaster.ml.registry import Registry
from spymaster.scoring.registered import Registered
from spymaster.scoring.server import serve
from spymaster.settings import ServingSettings, Settings
from tests.serving.models import MODEL

for module in ("mlflow.artifacts", "mlflow.store.model_registry.sqlalchemy_store"):
    needed(module)  # before it forks
assert walk.RAW


def main(config: Path, log: Path, key: str) -> None:
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

    registry = Registered(Registry(Settings.load(config), MODEL))
    serve(MODEL, registry, settings, tell, tell)
