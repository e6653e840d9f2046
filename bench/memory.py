"""What a process and those below it need: memory by the kind of program, and CPU in all."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

_EVERY_S = 0.2
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Watched:
    """Samples while it is entered. `peaks`: MB of this process (`self`), and of the largest
    process below it by its program (`java`, `python`). `cpu`: seconds of them all together."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {"self": 0.0, "java": 0.0, "python": 0.0}
        self.cpu = 0.0
        self._before: dict[int, float] = {}
        self._done = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watched:
        self._before = self._spent()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self.cpu = sum(s - self._before.get(pid, 0.0) for pid, s in self._spent().items())

    def _spent(self) -> dict[int, float]:
        """CPU seconds of each process that lives, with those of its children that have ended."""
        me = os.getpid()
        return {pid: cpu_s(pid) for pid in (me, *(p for p, _ in below(me)))}

    def _look(self) -> None:
        while not self._done.is_set():
            me = os.getpid()
            self._note("self", me)
            for pid, program in below(me):
                self._note(program, pid)
            self._done.wait(_EVERY_S)

    def _note(self, name: str, pid: int) -> None:
        if name in self.peaks:
            self.peaks[name] = max(self.peaks[name], resident(pid) / 1e6)


def below(pid: int) -> list[tuple[int, str]]:
    """The processes that a process has started, and those that they have: pid and program."""
    children: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        program = "python" if name.startswith("python") else name
        children[int(rest.split()[1])].append((int(folder.name), program))
    found, waiting = [], [pid]
    while waiting:
        mine = children[waiting.pop()]
        found += mine
        waiting += [p for p, _ in mine]
    return found


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended; 0 when it has."""
    try:
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, rest[11:15])) / _TICKS
