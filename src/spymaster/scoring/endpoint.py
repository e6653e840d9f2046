"""The endpoint as the scoring loop asks it: what it serves, and what it says of some vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

from spymaster.bus.secret import Secret
from spymaster.contracts.silver import OUTCOMES
from spymaster.scoring.headers import DEPLOYMENT, FAILED, VERSION
from spymaster.scoring.kept import Answer, Kept

_COLUMNS = tuple(f"p_{outcome.lower()}" for outcome in OUTCOMES)
#: What is wrong with the request itself; anything else may be cured where the endpoint stands.
_WRONG = frozenset({400, 413, 422})
#: Azure's word for what its container answered.
_BEHIND = "ms-azureml-model-error-statuscode"


class Unavailable(Exception):
    """No answer now; asking again may bring one.

    `model`: it is the model that fails. `gone`: what was asked for is not there.
    """

    def __init__(self, reason: str, *, model: bool = False, gone: bool = False) -> None:
        super().__init__(reason)
        self.model, self.gone = model, gone


class Refused(Exception):
    """The request itself is wrong; asking again is of no use."""


@dataclass(frozen=True)
class Served:
    """What an endpoint says of itself; None where it does not tell."""

    model_id: str | None
    version: str | None
    feature_contract: str | None


@dataclass(frozen=True)
class Score:
    """What a model said of one vector."""

    p_break: float
    p_reject: float
    p_chop: float
    prediction: str


class Endpoint:
    """One deployment behind a URL, asked over a connection that is kept. For one thread.

    `deployment`: its name ("": the one with the most traffic). `timeout_s`: for each request.
    """

    def __init__(self, url: str, deployment: str, key: Secret | None, timeout_s: float) -> None:
        self.url, self._deployment = url.rstrip("/"), deployment
        self._headers = {"content-type": "application/json", "user-agent": "spymaster"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key.reveal()}"
        if deployment:
            self._headers[DEPLOYMENT] = deployment
        self._connection = Kept(self.url, timeout_s)

    def served(self) -> Served:
        """What it serves now. Raises Unavailable."""
        answer = self._send("GET", "/readyz", None, {})
        if answer.status == 404:  # an Azure ML endpoint, which has no such page
            return Served(None, None, None)
        if answer.status != 200:
            raise Unavailable(f"{self.url}/readyz says {answer.status}: {answer.text:.200}")
        try:
            told = orjson.loads(answer.content)
            found = [d for d in told["deployments"] if self._deployment in ("", d["name"])]
            chosen = max(found, key=lambda d: d["traffic"], default=None)
            if chosen is None:
                raise Unavailable(f"{self.url}: has no deployment {self._deployment}")
            return Served(told["model"], chosen["version"], chosen["feature_contract"])
        except (ValueError, KeyError, TypeError, AttributeError):
            # Some other page, or one that tells no stranger: then nothing is known.
            return Served(None, None, None)

    def score(
        self,
        columns: Sequence[str],
        vectors: Sequence[Sequence[float | None]],
        contract: str,
        version: str | None,
    ) -> tuple[list[Score], str]:
        """What the model says of vectors (null: missing), and the version that said it.

        `version`: the one to ask, None for any. Raises Unavailable and Refused.
        """
        body = orjson.dumps(
            {
                "input_data": {
                    "columns": list(columns),
                    "index": list(range(len(vectors))),
                    "data": vectors,
                },
                "params": {"feature_contract": contract},
            }
        )
        answer = self._send("POST", "/score", body, {VERSION: version} if version else {})
        if answer.status != 200:
            self._raise(answer)
        by = answer.headers.get(VERSION) or answer.headers.get(DEPLOYMENT) or "unknown"
        if version is not None and by != version:
            said = f"{self.url}: asked version {version}, and {by} answered"
            raise Unavailable(said, gone=True)
        return [_score(row, self.url) for row in self._rows(answer, len(vectors))], by

    def _raise(self, answer: Answer) -> None:
        said = f"{self.url} says {answer.status}: {answer.text[:300].strip()}"
        status, failed = answer.status, answer.headers.get(FAILED, "").lower() == "true"
        if status == 424:  # Azure's front hands on whatever its container answers but 200
            behind = answer.headers.get(_BEHIND, "")
            status = int(behind) if behind.isdigit() else status
            failed = status == 500
        if status in _WRONG:
            raise Refused(said)
        raise Unavailable(said, model=failed, gone=status == 404)

    def _rows(self, answer: Answer, n: int) -> list[Any]:
        try:
            rows = orjson.loads(answer.content)
        except ValueError as error:
            raise Unavailable(f"{self.url}: its answer is no JSON: {error}", model=True) from None
        if not isinstance(rows, list) or len(rows) != n:
            raise Unavailable(f"{self.url}: its answer is no list of {n} records", model=True)
        return rows

    def _send(self, method: str, path: str, body: bytes | None, more: dict[str, str]) -> Answer:
        try:
            return self._connection.send(method, path, body, self._headers | more)
        except OSError as error:
            raise Unavailable(f"{self.url}: {error or type(error).__name__}") from None

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _score(row: Any, url: str) -> Score:
    """One record of an answer, if it is three probabilities and what they amount to."""
    try:
        b, r, c = (float(row[name]) for name in _COLUMNS)
        good = min(b, r, c) >= 0.0 and abs(b + r + c - 1.0) < 1e-6
        if good and row["prediction"] in OUTCOMES:
            return Score(b, r, c, row["prediction"])
    except (KeyError, TypeError, ValueError):
        pass
    raise Unavailable(f"{url}: {row!s:.200} are no probabilities", model=True)
