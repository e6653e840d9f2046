"""Who may look: this machine without a word, anybody else with the token."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from spymaster.errors import ContractError
from spymaster.settings import DashboardSettings

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_COOKIE, _FEWEST = "spymaster_dashboard", 16
_REFUSED = (
    "spymaster dashboard: this address needs its token. Open it once as http://HOST:PORT/?token="
    "TOKEN; who started the dashboard knows it.\n"
)
_STRANGE = (
    "spymaster dashboard: it answers to this machine's own names only (localhost, 127.0.0.1). "
    "Bind it elsewhere with --host to open it to others.\n"
)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def token_of(settings: DashboardSettings) -> tuple[str | None, bool]:
    """The token that is asked for, and whether it was made just now.

    None for this machine alone, unless one is set. ContractError for one that is easily guessed.
    """
    given = os.environ.get(settings.token_variable, "").strip()
    if not given:
        return (None, False) if is_loopback(settings.host) else (secrets.token_urlsafe(24), True)
    if len(given) < _FEWEST or not all("!" <= c <= "~" for c in given):
        raise ContractError(
            f"dashboard: environment variable {settings.token_variable} holds no usable token; "
            f"allowed: {_FEWEST} or more ASCII characters without blanks. Set another, or unset it "
            "and one is made."
        )
    return given, False


class Gate:
    """Lets nobody in without the token; a browser that brought it once has it in a cookie.

    Without a token, only requests to this machine's own names: a page of somebody else's cannot
    reach it by a name that leads here.
    """

    def __init__(self, app: App, token: str | None) -> None:
        self._app, self._token = app, token
        # A cookie's value may not hold all that a token may.
        self._pass = hmac.new((token or "").encode(), _COOKIE.encode(), "sha256").hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        if self._token is None:
            if _own_name(headers.get("host", "")) and _own_origin(headers.get("origin", "")):
                await self._app(scope, receive, send)
            else:
                await _say(scope, send, 403, _STRANGE)
            return
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), True)
        given = dict(query).get("token")
        if given is not None and scope["type"] == "http" and self._same(given):
            rest = urlencode([(k, v) for k, v in query if k != "token"])
            place = scope["path"] + (f"?{rest}" if rest else "")
            cookie = f"{_COOKIE}={self._pass}; Path=/; HttpOnly; SameSite=Strict"
            moved = [("location", "/" + place.lstrip("/")), ("set-cookie", cookie)]
            await _say(scope, send, 303, "", moved)
        elif any(hmac.compare_digest(c.encode(), self._pass.encode()) for c in _cookies(headers)):
            await self._app(scope, receive, send)
        else:
            await _say(scope, send, 401, _REFUSED)

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())


def _headers(scope: Scope) -> dict[str, str]:
    """By their names; HTTP/2 may bring several of cookies."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, told = raw.decode("latin-1").lower(), value.decode("latin-1")
        found[name] = f"{found[name]}; {told}" if name == "cookie" and name in found else told
    return found


def _cookies(headers: Mapping[str, str]) -> list[str]:
    """The values of our cookie; what others set is none of our concern, however it looks."""
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return [value for name, _, value in pairs if name == _COOKIE]


def _own_name(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name)


def _own_origin(origin: str) -> bool:
    return not origin or _own_name(origin.partition("://")[2])


async def _say(
    scope: Scope, send: Send, status: int, text: str, headers: list[tuple[str, str]] | None = None
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    told = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store"),
            *(headers or [])]  # fmt: skip
    raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in told]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": text.encode()})
