"""The lines that a client and a gateway exchange before the feed: key, dataset, subscriptions."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

_DIGEST = re.compile(r"[0-9a-f]{64}-.{5}")
_LEAST_HEARTBEAT_S, _MOST_HEARTBEAT_S = 1, 1800
SCHEMAS = ("mbo", "definition")
STYPES = ("raw_symbol", "parent", "instrument_id")
ALL_SYMBOLS = "ALL_SYMBOLS"


class Refused(Exception):
    """A client asked for what it cannot have; its text is what the client is told."""


def fields_of(line: str) -> dict[str, str]:
    """`a=1|b=2` as a mapping.

    >>> fields_of("schema=mbo|symbols=ESH4,ESM4")
    {'schema': 'mbo', 'symbols': 'ESH4,ESM4'}
    """
    return {k: v for k, _, v in (part.partition("=") for part in line.strip().split("|"))}


@dataclass(frozen=True)
class Login:
    """Who connects to which dataset, and how the feed shall be sent."""

    dataset: str
    ts_out: bool
    zstd: bool
    heartbeat_s: int
    skips: bool
    client: str


def login(fields: dict[str, str], challenge: str, key: str | None) -> Login:
    """A client's answer to the challenge. Raises Refused, as Databento does, and says why.

    Without a key of its own the gateway takes any answer of the right form.
    """
    auth = fields.get("auth", "")
    if key is not None:
        digest = hashlib.sha256(f"{challenge}|{key}".encode()).hexdigest()
        known = hmac.compare_digest(auth.encode(), f"{digest}-{key[-5:]}".encode())
    else:
        known = _DIGEST.fullmatch(auth) is not None
    if not known:
        raise Refused("User authentication failed.")
    if fields.get("encoding", "dbn") != "dbn":
        raise Refused(f"Unsupported encoding {fields['encoding']!r}; this gateway sends dbn.")
    return Login(
        dataset=fields.get("dataset", ""),
        ts_out=_one_of(fields, "ts_out", ("0", "1"), "0") == "1",
        zstd=_one_of(fields, "compression", ("none", "zstd"), "none") == "zstd",
        heartbeat_s=_heartbeat(fields.get("heartbeat_interval_s", "30")),
        skips=_one_of(fields, "slow_reader_behavior", ("warn", "skip"), "warn") == "skip",
        client=fields.get("client", "unknown client"),
    )


def _one_of(fields: dict[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = fields.get(name, default)
    if value not in allowed:
        raise Refused(f"Invalid {name} {value!r}; allowed: {', '.join(allowed)}.")
    return value


def _heartbeat(text: str) -> int:
    if not text.isdigit() or not _LEAST_HEARTBEAT_S <= int(text) <= _MOST_HEARTBEAT_S:
        raise Refused(
            f"Invalid heartbeat_interval_s {text!r}; allowed: {_LEAST_HEARTBEAT_S} to "
            f"{_MOST_HEARTBEAT_S}."
        )
    return int(text)


@dataclass(frozen=True)
class Request:
    """One line of a subscription. start: ns UTC, 0 for all of the day, None for no replay."""

    schema: str
    stype_in: str
    symbols: tuple[str, ...]
    start: int | None
    snapshot: bool
    id: str | None
    is_last: bool


def request(fields: dict[str, str]) -> Request:
    """A subscription; Refused where Databento or this gateway would not take it."""
    schema, stype_in = fields.get("schema", ""), fields.get("stype_in", "raw_symbol")
    start, snapshot = fields.get("start"), fields.get("snapshot", "0")
    symbols = tuple(s for s in fields.get("symbols", "").split(",") if s)
    if schema not in SCHEMAS:
        raise Refused(f"Schema {schema!r} is not replayed; allowed: {', '.join(SCHEMAS)}.")
    if stype_in not in STYPES:
        raise Refused(f"stype_in {stype_in!r} is not replayed; allowed: {', '.join(STYPES)}.")
    if not symbols:
        raise Refused("A subscription names no symbols.")
    if start is not None and not start.isdigit():
        raise Refused(f"Invalid start {start!r}; allowed: ns since 1970, or 0.")
    if snapshot not in ("0", "1"):
        raise Refused(f"Invalid snapshot {snapshot!r}; allowed: 0, 1.")
    if snapshot == "1" and (start is not None or schema != "mbo"):
        raise Refused("A snapshot is there for schema mbo only, and without start.")
    return Request(
        schema,
        stype_in,
        symbols,
        None if start is None else int(start),
        snapshot == "1",
        fields.get("id"),
        fields.get("is_last", "1") == "1",
    )
