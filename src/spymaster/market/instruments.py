"""Which contract a venue's number stood for at a moment."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from spymaster.market.clock import DAY_NS
from spymaster.market.identify import Instrument, from_definition, from_symbol

__all__ = ["Instrument", "Instruments", "from_definition", "from_symbol"]


class Instruments:
    """Every instrument there is knowledge of, point in time.

    A definition is known from its ``ts_recv`` until the next one of the same number, and ends a
    day after its expiration. A mapping holds on its interval. Where both speak, the definition
    wins (it is the exchange's own), unless it is older than the mapping and names another symbol
    or a contract that had expired when the mapping began: venues give numbers away again, and
    only the mapping was made for that day.
    """

    def __init__(self, rows: Iterable[Instrument]) -> None:
        ordered = sorted(set(rows), key=_order)
        self._ordered = tuple(ordered)
        self._definitions = _by_number(row for row in ordered if row.source == "definition")
        self._mappings = _by_number(row for row in ordered if row.source != "definition")

    def all(self) -> tuple[Instrument, ...]:
        """Every row, in the order of time."""
        return self._ordered

    def without(self, batch_id: str) -> Instruments:
        """What is known from elsewhere than this file or connection."""
        return Instruments(row for row in self._ordered if row.batch_id != batch_id)

    def extended(self, rows: Sequence[Instrument]) -> Instruments:
        """The same with what was learnt since; of equal times what was learnt last counts."""
        made = Instruments(())
        made._ordered = tuple(sorted((*self._ordered, *rows), key=lambda row: row.ts_recv))
        made._definitions, made._mappings = dict(self._definitions), dict(self._mappings)
        for row in rows:
            kind = made._definitions if row.source == "definition" else made._mappings
            held = kind.get((row.venue, row.instrument_id), [])
            at = bisect_right(held, row.ts_recv, key=lambda other: other.ts_recv)
            kind[row.venue, row.instrument_id] = [*held[:at], row, *held[at:]]
        return made

    def resolve(self, venue: str, instrument_id: int, ts: int) -> Instrument | None:
        """What ``instrument_id`` was at ``ts`` (ns UTC); None when nothing identifies it."""
        number = (venue, instrument_id)
        definition = _latest(self._definitions.get(number, []), ts)
        mapping = _latest(self._mappings.get(number, []), ts)
        if definition is None or (mapping is not None and _contradicts(mapping, definition)):
            return mapping
        return definition

    def outrights(self, underlier: str, ts: int) -> list[Instrument]:
        """The futures of an underlier that are known at ``ts``, nearest expiry first."""
        numbers = sorted(self._definitions.keys() | self._mappings.keys())
        found = [self.resolve(venue, number, ts) for venue, number in numbers]
        futures = {
            row.contract_id: row
            for row in found
            if row is not None and row.underlier == underlier and row.instrument_type == "FUT"
        }
        return sorted(
            futures.values(), key=lambda row: (row.expiration or 0, row.contract_id or "")
        )

    def by_contract(self) -> dict[str, Instrument]:
        """One instrument per contract: its first definition, else its first mapping."""
        return dict(self._by_contract)

    @cached_property
    def _by_contract(self) -> dict[str, Instrument]:
        found: dict[str, Instrument] = {}
        for defined in (True, False):
            for row in self._ordered:
                if row.contract_id is not None and (row.source == "definition") == defined:
                    found.setdefault(row.contract_id, row)
        return found

    def known_by(self, underlier: str, ts: int) -> list[tuple[Any, ...]]:
        """What was known of an underlier's contracts by `ts` (ns UTC), sorted: an input of rows."""
        return sorted(
            (row.contract_id, row.price_step, row.tick, row.expiration)
            for row in self._by_contract.values()
            if row.underlier == underlier and row.ts_recv <= ts
        )

    def has_contract(self, contract_id: str) -> bool:
        """Has this contract ever been named?"""
        return contract_id in self._by_contract


def _order(row: Instrument) -> tuple[int, int, str, str]:
    """Rows come from a table in no order; of equal times the longer mapping gives way."""
    return (row.ts_recv, -(row.valid_to or 0), row.raw_symbol, repr(row))


def _by_number(rows: Iterable[Instrument]) -> dict[tuple[str, int], list[Instrument]]:
    by_number: dict[tuple[str, int], list[Instrument]] = defaultdict(list)
    for row in rows:
        by_number[(row.venue, row.instrument_id)].append(row)
    return dict(by_number)


def _latest(rows: list[Instrument], ts: int) -> Instrument | None:
    """The last row known at ``ts`` that is still in force.

    Only the latest definition counts; a mapping may lie inside a longer one.
    """
    for row in reversed(rows[: bisect_right(rows, ts, key=lambda row: row.ts_recv)]):
        if ts < _end(row):
            return row
        if row.source == "definition":
            return None
    return None


def _end(row: Instrument) -> int:
    ends = [row.valid_to] if row.valid_to is not None else []
    if row.source == "definition" and row.expiration is not None:
        ends.append(row.expiration + DAY_NS)
    return min(ends, default=2**63)


def _contradicts(mapping: Instrument, definition: Instrument) -> bool:
    if definition.ts_recv >= mapping.ts_recv:
        return False
    expired = definition.expiration is not None and definition.expiration <= mapping.ts_recv
    return expired or definition.raw_symbol != mapping.raw_symbol
