"""How the service ends: what came is answered, what comes later is refused and never half taken."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from tests.serving import models
from tests.serving.conftest import Start
from tests.serving.running import Running, body

SMALL, LARGE = body(models.vectors(1)), body(models.vectors(400))


def call_until_refused(service: Running, content: bytes, said: list[str]) -> None:
    """Ask on kept connections; the end must be a refused connection, not a broken answer."""
    try:
        with service.client() as client:
            while True:
                answer = client.post("/score", content=content)
                assert answer.status_code == 200
                assert answer.content.endswith(b"}]")
                said.append("answered")
    except httpx.ConnectError:
        said.append("refused")
    except BaseException as error:
        said.append(repr(error))


def test_a_stop_under_load_breaks_no_request(saved: Path, start: Start) -> None:
    service = start(saved)
    said: list[list[str]] = [[] for _ in range(6)]
    callers = [
        threading.Thread(target=call_until_refused, args=(service, content, mine))
        for content, mine in zip([SMALL] * 4 + [LARGE] * 2, said, strict=True)
    ]
    for caller in callers:
        caller.start()
    while not all(len(mine) > 3 for mine in said) and all(c.is_alive() for c in callers):
        callers[0].join(0.05)
    service.send(signal.SIGTERM)
    for caller in callers:
        caller.join()
    assert [mine[-1] for mine in said] == ["refused"] * 6
    assert all(set(mine[:-1]) == {"answered"} for mine in said)
    assert service.ended() == 0
    total = sum(len(mine) - 1 for mine in said)
    assert service.said(r"served ([\d,]+) requests").replace(",", "") == str(total)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_taken_to_its_end(
    saved: Path, start: Start, how: signal.Signals
) -> None:
    service = start(saved)
    host, _, port = service.url.removeprefix("http://").partition(":")
    head = (
        "POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(SMALL)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=60) as one, one.makefile("rb") as said:
        one.sendall(head.encode() + SMALL[:100])
        with service.client() as client:
            client.get("/")  # it has read the half by now
            service.send(how)
            service.said("(draining)")
            one.sendall(SMALL[100:])
            told = said.read()
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in told
    assert told.endswith(b"}]")
    assert service.ended() == 0


def test_while_it_lingers_it_is_not_ready_but_serves(saved: Path, start: Start) -> None:
    service = start(saved, linger_s=20.0)
    service.send(signal.SIGTERM)
    service.said("(draining)")
    with service.client() as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        answer = client.post("/score", content=SMALL)
        assert (answer.status_code, "connection" in answer.headers) == (200, False)
    service.process.kill()
    service.ended()
