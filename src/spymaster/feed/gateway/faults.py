"""What may go wrong with a feed, by script: on which connection, after how many records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from spymaster.errors import ContractError


class Kind(NamedTuple):
    """A sort of fault: which numbers it takes, and what a client meets."""

    takes: tuple[str, ...]
    meaning: str


KINDS = {
    "bad-key": Kind((), "the key is refused"),
    "silence": Kind((), "nothing is sent after the session has started, not even metadata"),
    "reset": Kind(("N",), "N records and half of the next, then the connection is reset (RST)"),
    "half-record": Kind(("N",), "N records and half of the next, then nothing any more"),
    "stall": Kind(("N",), "N records, then nothing any more, not even heartbeats"),
    "error": Kind(("N",), "N records, then an ErrorMsg (internal error) and the end"),
    "close": Kind(("N",), "N records, then an orderly end"),
    "gap": Kind(("N", "K"), "N records, then K are left out"),
    "slow": Kind(
        ("N", "K"),
        "after N records the gateway finds the client slow: a warning, or with "
        "slow_reader_behavior=skip K records are left out and an ErrorMsg says so",
    ),
    "remap": Kind(
        ("N",),
        "after N records the next one's instrument has another id: a second SymbolMappingMsg, "
        "and its records carry the new id",
    ),
    "duplicates": Kind(("S",), "a replay from `start` begins S seconds too early"),
}
_GRAMMAR = "KIND[:N[:K]][@CONNECTION], such as reset:500 or gap:500:20@2"


@dataclass(frozen=True)
class Fault:
    """One fault of one connection (1: the first that the gateway takes).

    kind: of KINDS. after: N, records (MBO and definitions) sent before it; for `duplicates`
    seconds. count: K. Raises ContractError for numbers that its kind does not take.

    >>> parse_fault("gap:500:20@2")
    Fault(kind='gap', after=500, count=20, connection=2)
    """

    kind: str
    after: int = 0
    count: int = 0
    connection: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ContractError(
                f"fault {self.kind!r}: no such kind; allowed: {', '.join(KINDS)}, as {_GRAMMAR}."
            )
        if min(self.after, self.count) < 0 or self.connection < 1:
            raise ContractError(
                f"fault {self}: allowed are numbers of at least 0, and connections from 1."
            )

    def __str__(self) -> str:
        numbers = (self.after, self.count)[: len(KINDS[self.kind].takes)]
        return ":".join([self.kind, *map(str, numbers)]) + f"@{self.connection}"


def parse_fault(text: str) -> Fault:
    """A fault as the command line spells it; ContractError says what is allowed."""
    body, at, connection = text.partition("@")
    kind, *numbers = body.split(":")
    takes = KINDS[kind].takes if kind in KINDS else tuple(numbers)
    digits = [*numbers, connection] if at else numbers
    if len(numbers) != len(takes) or not all(d.isdigit() for d in digits):
        wanted = ":".join([kind, *takes])
        raise ContractError(
            f"--fault {text!r}: allowed is {wanted}[@CONNECTION], in numbers. "
            f"Faults are written {_GRAMMAR}."
        )
    after, count = ([int(n) for n in numbers] + [0, 0])[:2]
    return Fault(kind, after, count, int(connection) if at else 1)
