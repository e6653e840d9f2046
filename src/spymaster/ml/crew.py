"""Who makes trials: this process, or several at a time, each with the snapshot in memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from spymaster.errors import ModelError

Make = Callable[..., Any]


class Crew:
    """`make(given, *one)` for each, as they end; `given` is what `load()` gives, once a worker.

    `load` and `make` are functions of modules, so that they can be named to another process. A
    worker ends with its parent, and hears nothing of Ctrl-C: the parent stops it.
    """

    def __init__(self, jobs: int, load: Callable[..., Any], about: tuple[Any, ...]) -> None:
        self._jobs, self._load, self._about = jobs, load, about
        self._given: Any = None
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Crew:
        return self

    def run(self, make: Make, each: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Results in the order in which they are ready. ModelError when a worker died."""
        if self._jobs == 1:
            if each and self._given is None:
                self._given = self._load(*self._about)
            for one in each:
                yield make(self._given, *one)
            return
        self._pool = self._pool or ProcessPoolExecutor(
            self._jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(self._load, self._about),
        )
        waiting = {self._pool.submit(_make, make, one) for one in each}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    yield future.result()
                except BrokenProcessPool:
                    raise ModelError(
                        "a worker process died (killed, or out of memory). Run the same command "
                        "again, with fewer --jobs if memory is short: what is made is kept"
                    ) from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)


_worker: dict[str, Any] = {}


def _start(load: Callable[..., Any], about: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker["given"] = load(*about)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(make: Make, one: tuple[Any, ...]) -> Any:
    return make(_worker["given"], *one)
