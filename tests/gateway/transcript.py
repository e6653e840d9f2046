"""Writes the conversation of Databento's client with the gateway into docs/replay.md.

    python -m tests.gateway.transcript

A proxy between the two writes down what passes; what differs from run to run is masked.
"""

from __future__ import annotations

import re
import select
import socket
import sys
import tempfile
import threading
from itertools import groupby
from pathlib import Path
from typing import Any

from databento_dbn import DBNDecoder

from spymaster.feed.gateway import Fault, Gateway
from tests.e2e.scenes import SHORT, market, mbo, records
from tests.gateway.client import ALL, ES, hear

DOCUMENT = Path(__file__).parents[2] / "docs" / "replay.md"
BEGIN, END = "<!-- transcript -->", "<!-- end of transcript -->"
_MASKED = (r"(cram|lsg_version|client)=[^|\n]*", r"\1=...")
_DIGEST = (r"auth=[0-9a-f]{64}-", "auth=<sha256>-")


class Proxy:
    """Passes one connection on and keeps what was said: (who, bytes), client `C`, server `S`."""

    def __init__(self, gateway: Gateway) -> None:
        self.said: list[tuple[str, bytes]] = []
        self._gateway = gateway
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def _pass_on(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection((self._gateway.host, self._gateway.port))
        other = {client: ("C", server), server: ("S", client)}
        with client, server:
            while other:
                for one in select.select(list(other), [], [])[0]:
                    data = one.recv(1 << 16)
                    who, to = other[one]
                    self.said.append((who, data))
                    if data:
                        to.sendall(data)
                    else:
                        to.shutdown(socket.SHUT_WR)
                        del other[one]

    def close(self) -> list[tuple[str, bytes]]:
        self._thread.join(60)
        self._listener.close()
        return self.said


def lines_of(said: list[tuple[str, bytes]]) -> list[str]:
    """Control lines both ways, then the stream as types and counts."""
    out, started = [], False
    for who, data in said:
        if who == "S" and started:
            continue
        for line in data.decode().splitlines():
            started = started or line.startswith("start_session")
            out.append(f"{who}  {re.sub(*_DIGEST, re.sub(*_MASKED, line))}")
    stream = b"".join(data for who, data in said if who == "S")
    stream = stream[stream.index(b"DBN\x03") :]
    decoder = DBNDecoder()
    decoder.write(stream)
    told = [_told(record) for record in decoder.decode()]
    for text, same in groupby(told):
        count = len(list(same))
        out.append(f"S  {text}" + (f" x {count:,}" if count > 1 else ""))
    return [*out, "S  closes"]


def _told(record: Any) -> str:
    name = type(record).__name__
    if name == "Metadata":
        return f"Metadata version {record.version}, {record.dataset}, start {record.start}"
    if name in ("SystemMsg", "ErrorMsg"):
        return f"{name} {record.code}: {record.msg if name == 'SystemMsg' else record.err}"
    if name == "SymbolMappingMsg":
        return (
            f"{name} {record.stype_in_symbol}: {record.instrument_id} is {record.stype_out_symbol}"
        )
    if name == "MBOMsg":
        return f"{name} of a market snapshot" if int(record.flags) & 32 else name
    return name


def transcript(folder: Path) -> str:
    """Three connections to one market: a broken one, its resume, and one with a snapshot."""
    files = market(folder, 1, 6_000, SHORT)
    feed = [row for path in mbo("mbo", files) for row in records(path)]
    start = int(feed[7_490]["ts_event"]) - 60 * 10**9
    parent = {"symbols": "ES.FUT", "stype_in": "parent"}
    connections = [
        ("The first connection is broken by its script (`close:7500`)",
         [{"schema": "mbo", **parent}, {"schema": "definition", **parent}]),
        ("It is resumed with `start`, and broken again (`error:1500@2`)",
         [{**ALL, "start": start}]),
        ("Another one asks for a market snapshot, and for a symbol that is not there",
         [{**ES, "symbols": ["ESH4", "NQH4"], "snapshot": True}]),
    ]  # fmt: skip
    faults = [Fault("close", 7_500), Fault("error", 1_500, connection=2)]
    parts = []
    with Gateway(files, at_end="close", faults=faults) as gateway:
        for title, asked in connections:
            proxy = Proxy(gateway)
            hear(proxy, *asked)  # type: ignore[arg-type]  # it has what is needed: host and port
            text = "\n".join(f"    {line}" for line in lines_of(proxy.close()))
            parts.append(f"{title}:\n\n{text}\n")
    return "\n".join(parts)


def written(document: str, text: str) -> str:
    """The document with another transcript."""
    head, _, rest = document.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = written(DOCUMENT.read_text(), transcript(Path(folder)))
    DOCUMENT.write_text(text)
    sys.stdout.write(f"{DOCUMENT}: written\n")


if __name__ == "__main__":
    main()
