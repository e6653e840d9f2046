"""Where a stream without a state begins: at the topic's beginning, or where an old state stood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spymaster.engines.epoch import newest_state
from spymaster.errors import LakeError
from spymaster.lake.place import fsync

_FILE = "start.json"


@dataclass(frozen=True)
class Start:
    """How often a stream was begun anew, from which offsets, and which sessions had begun then.

    Each beginning counts its epochs from 1, so it commits under a name of its own.
    """

    times: int = 0
    offsets: Mapping[int, int] = field(default_factory=dict)
    begun: Mapping[str, str] = field(default_factory=dict)

    def app(self, pipeline: str) -> str:
        """The application that Delta's transactions are of."""
        return f"{pipeline}-{self.times}" if self.times else pipeline

    @classmethod
    def of(cls, folder: Path) -> Start:
        """As it was written down; by default from the topic's beginning."""
        path = folder / _FILE
        if not path.exists():
            return cls()
        try:
            told = json.loads(path.read_text())
            offsets = {int(p): int(o) for p, o in told["offsets"].items()}
            return cls(int(told["times"]), offsets, dict(told["begun"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LakeError(
                f"{path}: damaged ({error}); it says how often the stream was begun anew, and "
                "without it rows could be written twice. Bring it back from a copy, or go on in "
                "another root with the files of raw-dbn."
            ) from None

    def within(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
        """Where to read a topic from: as written down, or its oldest where it has no such place.

        A topic may have been made anew since, or keep less than it did.
        """
        return {
            p: offset if begin <= (offset := self.offsets.get(p, begin)) <= ends[p] else begin
            for p, begin in begins.items()
        }

    def folder(self, parent: Path) -> Path:
        """Where this beginning keeps its log and states."""
        return parent / f"{self.times}"

    @classmethod
    def anew(cls, parent: Path, begun: Mapping[str, str], committed: Mapping[int, int]) -> Start:
        """Write down, for good, that the stream begins anew where its last state stood.

        Or behind it, where the tables stand (`committed`): an epoch may be in them whose state
        was never kept. Log and states of before stay in their folder; nobody reads them any more.
        """
        old = cls.of(parent)
        offsets = dict(old.offsets)
        # The state alone: a log that is damaged must not stand in the way of beginning anew.
        state = newest_state(old.folder(parent))
        if state is not None:
            offsets = {int(p): int(o) for p, o in state.facts["offsets"].items()}
        offsets |= {p: max(o, offsets.get(p, o)) for p, o in committed.items()}
        start = cls(old.times + 1, offsets, {**old.begun, **begun})
        temporary = parent / f".{_FILE}.tmp"
        parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(start)))
        fsync(temporary)
        temporary.rename(parent / _FILE)
        fsync(parent)
        return start
