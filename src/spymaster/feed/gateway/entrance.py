"""What a client says before the feed: who it is, what it wants, and that it is ready."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection

import spymaster
from spymaster.feed.gateway.control import Login, Refused, fields_of, login
from spymaster.feed.gateway.wire import ClientGone, Wire

_PATIENCE_NS = 60 * 10**9


def enter(wire: Wire, number: int, datasets: Collection[str], key: str | None, shut: bool) -> Login:
    """Challenge a client and let it in; Refused, which it has been told, where it must not be.

    number: the session's id. shut: nobody is let in.
    """
    challenge = secrets.token_hex(16)
    wire.write(f"lsg_version=spymaster-{spymaster.__version__}\ncram={challenge}\n".encode())
    try:
        found = login(fields_of(_line(wire)), challenge, key)
        if shut:
            raise Refused("User authentication failed.")
        if found.dataset not in datasets:
            known = ", ".join(sorted(datasets))
            raise Refused(f"Dataset {found.dataset!r} is not replayed; there are: {known}.")
    except Refused as refused:
        wire.write(f"success=0|error={refused}\n".encode())
        raise
    wire.write(f"success=1|session_id={number}\n".encode())
    return found


def requests(wire: Wire) -> list[dict[str, str]]:
    """The subscriptions, as lines of fields, that come before the client starts the session."""
    found: list[dict[str, str]] = []
    while True:
        wire.wait()
        while wire.lines:
            fields = fields_of(wire.lines.popleft())
            if "start_session" in fields:
                return found
            found.append(fields)


def _line(wire: Wire) -> str:
    end = time.monotonic_ns() + _PATIENCE_NS
    while not wire.lines:
        left = end - time.monotonic_ns()
        if left <= 0:
            raise ClientGone("it says nothing")
        wire.wait(left)
    return wire.lines.popleft()
