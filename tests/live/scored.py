"""What the tests of scoring share: a topic of vectors, loops over it, what they made of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import orjson

from spymaster.bus import open_bus
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.scoring.endpoint import Endpoint
from spymaster.scoring.line import Line
from spymaster.scoring.loop import ScoringLoop
from spymaster.settings import Settings
from spymaster.stages.feature_contract import contract_of
from tests.e2e.scenes import rows, short

SCORES, ERRORS = "gold.inference_scores_stream", "gold.inference_errors_stream"
OUTCOMES = "gold.score_outcomes_stream"
TABLES = (SCORES, ERRORS, OUTCOMES)
IMPATIENT = {
    "batch_rows": 20, "retry_first_s": 0.01, "retry_longest_s": 0.05, "breaker_s": 0.05,
    "watch_s": 0.05, "breaker_failures": 3,
}  # fmt: skip


def impatient(settings: Settings, **more: Any) -> Settings:
    scoring = settings.scoring.model_copy(update={**IMPATIENT, **more})
    return settings.model_copy(update={"scoring": scoring})


def understood(settings: Settings) -> tuple[str, list[str]]:
    """The feature contract that a model must be of, and what it calls the numbers."""
    contract = contract_of(settings, "ES_MODEL")
    return contract.hash, contract.names


def copy_topic(
    published: Path,
    settings: Settings,
    again: int = 0,
    kinds: tuple[str, ...] = ("vector", "outcome", "series"),
) -> None:
    """Publish what lies in features_gold; the last `again` vectors a second time."""
    with open_bus(short(published)) as source, open_bus(settings) as bus:
        bus.create("features_gold", 1)
        found = []
        with source.reader("features_gold", {0: 0}) as reader:
            while messages := reader.poll(timeout=0):
                found += [m for m in messages if m.headers["kind"] in kinds]
        vectors = [m for m in found if m.headers["kind"] == "vector"]
        with bus.producer("copy") as producer:
            for m in [*found, *vectors[len(vectors) - again :]]:
                producer.publish(
                    "features_gold", m.value, partition=0, key=m.key, headers=m.headers
                )


def score(settings: Settings, url: str, stop: threading.Event | None = None, **how: Any) -> Any:
    with open_bus(settings) as bus, Endpoint(url, "", None, 2.0) as endpoint:
        line = Line("ES_MODEL", "champion", endpoint)
        how = {"quiet_s": 0.3, "commit_s": 0.2, **how}
        return ScoringLoop(settings, bus, line, **how).run(stop)


def vectors_of(published: Path) -> dict[str, dict[str, Any]]:
    return {r["feature_hash"]: r for r in rows(published, "gold.setup_vectors_stream")}


def topic_of(settings: Settings, topic: str) -> list[dict[str, Any]]:
    """What lies in a topic of one partition, in order."""
    found: list[dict[str, Any]] = []
    with open_bus(settings) as bus, bus.reader(topic, {0: 0}) as reader:
        while messages := reader.poll(timeout=0):
            found += [orjson.loads(m.value) for m in messages]
    return found


def same(calm: Settings, settings: Settings) -> None:
    """Two roots hold the same scores."""
    for name in TABLES:
        found = diff(Lake(calm.root), Lake(settings.root), name)
        assert found.equal, str(found)
    assert Lake(settings.root).count(SCORES) > 100
