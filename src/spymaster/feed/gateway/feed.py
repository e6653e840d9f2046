"""One dataset of the files that are replayed: its records, its symbols, its books."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spymaster.errors import SourceError
from spymaster.feed.gateway.clock import Clock
from spymaster.feed.gateway.resting import RestingOrders
from spymaster.feed.gateway.symbols import Symbols, read_symbols
from spymaster.feed.gateway.tape import Tape, TapeFile, tape_file


@dataclass
class Feed:
    """What connections to a dataset share. begin, end: ns UTC, of its records."""

    dataset: str
    tape: Tape
    symbols: Symbols
    orders: RestingOrders
    begin: int
    end: int
    clock: Clock


def look_at(files: Iterable[str | Path]) -> dict[str, list[TapeFile]]:
    """The files that hold records, by dataset. SourceError where there is none."""
    given = list(dict.fromkeys(Path(f) for f in files))
    found: dict[str, list[TapeFile]] = {}
    for path in given:
        file = tape_file(path)
        if file.first_key >= 0:
            found.setdefault(file.dataset, []).append(file)
    if not found:
        names = ", ".join(map(str, given)) or "no file at all"
        raise SourceError(
            f"{names}: nothing to replay; allowed are DBN files of mbo and definition records. "
            "Make some: spymaster simulate ./market"
        )
    return found


def begin_of(files: Iterable[TapeFile]) -> int:
    """When the first MBO record was received, else the first record, ns UTC."""
    files = list(files)
    mbo = [f.first_mbo for f in files if f.first_mbo is not None]
    return min(mbo or [f.first_key for f in files])


def open_feed(dataset: str, files: list[TapeFile], clock: Clock) -> Feed:
    """Read what the files say of symbols; their records are read by every connection anew."""
    tape = Tape(files)
    return Feed(
        dataset=dataset,
        tape=tape,
        symbols=read_symbols(files),
        orders=RestingOrders(tape),
        begin=begin_of(files),
        end=max(f.end for f in files),
        clock=clock,
    )
