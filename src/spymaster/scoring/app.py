"""The endpoint's routes: /score, what probes ask, and /swagger.json."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from concurrent.futures import Executor

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from spymaster.bus.secret import Secret
from spymaster.scoring.access import allowed
from spymaster.scoring.answer import message, records
from spymaster.scoring.fleet import Deployed, Fleet
from spymaster.scoring.headers import DEPLOYMENT, FAILED, VERSION
from spymaster.scoring.request import Refused
from spymaster.scoring.scorer import scores
from spymaster.scoring.swagger import swagger
from spymaster.settings import ServingSettings

logger = logging.getLogger(__name__)

_LONGEST_ID = 100


class Service:
    """Requests in, answers out. `executor` scores large bodies, one at a time.

    `draining` makes /readyz say no; `leaving` closes each connection after its answer.
    """

    def __init__(
        self, fleet: Fleet, settings: ServingSettings, key: Secret | None, executor: Executor
    ) -> None:
        self.fleet, self.key = fleet, key
        self.draining = self.leaving = False
        self._settings, self._executor = settings, executor
        self._waiting = self._held = 0
        self.app = Starlette(
            routes=[
                Route("/score", _Score(self)),
                Route("/", self._alive),
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
                Route("/swagger.json", self._swagger),
            ],
            exception_handlers={HTTPException: _elsewhere},
        )

    async def _alive(self, request: Request) -> Response:
        return PlainTextResponse("Healthy", headers=self.connection())

    async def _ready(self, request: Request) -> Response:
        ready = bool(self.fleet.deployed) and not self.draining
        told: dict[str, object] = {"ready": ready}
        if allowed(self.key, request.headers.get("authorization", "").encode()):
            told |= self.fleet.told()
        return _json(200 if ready else 503, orjson.dumps(told), self.connection())

    async def _swagger(self, request: Request) -> Response:
        if not allowed(self.key, request.headers.get("authorization", "").encode()):
            return _json(401, message(_NO_KEY), {"www-authenticate": "Bearer"})
        first = next(iter(self.fleet.deployed.values()))
        body = swagger(self.fleet.model_id, first.loaded.version, first.loaded.scorer.columns)
        return _json(200, body, self.connection())

    def connection(self) -> dict[str, str]:
        """The header that closes a connection after its answer, once this service leaves."""
        return {"connection": "close"} if self.leaving else {}

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """What /score says; no exception leaves it."""
        headers = Headers(scope=scope)
        told: dict[str, str] = {}
        try:
            told |= _ids(headers)
            self._admit(scope["method"], headers)
            body = await self._body(headers, receive)
            return await self._score(headers, body, told)
        except Refused as refused:
            extra = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}}
            told |= extra.get(refused.status, {})
            return _json(refused.status, message(str(refused)), told)
        except Exception as error:
            logger.exception("%s: /score failed", self.fleet.model_id)
            said = str(error).partition("\n")[0] or type(error).__name__
            told[FAILED] = "True"
            return _json(500, message(f"{type(error).__name__}: {said:.500}"), told)

    def _admit(self, method: str, headers: Headers) -> None:
        if not allowed(self.key, headers.get("authorization", "").encode()):
            raise Refused(401, _NO_KEY)
        if method != "POST":
            raise Refused(405, f"{method} /score; allowed: POST.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (
            kind.startswith("application/") and kind.endswith("+json")
        ):
            raise Refused(415, f"Content-Type is {kind!r:.80}; allowed: application/json.")

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        most = self._settings.max_body_bytes
        given = headers.get("content-length", "")
        if given.isdigit() and int(given) > most:
            raise Refused(413, f"the body has {given} bytes; allowed: {most}. Send fewer rows.")
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                part = await receive()
                if part["type"] == "http.disconnect":
                    raise Refused(400, "the client went away")
                parts.append(part.get("body", b""))
                size += len(parts[-1])
                self._held += len(parts[-1])
                if size > most:
                    raise Refused(413, f"the body has more than {most} bytes. Send fewer rows.")
                if self._held > self._settings.max_held_bytes:
                    raise Refused(
                        429, f"{_BUSY}: {self._held} bytes are held. Send it again, later."
                    )
                if not part.get("more_body", False):
                    return b"".join(parts)
        finally:
            self._held -= size

    async def _score(self, headers: Headers, body: bytes, told: dict[str, str]) -> Response:
        chosen = await self.fleet.choose(headers.get(DEPLOYMENT, ""), headers.get(VERSION, ""))
        told[VERSION] = chosen.loaded.version
        if chosen.name:
            told[DEPLOYMENT] = chosen.name
        started = time.perf_counter()
        if len(body) <= self._settings.inline_bytes:
            content = self._work(chosen, body)
        else:
            content = await self._beside(chosen, body)
        told["x-ms-run-fn-exec-ms"] = f"{(time.perf_counter() - started) * 1e3:.3f}"
        told[FAILED] = "False"
        return _json(200, content, told)

    async def _beside(self, chosen: Deployed, body: bytes) -> bytes:
        if self._waiting >= self._settings.max_waiting:
            raise Refused(
                429, f"{_BUSY}: {self._waiting} large requests wait. Send it again, later."
            )
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._executor, self._work, chosen, body)
        finally:
            self._waiting -= 1

    def _work(self, chosen: Deployed, body: bytes) -> bytes:
        features = chosen.loaded.parser.features(body)
        if not len(features):
            return b"[]"
        who = f"{self.fleet.model_id} version {chosen.loaded.version}"
        return records(scores(chosen.loaded.scorer, features, who))


class _Score:
    """An ASGI application, which Starlette's routes take as it is."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._service.answer(scope, receive)
        response.headers.update(self._service.connection())
        await response(scope, receive, send)


_BUSY = "too much at once"
_NO_KEY = "the key is missing or wrong. Send it in the header Authorization: Bearer KEY."


def _ids(headers: Headers) -> dict[str, str]:
    """The ids that Microsoft's server sends back."""
    request = headers.get("x-request-id") or str(uuid.uuid4())
    client = headers.get("x-ms-client-request-id", "")
    legacy = headers.get("x-ms-request-id", "") or client or request
    for name, value in (
        ("x-request-id", request), ("x-ms-client-request-id", client), ("x-ms-request-id", legacy)
    ):  # fmt: skip
        if len(value) > _LONGEST_ID:
            raise Refused(431, f"{name} has {len(value)} characters; allowed: {_LONGEST_ID}.")
        if not value.isprintable():
            raise Refused(400, f"{name} is not printable. Send letters and digits.")
    told = {"x-request-id": request, "x-ms-request-id": legacy}
    return {**told, "x-ms-client-request-id": client} if client else told


async def _elsewhere(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    there = "POST /score; GET /, /healthz, /readyz, /swagger.json"
    reason = f"{request.method} {request.url.path:.80}; allowed: {there}."
    return _json(error.status_code, message(reason), dict(error.headers or {}))


def _json(status: int, body: bytes, headers: dict[str, str]) -> Response:
    return Response(body, status, headers, media_type="application/json")
