"""The state of a session's stages, cut by contract and laid together again, byte for byte.

What a session knows as a whole (its gaps, its mark) goes to every contract; what it has counted
goes to its first, so that the sum stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spymaster.kernel.state import pack, unpack

_STAGES, _MARKETS, _DUPLICATES = ("STAGES", 2), ("MARKETS", 1), ("DUPLICATES", 1)


def cut(data: bytes) -> dict[str, bytes]:
    """The state of each contract's stages, as `SessionStages.to_bytes` would give it alone."""
    told, markets = _parts(data, _STAGES)
    head, duplicates, *books = _parts(markets, _MARKETS)
    dropped, last, before = unpack(duplicates, *_DUPLICATES)[1]
    session = json.loads(told)
    found = {}
    for place, (row, warm) in enumerate(json.loads(head)):
        if place:
            dropped = np.zeros(1, np.int64)
            session = {**session, "quality": dict.fromkeys(session["quality"], 0)}
        mine = slice(place, place + 1)
        own = [
            json.dumps([[row, warm]]).encode(),
            pack(*_DUPLICATES, [dropped, last[mine], before[mine]]),
            books[place],
        ]
        found[row["contract_id"]] = _packed(
            _STAGES, [json.dumps(session).encode(), _packed(_MARKETS, own)]
        )
    return found


def joined(states: Iterable[bytes]) -> bytes:
    """The state of a session's stages with these contracts', in this order."""
    sessions: list[Mapping[str, Any]] = []
    heads: list[Any] = []
    arrays: list[Sequence[np.ndarray[Any, Any]]] = []
    books: list[bytes] = []
    for data in states:
        told, markets = _parts(data, _STAGES)
        head, duplicates, *own = _parts(markets, _MARKETS)
        sessions.append(json.loads(told))
        heads += json.loads(head)
        arrays.append(unpack(duplicates, *_DUPLICATES)[1])
        books += own
    dropped = np.array([sum(int(a[0][0]) for a in arrays)], np.int64)
    last, before = (np.concatenate([a[i] for a in arrays]) for i in (1, 2))
    whole = [json.dumps(heads).encode(), pack(*_DUPLICATES, [dropped, last, before]), *books]
    return _packed(_STAGES, [json.dumps(_session(sessions)).encode(), _packed(_MARKETS, whole)])


def _session(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the contracts know of their session: whoever was asked last knows the most."""
    missing = list(dict.fromkeys(reason for t in told for reason in t["missing"]))
    quality = {name: sum(t["quality"][name] for t in told) for name in told[0]["quality"]}
    return {
        "missing": missing,
        "known_to": min(t["known_to"] for t in told),
        "quality": quality,
        "mark": max(t["mark"] for t in told),
    }


def _parts(data: bytes, kind: tuple[str, int]) -> list[bytes]:
    return [a.tobytes() for a in unpack(data, *kind)[1]]


def _packed(kind: tuple[str, int], parts: Iterable[bytes]) -> bytes:
    return pack(*kind, [np.frombuffer(p, "u1") for p in parts])
