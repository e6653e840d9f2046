"""Which versions of a model are loaded, and which of them takes a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from spymaster.errors import SpymasterError
from spymaster.scoring.headers import DEPLOYMENT, VERSION
from spymaster.scoring.request import Refused, RequestParser
from spymaster.scoring.scorer import Scorer, scores
from spymaster.scoring.traffic import Traffic

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class Registry(Protocol):
    """Where versions lie. Both may block, and raise SpymasterError."""

    def resolve(self, wanted: str) -> str:
        """The version that `wanted`, a version or an @alias, stands for now."""

    def load(self, version: str) -> Scorer: ...


@dataclass(frozen=True)
class Loaded:
    """A version that is ready to score."""

    version: str
    scorer: Scorer
    parser: RequestParser


@dataclass(frozen=True)
class Deployed:
    """A name that clients may ask for, and what stands behind it. `name` may be empty."""

    name: str
    wanted: str
    loaded: Loaded


class Fleet:
    """Deployments of one model. A swap is one assignment: requests keep what they began with.

    `executor` loads, beside the event loop. Not thread-safe: for the event loop alone.
    """

    def __init__(
        self, model_id: str, registry: Registry, executor: Executor, *, kept: int, max_rows: int
    ) -> None:
        self.model_id, self._registry, self._executor = model_id, registry, executor
        self._kept, self._max_rows = kept, max_rows
        self.deployed: dict[str, Deployed] = {}
        self._traffic = Traffic({})
        self._percent: dict[str, int] = {}
        self._loaded: dict[str, Loaded] = {}  # the least recently asked for first
        self._changing = asyncio.Lock()

    async def refresh(self, deployments: Mapping[str, str], traffic: Mapping[str, int]) -> bool:
        """Load what the deployments stand for now, then serve it; whether anything changed.

        Raises SpymasterError when one cannot be loaded, and changes nothing then.
        """
        async with self._changing:
            percent = dict(traffic) or {next(iter(deployments)): 100}
            now = {}
            try:
                for name, wanted in deployments.items():
                    version = await self._beside(self._registry.resolve, wanted)
                    now[name] = Deployed(name, wanted, await self._load(version))
            except SpymasterError:
                self._forget()
                raise
            if self._said(now) == self._said(self.deployed) and percent == self._percent:
                return False
            if percent != self._percent:
                self._traffic, self._percent = Traffic(percent), percent
            self.deployed = now
            self._forget()
        for d in now.values():
            logger.info("%s: %s serves version %s", self.model_id, d.name, d.loaded.version)
        return True

    async def choose(self, deployment: str, version: str) -> Deployed:
        """Who scores a request: the version it pins, else the deployment it names, else its turn.

        Raises Refused with 404 for one that is not there.
        """
        if deployment and deployment not in self.deployed:
            raise Refused(
                404,
                f"deployment {deployment!r:.80} is unknown; allowed: {', '.join(self.deployed)}. "
                f"Leave {DEPLOYMENT} out to be given one.",
            )
        if not version:
            return self.deployed[deployment or self._traffic.next()]
        for d in self.deployed.values():
            if d.loaded.version == version and deployment in ("", d.name):
                return d
        return Deployed("", version, await self._pinned(version))

    def told(self) -> dict[str, object]:
        """For /readyz."""
        return {
            "model": self.model_id,
            "deployments": [
                {
                    "name": d.name,
                    "asked": d.wanted,
                    "version": d.loaded.version,
                    "traffic": self._percent.get(d.name, 0),
                    "feature_contract": d.loaded.scorer.feature_contract,
                }
                for d in self.deployed.values()
            ],
            "loaded": sorted(self._loaded),
        }

    async def _pinned(self, version: str) -> Loaded:
        if found := self._loaded.pop(version, None):
            self._loaded[version] = found
            return found
        if not (version.isascii() and version.isdigit() and len(version) < 10):
            raise Refused(400, f"{VERSION} is {version!r:.80}; allowed: a version, as 3.")
        async with self._changing:
            try:
                await self._beside(self._registry.resolve, version)
            except SpymasterError as error:
                raise Refused(404, str(error)) from None
            loaded = await self._load(version)
            self._forget()
        return loaded

    async def _load(self, version: str) -> Loaded:
        if found := self._loaded.get(version):
            return found
        loaded = await self._beside(self._read, version)
        self._loaded[version] = loaded
        return loaded

    def _read(self, version: str) -> Loaded:
        scorer = self._registry.load(version)
        parser = RequestParser(scorer.columns, scorer.feature_contract, self._max_rows)
        blank = np.full((1, len(scorer.columns)), np.nan)
        scores(scorer, blank, f"{self.model_id} version {version}")
        return Loaded(version, scorer, parser)

    def _forget(self) -> None:
        """All but what is deployed and the last few that were."""
        serving = {d.loaded.version for d in self.deployed.values()}
        idle = [version for version in self._loaded if version not in serving]
        for version in idle[: max(0, len(idle) - self._kept)]:
            del self._loaded[version]

    async def _beside(self, work: Callable[[str], _T], given: str) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, given)

    def _said(self, deployed: Mapping[str, Deployed]) -> list[tuple[str, str, str]]:
        return [(d.name, d.wanted, d.loaded.version) for d in deployed.values()]
