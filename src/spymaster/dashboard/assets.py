"""The page's files from memory: a new browser asks for thirty at once."""

from __future__ import annotations

from typing import Any

from spymaster.dashboard.access import App, Receive, Scope, Send

_UNDER, _MOST_BYTES = "/_nicegui/", 32 * 2**20
Answer = tuple[dict[str, Any], bytes]


class Assets:
    """Answers again what was answered once of files whose address has their version."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._kept: dict[tuple[str, str], Answer] = {}
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_file(scope):
            await self._app(scope, receive, send)
            return
        headers = {k: v.decode("latin-1") for k, v in scope["headers"]}
        key = (scope["path"], headers.get(b"accept-encoding", ""))
        if kept := self._kept.get(key):
            start, body = kept
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return
        parts: list[bytes] = []
        start = {}

        async def keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    self._keep(key, start, b"".join(parts))
            await send(message)

        await self._app(scope, receive, keep)

    def _keep(self, key: tuple[str, str], start: dict[str, Any], body: bytes) -> None:
        lasting = b"max-age" in dict(start.get("headers", ())).get(b"cache-control", b"")
        fits = key not in self._kept and self._bytes + len(body) <= _MOST_BYTES
        if start.get("status") == 200 and lasting and fits:
            self._bytes += len(body)
            self._kept[key] = start, body


def _is_file(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or scope.get("query_string"):
        return False
    asks = {name for name, _ in scope["headers"]}
    changing = {b"range", b"if-none-match", b"if-modified-since"}
    return str(scope["path"]).startswith(_UNDER) and not asks & changing
