"""What a client has asked for, as numbers of instruments on a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from spymaster.feed.gateway.batch import Batch, Flags, Longs
from spymaster.feed.gateway.control import ALL_SYMBOLS, Request
from spymaster.feed.gateway.symbols import Listed


@dataclass(frozen=True)
class Subscription:
    """A request on one day. numbers: instrument ids, None for all.

    listed: what each asked symbol stands for; unknown: the symbols that stand for nothing.
    """

    request: Request
    numbers: Longs | None
    listed: tuple[tuple[str, Listed], ...]
    unknown: tuple[str, ...]

    def wants(self, batch: Batch) -> Flags:
        """Which of a batch's records it covers, whenever they are."""
        covered = batch.is_definition() == (self.request.schema == "definition")
        if self.numbers is not None and covered.any():
            covered &= np.isin(batch.column("instrument_id"), self.numbers)
        return covered


def subscribe(request: Request, symbols: Mapping[str, Listed]) -> Subscription:
    """Resolve a request's symbols by those of a day."""
    if ALL_SYMBOLS in request.symbols:
        return Subscription(request, None, tuple((s, one) for s, one in symbols.items()), ())
    found: list[tuple[str, Listed]] = []
    unknown = []
    by = _lookup(request.stype_in, symbols.values())
    for asked in request.symbols:
        some = by.get(asked, [])
        found += [(asked, one) for one in some]
        if not some:
            unknown.append(asked)
    numbers = np.array(sorted({one.instrument_id for _, one in found}), np.int64)
    return Subscription(request, numbers, tuple(found), tuple(unknown))


def _lookup(stype_in: str, listed: Iterable[Listed]) -> dict[str, list[Listed]]:
    by: dict[str, list[Listed]] = {}
    for one in listed:
        name = {
            "raw_symbol": one.raw_symbol,
            "parent": one.parent,
            "instrument_id": str(one.instrument_id),
        }[stype_in]
        if name is not None:
            by.setdefault(name, []).append(one)
    return by


def live(subscriptions: Iterable[Subscription], batch: Batch) -> Flags:
    """Which of a batch's records any subscription covers."""
    wanted = np.zeros(len(batch), np.bool_)
    for one in subscriptions:
        wanted |= one.wants(batch)
    return wanted


def replayed(
    subscriptions: Iterable[Subscription], batch: Batch, all_from: int, early_ns: int
) -> Flags:
    """Which past records are replayed: those with ts_event at or after the start that was asked.

    A start of 0 asks for all that was received at or after `all_from`. `early_ns`: how much
    too early every replay begins.
    """
    wanted = np.zeros(len(batch), np.bool_)
    for one in subscriptions:
        start = one.request.start
        if start == 0:
            wanted |= one.wants(batch) & (batch.keys >= all_from)
        elif start is not None:
            wanted |= one.wants(batch) & (batch.column("ts_event") >= start - early_ns)
    return wanted
