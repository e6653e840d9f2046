"""What Spark's tasks sent to the driver, stage by stage, as Spark itself counts it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple


class Stage(NamedTuple):
    """A stage that ran: how many tasks, and the bytes of their results."""

    number: int
    name: str
    tasks: int
    sent: int

    @property
    def a_task(self) -> float:
        """Bytes of a task's result, on average."""
        return self.sent / self.tasks


class Heard:
    """While it is entered, every stage of the session; `stages` afterwards."""

    def __init__(self, spark: Any) -> None:
        self.stages: list[Stage] = []
        self._spark = spark

    def __enter__(self) -> Heard:
        self._first = max((s.number for s in _all(self._spark)), default=-1) + 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stages = [s for s in _all(self._spark) if s.number >= self._first]

    @property
    def sent(self) -> int:
        """Bytes of all results."""
        return sum(s.sent for s in self.stages)


def _all(spark: Any) -> list[Stage]:
    """The stages that the session remembers: a thousand."""
    context = spark.sparkContext
    scala, jvm = context._jsc.sc(), context._jvm
    scala.listenerBus().waitUntilEmpty()
    nothing = jvm.java.util.ArrayList()
    quantiles = context._gateway.new_array(jvm.double, 0)
    found = scala.statusStore().stageList(nothing, False, False, quantiles, nothing)
    stages = [found.apply(i) for i in range(found.size())]
    return [
        Stage(s.stageId(), s.name(), s.numCompleteTasks(), s.resultSize())
        for s in stages
        if s.numCompleteTasks()
    ]
