"""What a page fetches by HTTP: a whole state, which its socket would carry far more slowly.

The browser asks for the first one while it still loads the page's modules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

PATH = "/told"


class Letters:
    """Of one event loop: a letter for each client, the newest one, fetched once."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, asyncio.Future[bytes]]] = {}
        self._count = 0

    def promise(self, client: str) -> str:
        """The ticket of a letter that is still to be written; one not fetched is thrown away."""
        self.forget(client)
        self._count += 1
        ticket = f"{client}.{self._count}"
        self._of[client] = ticket, asyncio.get_running_loop().create_future()
        return ticket

    def write(self, ticket: str, told: Mapping[str, Any]) -> None:
        """Write it, if somebody may still fetch it."""
        kept, letter = self._of.get(_client(ticket), ("", None))
        if kept == ticket and letter is not None and not letter.done():
            letter.set_result(orjson.dumps(told))

    async def fetch(self, ticket: str) -> bytes:
        """The letter, as soon as it is written; `null` where there is none any more."""
        kept, letter = self._of.get(_client(ticket), ("", None))
        if kept != ticket or letter is None:
            return b"null"
        try:
            return await asyncio.shield(letter)
        except asyncio.CancelledError:
            if letter.cancelled():
                return b"null"
            raise
        finally:
            if self._of.get(_client(ticket), ("",))[0] == ticket:
                del self._of[_client(ticket)]

    def forget(self, client: str) -> None:
        """A client is gone, or what was to be told cannot be."""
        _, letter = self._of.pop(client, ("", None))
        if letter is not None:
            letter.cancel()


def _client(ticket: str) -> str:
    return ticket.rpartition(".")[0]
