"""Asks the endpoint until every vector has its score or is given up, in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from threading import Event
from typing import Any

from spymaster.engines.stream.epoch_loop import Stopped
from spymaster.errors import ScoringError
from spymaster.scoring.endpoint import Endpoint, Refused, Score, Served, Unavailable
from spymaster.scoring.patience import Patience
from spymaster.scoring.vector import Vector
from spymaster.settings import ScoringSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What came of asking for one vector: a score, or why it was given up."""

    score: Score | None
    version: str
    reason: str
    attempts: int
    at: int  #: ns UTC
    latency_ms: float

    def to_json(self) -> list[Any]:
        """As it is written down."""
        said = None if self.score is None else list(astuple(self.score))
        return [said, self.version, self.reason, self.attempts, self.at, self.latency_ms]

    @classmethod
    def from_json(cls, told: list[Any]) -> Answer:
        """As it was written down, to the last bit."""
        said, *rest = told
        return cls(None if said is None else Score(*said), *rest)


class Desk:
    """One model's endpoint, asked with patience. `now` ns UTC.

    `ends`: when one of these two is set, who would have to wait gets Stopped.
    `waits`: why nothing can be scored now; "" while all is well.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        columns: Sequence[str],
        model_id: str,
        contract: str,
        settings: ScoringSettings,
        ends: tuple[Event, Event],
        now: Callable[[], int],
    ) -> None:
        self.endpoint, self.waits, self.version = endpoint, "", ""
        self.retries = 0
        self._columns, self._model_id, self._contract = columns, model_id, contract
        self._settings, self._now = settings, now
        self._stop, self._drain = ends
        self._patience = Patience(settings)
        self._served: Served | None = None
        self._looked_at = self._tried_at = 0.0

    @property
    def serves(self) -> str | None:
        """The version that was served when the endpoint was looked at last."""
        return None if self._served is None else self._served.version

    @property
    def breaker(self) -> str:
        """open or closed."""
        return "open" if self._patience.open else "closed"

    def pin(self) -> str | None:
        """The version that is served now, None if the endpoint does not tell; waits for one.

        ScoringError when another model, or a model of another feature contract, is served.
        """
        fresh = time.monotonic() - self._looked_at < self._settings.watch_s
        while self._served is None or not fresh:
            try:
                self._served = self._checked(self.endpoint.served())
                self._well()
                fresh = True
            except Unavailable as error:
                self._wait(str(error))
        return self._served.version

    def look(self) -> None:
        """Ask what is served while no vector waits, so that `pin` need not: bars come every 5 s.

        It keeps the connection open, too. An endpoint that does not answer is `pin`'s to wait for.
        """
        now, half = time.monotonic(), self._settings.watch_s / 2
        if self._served is None or now - self._looked_at < half or now - self._tried_at < half:
            return
        self._tried_at = now
        with suppress(Unavailable):
            self._served = self._checked(self.endpoint.served())

    def _checked(self, served: Served) -> Served:
        """Another model is refused at the start; later it is waited for, until it is put right."""
        wrong = self._wrong(served)
        if wrong and self._served is None:
            raise ScoringError(wrong)
        if wrong:
            raise Unavailable(wrong)
        self._looked_at = time.monotonic()
        return served

    def _wrong(self, served: Served) -> str:
        if served.model_id not in (None, self._model_id):
            return (
                f"{self.endpoint.url}: serves {served.model_id}, and vectors are for "
                f"{self._model_id}. Name its endpoint in [scoring.endpoint.{self._model_id}]."
            )
        if served.feature_contract not in (None, self._contract):
            return (
                f"{self.endpoint.url}: {self._model_id} version {served.version} was trained on "
                f"vectors of the feature contract {served.feature_contract}, the settings make "
                f"{self._contract}. Use the settings it was trained with, or promote a model that "
                "was trained on these."
            )
        return ""

    def ask(self, vectors: Sequence[Vector], version: str | None) -> list[Answer]:
        """An answer for each vector, in order. `version`: the intent's."""
        found: list[Answer] = []
        most = self._settings.batch_rows
        for i in range(0, len(vectors), most):
            found += self._some(vectors[i : i + most], version)
        return found

    def _some(self, vectors: Sequence[Vector], version: str | None) -> list[Answer]:
        attempts = failed = 0
        begun = time.monotonic()
        while True:
            attempts += 1
            started = time.perf_counter()
            try:
                scores, by = self.endpoint.score(
                    self._columns, [v.numbers for v in vectors], self._contract, version
                )
            except Refused as error:
                return self._narrow(vectors, version, str(error), attempts)
            except Unavailable as error:
                # What the model cannot take now it will not take later: one vector of many. But
                # an endpoint that is not well is no vector's fault.
                failed += error.model
                if failed >= self._settings.model_attempts and self._ready():
                    return self._narrow(vectors, version, str(error), attempts)
                if error.gone and version is not None:
                    version = self._another(version)
                patience = self._settings.give_up_s
                if patience and time.monotonic() - begun > patience:
                    lost = self._given_up(f"no answer in {patience:g} s: {error}", attempts)
                    return [lost] * len(vectors)
                self._wait(str(error), begun + patience if patience else None)
                continue
            self._well()
            self.version = by
            ms = (time.perf_counter() - started) * 1e3
            at = self._now()
            return [Answer(score, by, "", attempts, at, ms) for score in scores]

    def _narrow(
        self, vectors: Sequence[Vector], version: str | None, reason: str, attempts: int
    ) -> list[Answer]:
        """Of vectors that are refused together, find those that are to blame."""
        if len(vectors) == 1:
            log.warning("%s: given up: %s", vectors[0].hash, reason)
            return [self._given_up(reason, attempts)]
        half = len(vectors) // 2
        return self._some(vectors[:half], version) + self._some(vectors[half:], version)

    def _given_up(self, reason: str, attempts: int) -> Answer:
        return Answer(None, "", reason, attempts, self._now(), 0.0)

    def _ready(self) -> bool:
        try:
            self._served = self._checked(self.endpoint.served())
        except Unavailable:
            return False
        self._patience.well()
        return True

    def _another(self, version: str) -> str:
        """The version that is served, when the one to ask is no more: nobody has its answer yet."""
        if self._ready() and self._served is not None and self._served.version:
            version = self._served.version
        return version

    def _wait(self, reason: str, until: float | None = None) -> None:
        """Wait, then for as long as the breaker is open until the endpoint says it is ready.

        `until`, by the monotonic clock, ends that too.
        """
        self.retries += 1
        seconds = self._patience.failed()
        if reason != self.waits:
            log.warning("%s waits: %s", self._model_id, reason)
        self.waits = reason
        while True:
            if self._drain.is_set() or self._stop.wait(seconds):
                raise Stopped
            if not self._patience.open or (until is not None and time.monotonic() > until):
                return
            try:
                self._served = self._checked(self.endpoint.served())
                return
            except Unavailable as error:
                self.waits = str(error)
                seconds = self._settings.breaker_s

    def _well(self) -> None:
        if self.waits:
            log.warning("%s answers again", self._model_id)
        self._patience.well()
        self.waits = ""
