"""Several processes, each making one session at a time; the parent commits what they made."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import Any

from spymaster.engines.job import Job, Made, make
from spymaster.engines.session_feed import Progress
from spymaster.errors import SessionError, SpymasterError
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings

Prepare = Callable[[], None]


class Workers:
    """`jobs` processes, spawned. One that dies costs the session it was at, no other.

    A worker ends with its parent, and hears nothing of Ctrl-C: the parent stops it.
    """

    def __init__(
        self,
        jobs: int,
        settings: Settings,
        run_id: str,
        instruments: Sequence[Instrument],
        progress: Progress,
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._told: SimpleQueue[tuple[str, int] | None] = self._context.SimpleQueue()
        self._given = (settings, run_id, tuple(instruments), self._told)
        self._slots = [self._slot() for _ in range(jobs)]
        self._progress = progress
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _slot(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=self._context, initializer=_start, initargs=self._given
        )

    def _listen(self) -> None:
        while (said := self._told.get()) is not None:
            self._progress(*said)

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Made]]:
        """Each job with what it came to, as they end; the earliest begin first."""
        waiting = list(reversed(jobs))
        running: dict[Future[Made], tuple[int, Job]] = {}
        free = list(range(len(self._slots)))
        while waiting or running:
            while waiting and free:
                slot, job = free.pop(), waiting.pop()
                running[self._slots[slot].submit(_make, job)] = slot, job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                slot, job = running.pop(future)
                free.append(slot)
                yield job, self._result(future, slot)

    def _result(self, future: Future[Made], slot: int) -> Made:
        try:
            return future.result()
        except BrokenProcessPool:
            self._slots[slot].shutdown(wait=False)
            self._slots[slot] = self._slot()
            return Made(
                error=SessionError(
                    "its worker process died (killed, or out of memory). Run it again, with "
                    "fewer --jobs if memory is short"
                )
            )

    def stop(self) -> None:
        """End the workers, whatever they are at."""
        for slot in self._slots:
            for process in list((slot._processes or {}).values()):
                process.terminate()
            slot.shutdown(wait=True, cancel_futures=True)
        self._told.put(None)
        self._listener.join(5)


_worker: dict[str, Any] = {}


def _start(
    settings: Settings,
    run_id: str,
    instruments: tuple[Instrument, ...],
    told: SimpleQueue[tuple[str, int] | None],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker["lake"] = Lake(settings.root, tag=run_id)
    _worker["settings"] = settings
    _worker["instruments"] = Instruments(instruments)
    _worker["told"] = told


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(job: Job) -> Made:
    told = _worker["told"]
    made = make(
        job,
        _worker["lake"],
        _worker["settings"],
        _worker["instruments"],
        progress=lambda day, records: told.put((day, records)),
    )
    if made.error is not None and not isinstance(made.error, SpymasterError):
        # Not every exception can travel to another process.
        made.error = SessionError(f"{type(made.error).__name__}: {made.error}")
    return made
