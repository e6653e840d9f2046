"""How a streaming job of Spark is: what its query reports, beside what the job itself knows."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from spymaster.engines.spark.extra import needed
from spymaster.engines.stream.report import Rate, StatusFile

#: Triggers that the quantile of their time is of.
_TRIGGERS = 256


@dataclass(frozen=True)
class Work:
    """What a job says of itself: rows written, its last epoch, the feed's mark there, ns UTC."""

    rows: int
    epoch: int
    mark: int | None = None
    last_ts_recv: int | None = None
    detail: str = ""


class Progress:
    """Hears a query's reports; `facts` is what `spymaster status` shows of the job.

    `name`: the query's, the process's and its pipeline's. `now` gives ns UTC.
    """

    def __init__(self, name: str, work: Callable[[], Work], now: Callable[[], int]) -> None:
        self.name, self.state = name, "starting"
        self.batches = 0  #: triggers that had something to do
        self.behind: int | None = None  #: messages, or files, that wait in the sources
        self._work, self._now, self._rate = work, now, Rate()
        self._seconds: deque[float] = deque(maxlen=_TRIGGERS)

    def hear(self, told: Mapping[str, Any]) -> None:
        """A query's progress, as its JSON has it."""
        self.behind = _behind(told.get("sources", []))
        took = told.get("durationMs", {})
        if told.get("numInputRows") and "triggerExecution" in took:
            self.batches += 1
            self._seconds.append(took["triggerExecution"] / 1_000)

    @property
    def trigger_s(self) -> tuple[float, float] | None:
        """How long the last trigger took, and 95 of 100 at most, in seconds."""
        taken = list(self._seconds)
        return (taken[-1], float(np.quantile(taken, 0.95))) if taken else None

    def facts(self) -> dict[str, Any]:
        """For the status file."""
        work, now = self._work(), self._now()
        last, usual = self.trigger_s or (None, None)
        waits = "" if self.behind is None else f", {self.behind} behind"
        took = "" if last is None else f", trigger {last:.1f} s (p95 {usual:.1f} s)"
        return {
            "state": self.state,
            "records": work.rows,
            "records_per_s": self._rate.per_second(work.rows),
            "lag_s": None if work.mark is None else (now - work.mark) / 1e9,
            "behind_messages": self.behind,
            "last_ts_recv": work.last_ts_recv,
            "mark": work.mark,
            "epoch": work.epoch,
            "batches": self.batches,
            "trigger_s": last,
            "trigger_p95_s": usual,
            "detail": f"epoch {work.epoch}{waits}{took}{work.detail and f', {work.detail}'}",
        }


@contextmanager
def exported(spark: Any, root: str, progress: Progress) -> Iterator[StatusFile]:
    """While a job runs, its reports are heard and its status file is kept."""
    listener = _listener(progress)
    spark.streams.addListener(listener)
    try:
        with StatusFile(root, progress.name, progress.facts) as status:
            yield status
    finally:
        spark.streams.removeListener(listener)


def _listener(progress: Progress) -> Any:
    base: Any = needed("pyspark.sql.streaming.listener").StreamingQueryListener

    def heard(self: Any, event: Any) -> None:
        if event.progress.name == progress.name:
            progress.hear(json.loads(event.progress.json))

    def ignored(self: Any, event: Any) -> None:
        pass

    names = ("onQueryStarted", "onQueryIdle", "onQueryTerminated")
    return type("Listener", (base,), {"onQueryProgress": heard, **dict.fromkeys(names, ignored)})()


def _behind(sources: list[Mapping[str, Any]]) -> int | None:
    """Messages of topics, files of tables, that wait; None where no source tells."""
    waiting = [n for s in sources if (n := _waiting(s)) is not None]
    return sum(waiting) if waiting else None


def _waiting(source: Mapping[str, Any]) -> int | None:
    files = source.get("metrics", {}).get("numFilesOutstanding")
    if files is not None:
        return int(files)
    end, latest = _offsets(source.get("endOffset")), _offsets(source.get("latestOffset"))
    if end is None or latest is None:
        return None
    return sum(
        max(0, int(offset) - int(end.get(topic, {}).get(p, 0)))
        for topic, offsets in latest.items()
        for p, offset in offsets.items()
    )


def _offsets(told: Any) -> dict[str, Any] | None:
    """A topic's offsets; Delta's are of another shape."""
    found = json.loads(told) if isinstance(told, str) else told
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        return None
    return found
