"""Versions come and go under load: no request is lost, no answer has another version's numbers."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from spymaster.ml.model import load_scorer
from tests.serving import models
from tests.serving.conftest import Start
from tests.serving.running import Running, body, probabilities

ROWS = models.vectors(2, seed=11)
CONTENT = body(ROWS)


@dataclass
class Caller:
    """One client on one kept connection, asking again and again until it is told to stop."""

    service: Running
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, bytes]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        try:
            with self.service.client(self.headers) as client:
                while not self.enough.is_set():
                    answer = client.post("/score", content=CONTENT)
                    numbers = probabilities(answer).tobytes()
                    self.seen.append((answer.headers["x-ms-model-version"], numbers))
        except BaseException as error:
            self.failed.append(error)

    def end(self) -> list[tuple[str, bytes]]:
        self.enough.set()
        self._thread.join()
        assert not self.failed
        return self.seen


def until(true: Callable[[], bool], callers: list[Caller]) -> None:
    """Wait while the callers go on."""
    pause = threading.Event()
    for _ in range(6_000):
        if true() or any(c.failed for c in callers):
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen in two minutes")


def test_hot_swaps_under_load_lose_no_request_and_tell_the_right_version(
    registry: Path, saved: Path, start: Start
) -> None:
    service = start(registry, watch_s=0.2, kept_versions=1)
    free = [Caller(service) for _ in range(3)]
    pinned = Caller(service, {"x-ms-model-version": "1"})
    callers = [*free, pinned]
    try:
        for name, version in (("b", "3"), ("a", "4"), ("b", "5")):
            assert models.register(registry, saved / name) == version
            until(lambda v=version: all(c.seen and c.seen[-1][0] == v for c in free), callers)  # type: ignore[misc]
        asked = len(pinned.seen)
        until(lambda: len(pinned.seen) > asked + 5, callers)
    finally:
        for caller in callers:
            caller.enough.set()
    right = {
        version: load_scorer(saved / name).probabilities(ROWS).tobytes()
        for version, name in (("1", "a"), ("3", "b"), ("4", "a"), ("5", "b"))
    }
    for caller in free:
        seen = caller.end()
        assert [v for v, _ in itertools.groupby(seen, key=lambda s: s[0])] == ["1", "3", "4", "5"]
        assert all(numbers == right[version] for version, numbers in seen)
    assert {v for v, _ in pinned.end()} == {"1"}
    assert all(numbers == right["1"] for _, numbers in pinned.seen)
    with service.client() as client:
        assert len(client.get("/readyz").json()["loaded"]) == 2


def test_what_cannot_be_loaded_changes_nothing_and_is_told_once(
    registry: Path, saved: Path, start: Start, tmp_path: Path
) -> None:
    service = start(registry, watch_s=0.1)
    models.register(registry, tmp_path / "nothing")
    service.said(r"(goes on: )")
    with service.client() as client:
        assert client.post("/score", content=CONTENT).headers["x-ms-model-version"] == "1"
        pinned = client.post("/score", content=CONTENT, headers={"x-ms-model-version": "3"})
        assert pinned.status_code == 500
        assert "ModelError" in pinned.json()["message"]
        assert "\n" not in pinned.json()["message"]
        models.register(registry, saved / "b")
        service.said(r"(serving ES_MODEL: blue version 4)")
        assert client.get("/readyz").json()["deployments"][0]["version"] == "4"
    assert service.log.read_text().count("goes on") == 1


def test_a_signal_brings_other_deployments_and_traffic(registry: Path, start: Start) -> None:
    service = start(registry, watch_s=60)
    with service.client() as client:

        def served(n: int) -> list[str]:
            asked = (client.post("/score", content=CONTENT) for _ in range(n))
            return [a.headers["azureml-model-deployment"] for a in asked]

        assert served(3) == ["blue"] * 3
        both = {"blue": "@champion", "green": "2"}
        service.configure(deployments=both, traffic={"blue": 50, "green": 50})
        service.send(signal.SIGHUP)
        service.said("(blue version 1, green version 2)")
        assert sorted(served(10)) == ["blue"] * 5 + ["green"] * 5
        service.configure(deployments={**both, "green": "9"})
        service.send(signal.SIGHUP)
        service.said("(goes on: ES_MODEL: no version 9)")
        assert sorted(served(10)) == ["blue"] * 5 + ["green"] * 5
        service.configure(deployments={"green": "2"})
        service.send(signal.SIGHUP)
        service.said("(serving ES_MODEL: green version 2)$")
        assert served(3) == ["green"] * 3
