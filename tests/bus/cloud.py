"""Azure's managed identity and Key Vault as small servers on this machine, for the real clients."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse


def unsigned(claims: dict[str, Any]) -> str:
    """A token that a broker without a token service takes: no signature."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}."


class Server(ThreadingHTTPServer):
    """Keeps what it was asked; a subclass's handler answers."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.secrets: dict[str, str] = {}
        self.subject = "spymaster"

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self, code: int, told: dict[str, Any], **headers: str) -> None:
        body = json.dumps(told).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Identity(_Handler):
    def do_GET(self) -> None:
        asked = parse_qs(urlparse(self.path).query)
        if self.headers.get("X-IDENTITY-HEADER") != "proof":
            return self.answer(403, {"error": "no proof"})
        resource = asked["resource"][0]
        self.server.asked.append(resource)
        expires = int(time.time()) + 3600
        claims = {"sub": self.server.subject, "aud": resource, "exp": expires}
        claims["iat"] = int(time.time()) - 60
        return self.answer(
            200,
            {
                "access_token": unsigned(claims),
                "expires_on": str(expires),
                "resource": resource,
                "token_type": "Bearer",
            },
        )


class _Vault(_Handler):
    def do_GET(self) -> None:
        token = self.headers.get("Authorization")
        self.server.tokens.append(token)
        if token is None:
            challenge = (
                'Bearer authorization="https://login.microsoftonline.com/'
                '00000000-0000-0000-0000-000000000001", resource="https://vault.azure.net"'
            )
            return self.answer(401, {}, WWW_Authenticate=challenge)
        name = urlparse(self.path).path.split("/")[2]
        self.server.asked.append(name)
        if name not in self.server.secrets:
            return self.answer(404, {"error": {"code": "SecretNotFound", "message": "none"}})
        where = f"https://localhost:{self.server.port}/secrets/{name}/{'0' * 32}"
        return self.answer(
            200,
            {"value": self.server.secrets[name], "id": where, "attributes": {"enabled": True}},
        )


@contextmanager
def _serving(server: Server) -> Iterator[Server]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def identity() -> Iterator[Server]:
    """The endpoint that gives managed identities their tokens, as App Service has it."""
    with _serving(Server(_Identity)) as server:
        yield server


def identity_variables(server: Server) -> dict[str, str]:
    where = f"http://127.0.0.1:{server.port}/metadata/identity/oauth2/token"
    return {"IDENTITY_ENDPOINT": where, "IDENTITY_HEADER": "proof"}


@contextmanager
def vault(keystore: Path) -> Iterator[Server]:
    """A Key Vault over TLS; it takes any token, after asking for one."""
    server = Server(_Vault)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keystore)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with _serving(server):
        yield server
