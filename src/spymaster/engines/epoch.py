"""The epoch protocol: exactly once over state, Delta tables and topics, for every sink.

A stream's progress is a log of *intents*, exact ranges of offsets written before they are worked
on, and of *epochs*, lists of whole intents written before their rows are committed. Each table's
commit carries the epoch, so that it happens once; the state after an epoch is kept in a file. A
restart begins at the newest good state and repeats the log behind it: the same ranges give the
same rows, and what a table has already it does not take again. Delta versions are never asked.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from spymaster.errors import LakeError
from spymaster.lake.place import fsync

#: A log longer than this is written anew without what the oldest state makes needless.
_LONG = 1 << 20
_KEPT = 2
#: Lines that a machine without power may leave cut: one not for good, and the one behind it.
_UNSURE = 2
_MAGIC = b"SPYMASTER-STATE 1\n"

Ranges = Mapping[int, tuple[int, int]]
Check = Callable[[], None]


@dataclass(frozen=True)
class Intent:
    """What will be worked on next: of each partition the offsets [from, to).

    `facts`: everything else that decides the rows and is not in the topic, such as what was known
    of earlier sessions when one begins.
    """

    n: int
    ranges: Ranges
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """The intents `first` to `last`, both included: one commit per table."""

    e: int
    first: int
    last: int


@dataclass(frozen=True)
class State:
    """What the stages knew after epoch `e`, whose last intent was `intent`."""

    e: int
    intent: int
    facts: Mapping[str, Any]
    data: bytes

    @property
    def digest(self) -> str:
        """BLAKE2b-128 of the state."""
        return blake2b(self.data, digest_size=16).hexdigest()


class EpochLog:
    """The intents, epochs and states of one pipeline, in one folder of a local disk.

    `check` raises when the pipeline's lease has gone to another. LakeError for what cannot be
    written or read.
    """

    def __init__(self, folder: Path, check: Check) -> None:
        self.folder = folder
        self.check, self._lock = check, Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "log"
        self._results: dict[int, Any] = {}
        self._loose = False  # the last line may not be on disk
        self._intents, self._epochs = self._read()
        self._file: BinaryIO = open(self._path, "ab")  # noqa: SIM115
        self._keep()
        newest = newest_state(folder)
        self.state = newest
        self._next = 1 + max([newest.intent if newest else 0, *self._intents])

    # What was written

    def replay(self) -> Iterator[tuple[Epoch | None, list[Intent]]]:
        """What lies behind the newest state: each recorded epoch with its intents, then the
        loose intents under None.
        """
        done = self.state.intent if self.state else 0
        e = self.state.e if self.state else 0
        for epoch in sorted(self._epochs.values(), key=lambda x: x.e):
            if epoch.e <= e:
                continue
            yield epoch, [self._intent(n) for n in range(epoch.first, epoch.last + 1)]
            done = max(done, epoch.last)
        loose = [self._intents[n] for n in sorted(self._intents) if n > done]
        if loose:
            yield None, loose

    def _intent(self, n: int) -> Intent:
        if n not in self._intents:
            raise LakeError(
                f"{self._path}: intent {n} of a recorded epoch is missing. The log is damaged: "
                "begin anew from the captured files with --fresh."
            )
        return self._intents[n]

    # Writing

    def intent(self, ranges: Ranges, facts: Mapping[str, Any], *, for_good: bool = True) -> Intent:
        """Step 1: write down, for good, what will be worked on.

        Not `for_good`: it outlives this process, and is on disk with the next line that is. A
        machine that loses its power may lose it; so nobody may hear of the work before.
        """
        intent = Intent(self._next, dict(ranges), dict(facts))
        with self._lock:
            self._append({"intent": asdict(intent)}, for_good)
            self._intents[intent.n] = intent
            self._next += 1
        return intent

    def result(self, n: int, told: Any) -> None:
        """Write down, for good, what an intent came to, where doing it again may come to another.

        Before anybody hears of it; `told` is JSON.
        """
        with self._lock:
            self._append({"result": {"n": n, "told": told}})
            self._results[n] = told

    def came_to(self, n: int) -> Any:
        """What was written down of an intent; None if nothing was."""
        with self._lock:
            return self._results.get(n)

    def epoch(self, e: int, first: int, last: int) -> Epoch:
        """Step 4: write down, for good, which intents the next commits are of."""
        with self._lock:
            known = self._epochs.get(e)
            if known is not None and (known.first, known.last) != (first, last):
                raise LakeError(
                    f"{self._path}: epoch {e} is recorded as {known}, not {first}-{last}."
                )
            epoch = Epoch(e, first, last)
            if known is None:
                self._append({"epoch": asdict(epoch)})
                self._epochs[e] = epoch
        return epoch

    def save(self, state: State) -> None:
        """Step 5: keep the state after an epoch, and the one before it."""
        self.check()
        head = {"e": state.e, "intent": state.intent, "facts": dict(state.facts)}
        body = json.dumps(head).encode() + b"\n" + state.data
        path = self._state_path(state.e)
        temporary = path.with_suffix(".tmp")
        try:
            put(temporary, _MAGIC + blake2b(body, digest_size=32).digest() + body)
            temporary.rename(path)
            fsync(self.folder)
            for old in self._states()[_KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as e:
            raise LakeError(f"{path}: the state cannot be kept ({e.strerror or e}).") from e
        with self._lock:
            if self.state is not None:
                self._forget(self.state)
            self.state = replace(state, data=b"")
            if self._path.stat().st_size > _LONG:
                self._shorten()

    def _append(self, told: Mapping[str, Any], for_good: bool = True) -> None:
        """Hold the lock: a line and what is remembered of it are one, for who writes all anew."""
        self.check()
        try:
            self._file.write(_line(told))
            self._file.flush()
        except OSError as e:
            raise self._unwritable(e) from e
        if for_good or self._loose:  # one line at a time is not on disk
            self._keep()
        else:
            self._loose = True

    def _keep(self) -> None:
        """All that the file says, or no longer says, is so on disk, too."""
        try:
            os.fdatasync(self._file.fileno())
        except OSError as e:
            raise self._unwritable(e) from e
        self._loose = False

    def _unwritable(self, e: OSError) -> LakeError:
        return LakeError(f"{self._path}: cannot be written ({e.strerror or e}).")

    def _forget(self, older: State) -> None:
        """What lies before the older state that is kept is never asked for again."""
        self._intents = {n: i for n, i in self._intents.items() if n > older.intent}
        self._results = {n: r for n, r in self._results.items() if n > older.intent}
        self._epochs = {e: x for e, x in self._epochs.items() if e > older.e}

    def _shorten(self) -> None:
        """Write the log anew without what was forgotten."""
        temporary = self._path.with_suffix(".tmp")
        lines: list[dict[str, Any]]
        lines = [{"intent": asdict(i)} for _, i in sorted(self._intents.items())]
        lines += [{"result": {"n": n, "told": r}} for n, r in sorted(self._results.items())]
        lines += [{"epoch": asdict(x)} for _, x in sorted(self._epochs.items())]
        put(temporary, b"".join(map(_line, lines)))
        self._file.close()
        temporary.rename(self._path)
        fsync(self.folder)
        self._file = open(self._path, "ab")  # noqa: SIM115

    # Reading

    def _states(self) -> list[Path]:
        return _states(self.folder)

    def _state_path(self, e: int) -> Path:
        return self.folder / f"state-{e:012d}.bin"

    def _read(self) -> tuple[dict[int, Intent], dict[int, Epoch]]:
        """What the log says; last lines that were cut are taken off."""
        intents: dict[int, Intent] = {}
        epochs: dict[int, Epoch] = {}
        if not self._path.exists():
            return intents, epochs
        data = self._path.read_bytes()
        good = 0
        for line in data.splitlines(keepends=True):
            crc, _, text = line.rstrip(b"\n").partition(b" ")
            if not line.endswith(b"\n") or crc != b"%08x" % zlib.crc32(text):
                break
            told = json.loads(text)
            if "intent" in told:
                i = told["intent"]
                ranges = {int(p): (int(a), int(b)) for p, (a, b) in i["ranges"].items()}
                intents[i["n"]] = Intent(i["n"], ranges, i["facts"])
            elif "result" in told:
                self._results[told["result"]["n"]] = told["result"]["told"]
            else:
                epochs[told["epoch"]["e"]] = Epoch(**told["epoch"])
            good += len(line)
        if data[good:].count(b"\n") > _UNSURE:
            raise LakeError(
                f"{self._path}: damaged at byte {good}, and more follows. Begin anew from the "
                "captured files with --fresh."
            )
        if good < len(data):
            os.truncate(self._path, good)
        return intents, epochs

    def close(self) -> None:
        """Nothing more will be written."""
        self._file.close()


def newest_state(folder: Path) -> State | None:
    """The newest state of a folder that is whole."""
    for path in _states(folder):
        found = _load(path)
        if found is not None:
            return found
    return None


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.bin"), reverse=True)


def put(path: Path, data: bytes) -> None:
    """Write a file for good."""
    with open(path, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _line(told: Mapping[str, Any]) -> bytes:
    line = json.dumps(told, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(line), line)


def _load(path: Path) -> State | None:
    """A state file, None if it is not whole."""
    data = path.read_bytes()
    start = len(_MAGIC) + 32
    body = data[start:]
    digest = data[len(_MAGIC) : start]
    if not data.startswith(_MAGIC) or blake2b(body, digest_size=32).digest() != digest:
        return None
    head, _, rest = body.partition(b"\n")
    told = json.loads(head)
    return State(told["e"], told["intent"], told["facts"], rest)
