"""The service is killed under the running loop, stays away for a minute, and comes back."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from spymaster.bus import Bus, Message, open_bus
from spymaster.ml.registry import Registry
from spymaster.scoring.endpoint import Endpoint
from spymaster.scoring.line import Line
from spymaster.scoring.loop import ScoringLoop
from spymaster.settings import ScoringSettings, Settings
from tests.e2e.runner import HOME, environment
from tests.e2e.scenes import rows, short
from tests.live.scored import ERRORS, SCORES, topic_of, understood, vectors_of
from tests.serving import models
from tests.serving.running import Running

MINUTE_S = 60.0
#: How many times faster everything that waits is in the quick test.
SCALE = 20.0
TOPIC = "features_gold"
_PATIENCE_S = 120.0


class Serving(Protocol):
    """A service's process; `stop` is kill -9."""

    def ready(self) -> Any: ...
    def stop(self) -> None: ...


class Command:
    """`spymaster serve` as a person starts it."""

    def __init__(self, folder: Path, registry: Path, port: int) -> None:
        folder.mkdir()
        config, self._log = folder / "spymaster.toml", folder / "serve.log"
        config.write_text(f'[ml]\ntracking_uri = "{models.uri(registry)}"\n')
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "spymaster", "serve", "-m", models.MODEL,
                 "--port", str(port), "--config", str(config)],
                stdout=log, stderr=log, cwd=HOME, env=environment(),
            )  # fmt: skip

    def ready(self) -> None:
        until(lambda: re.search(r"on http://\S+/score", self._log.read_text()) is not None)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def forked(folder: Path, registry: Path, port: int) -> Running:
    return Running(folder, registry, port=port)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that comes by itself."""
    given_up = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < given_up
        time.sleep(0.005)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fitted models of the vectors' own contract; version 1 is a, 2 is b."""
    folder = tmp_path_factory.mktemp("registry")
    contract, columns = understood(short(folder))
    for name in models.KNOBS:
        models.save(folder / name, name, columns, contract)
        models.register(folder, folder / name, alias=None)
    return folder


@pytest.fixture
def messages(published: Path) -> list[Message]:
    """The vectors of features_gold, as they lie there."""
    with open_bus(short(published)) as bus, bus.reader(TOPIC, {0: 0}) as reader:
        found = []
        while some := reader.poll(timeout=0):
            found += [m for m in some if m.headers["kind"] == "vector"]
    return found


def post(bus: Bus, messages: list[Message]) -> None:
    with bus.producer("test") as producer:
        for m in messages:
            producer.publish(TOPIC, m.value, partition=0, key=m.key, headers=m.headers)


@pytest.mark.parametrize(
    ("scale", "serve"),
    [
        pytest.param(SCALE, forked, id="a minute by the loop's clock"),
        pytest.param(1.0, Command, id="a minute", marks=pytest.mark.slow),
    ],
)
def test_a_service_that_is_killed_and_away_for_a_minute_costs_nothing(
    scale: float,
    serve: Callable[[Path, Path, int], Serving],
    published: Path,
    registry: Path,
    messages: list[Message],
    tmp_path: Path,
) -> None:
    models.point(registry, "1")
    settings = patient(short(tmp_path / "root"), scale)
    first, second, third = (messages[i::3] for i in range(3))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = int(s.getsockname()[1])
    stop, errors = threading.Event(), []
    service = serve(tmp_path / "first", registry, port)
    with (
        open_bus(settings) as bus,
        open_bus(settings) as own,
        Endpoint(f"http://127.0.0.1:{port}", "", None, settings.scoring.timeout_s) as endpoint,
    ):
        bus.create(TOPIC, 1)
        loop = ScoringLoop(settings, own, Line(models.MODEL, "champion", endpoint), commit_s=0.5)

        def work() -> None:
            try:
                loop.run(stop)
            except BaseException as error:
                errors.append(error)
                raise

        def scored(n: int) -> Callable[[], bool]:
            return lambda: bool(errors) or loop.counters.scored >= n

        thread = threading.Thread(target=work)
        try:
            service.ready()
            thread.start()
            post(bus, first)
            until(scored(10))
            service.stop()
            post(bus, second)
            until(lambda: bool(errors) or loop.status()["breaker"] == "open")
            before = loop.counters.scored
            stop.wait(MINUTE_S / scale)
            told = loop.status()
            assert (told["state"], told["breaker"]) == ("waiting", "open")
            assert told["retries"] >= settings.scoring.breaker_failures
            assert "Connection refused" in told["last_error"]
            assert loop.counters.scored == before < len(first)
            assert not errors
            models.point(registry, "2")
            back = time.time_ns()
            service = serve(tmp_path / "second", registry, port)
            service.ready()
            post(bus, third)
            until(scored(len(messages)))
            assert loop.status()["breaker"] == "closed"
        finally:
            stop.set()
            service.stop()
            if thread.ident is not None:
                thread.join()
    assert not errors
    check_scores(settings, published, registry, back)


def patient(settings: Settings, scale: float) -> Settings:
    """The defaults, so many times faster; few vectors a request, so that the kill lies between."""
    s = ScoringSettings()
    names = ("retry_first_s", "retry_longest_s", "breaker_s")
    update: dict[str, Any] = {name: getattr(s, name) / scale for name in names}
    # The version is looked up again when the breaker closes, and at no other time.
    update |= {"batch_rows": 2, "watch_s": 1e6, "timeout_s": 20.0}
    return settings.model_copy(update={"scoring": s.model_copy(update=update)})


def check_scores(settings: Settings, published: Path, registry: Path, back: int) -> None:
    """Each vector once, in order, by the version its intent names, with that model's numbers."""
    asked = [row["feature_hash"] for row in topic_of(settings, TOPIC)]
    assert len(asked) > 100
    assert [row["feature_hash"] for row in topic_of(settings, "inference_scores")] == asked
    found = {row["feature_hash"]: row for row in rows(settings.root, SCORES)}
    assert len(rows(settings.root, SCORES)) == len(found) == len(asked)
    assert rows(settings.root, ERRORS) == []
    named = versions(settings, asked)
    assert {h: row["model_version"] for h, row in found.items()} == named
    in_order = [named[h] for h in asked]
    assert in_order == sorted(in_order)
    assert set(in_order) == {"1", "2"}
    # What was begun before the kill was asked of the version it was begun with, afterwards too.
    late = {named[h] for h, row in found.items() if row["scored_at"] > back}
    assert late == {"1", "2"}
    ml = settings.ml.model_copy(update={"tracking_uri": models.uri(registry)})
    known = Registry(settings.model_copy(update={"ml": ml}), models.MODEL)
    vectors = vectors_of(published)
    for version in ("1", "2"):
        mine = [h for h in asked if named[h] == version]
        x = np.array([vectors[h]["feature_vector"] for h in mine], np.float64)
        said = [[found[h][f"p_{o}"] for o in ("break", "reject", "chop")] for h in mine]
        assert said == known.scorer(version).probabilities(x).tolist()  # to the last bit


def versions(settings: Settings, asked: list[str]) -> dict[str, str]:
    """Of each vector the version that the log's intent names."""
    log = Path(settings.root) / f"lake/checkpoints/score/{models.MODEL}/champion/0/log"
    named: dict[str, str] = {}
    for line in log.read_text().splitlines():
        intent = json.loads(line.partition(" ")[2]).get("intent")
        for begin, end in (intent or {"ranges": {}})["ranges"].values():
            for place in range(begin, end):
                assert named.setdefault(asked[place], intent["facts"]["version"])
    assert os.path.getsize(log) < 1 << 20  # it was not shortened: nothing is missing here
    return named
