"""The loops of alerts: one for each topic that some rule watches, each by the epoch protocol."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event
from typing import Any

from spymaster.alerts.reading import FIGURES, Reading
from spymaster.alerts.rule import Rule, rules_of
from spymaster.alerts.work import AlertWork, Counters
from spymaster.bus import Bus, open_bus
from spymaster.contracts.alerts import ALERT
from spymaster.engines.lease import Lease
from spymaster.engines.stream.anew import begin_anew
from spymaster.engines.stream.committer import Pipeline, committed_offsets
from spymaster.engines.stream.epoch_loop import EpochLoop
from spymaster.engines.stream.start import Start
from spymaster.engines.stream.threads import Threads
from spymaster.errors import ContractError
from spymaster.lake import Lake
from spymaster.settings import Settings

ANEW = "spymaster alerts --fresh"


def group_of(topic: str) -> str:
    """The pipeline that watches a topic."""
    return f"alerts/{topic}"


def status_of(topic: str) -> str:
    """The name of its status file."""
    return group_of(topic).replace("/", "-").replace("_", "-")


class AlertLoop:
    """Watches one topic by some rules.

    `commit_s`: seconds between epochs. `quiet_s`: `run` returns when so long nothing came. `tell`
    hears of each alert in a line. `now` gives ns UTC.
    """

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        topic: str,
        rules: list[Rule],
        now: Callable[[], int] = time.time_ns,
        *,
        commit_s: float = 10.0,
        quiet_s: float | None = None,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.topic, self.group, self.rules = topic, group_of(topic), rules
        self.counters = Counters()
        owner = uuid.uuid4().hex
        self.lake = Lake(settings.root, tag=owner)
        self._loop = EpochLoop[list[Reading]](
            self.lake,
            bus,
            Pipeline(self.group, topic, settings.bus.partitions, [ALERT.name]),
            owner,
            now,
            anew=ANEW,
            commit_s=commit_s,
            quiet_s=quiet_s,
        )
        self._work = AlertWork(settings, self.lake, rules, now, self.counters, tell, ANEW)

    @property
    def status_file(self) -> str:
        """The name of its status file."""
        return status_of(self.topic)

    @property
    def holds_lease(self) -> bool:
        """It is, or was, the one loop of its topic."""
        return bool(self._loop.state)

    def lease(self) -> Lease:
        """What only one loop of a topic holds."""
        return self._loop.lease()

    def leave_state(self) -> None:
        """Leave the old state and begin anew where it stood: with nothing seen, nothing owed."""
        committed = committed_offsets(self.lake, ALERT.name, self.group)
        Start.anew(self._loop.folder, {}, committed)

    def run(self, stop: Event | None = None, drain: Event | None = None) -> Counters:
        """Work until `stop` is set, or nothing comes for `quiet_s`; then commit what was done.

        When `drain` is set it ends as soon as all that is there was seen, and webhooks had time.
        """
        self._loop.run(self._work, stop or Event(), drain or Event())
        return self.counters

    def status(self) -> dict[str, Any]:
        """How it is, for `spymaster status`."""
        c, loop = self.counters, self._loop
        if not loop.running:
            return {"state": "starting"}
        owed = self._work.owed
        errors = [f"webhook {w.name}: {w.last_error}" for w in owed.webhooks.values() if w.failures]
        return {
            "state": loop.state,
            "readings": c.readings,
            "alerts": c.alerts,
            "looks": c.looks,
            "last_alert": c.last or None,
            "owed": owed.waiting,
            "behind_messages": loop.behind,
            "epoch": loop.committer.committed,
            "last_error": "; ".join(errors) or None,
            "detail": f"{c.alerts:,} alerts of {len(self.rules)} rules, {owed.waiting} posts owed, "
            f"{loop.behind} messages behind",
        }


class Alerting(Threads[AlertLoop]):
    """Every loop that the rules need, each in a thread; where one fails all end.

    Raises ContractError when no rule is enabled. `how`: what each `AlertLoop` is told.
    """

    def __init__(self, settings: Settings, *, fresh: bool = False, **how: Any) -> None:
        stack = ExitStack()
        loops: list[AlertLoop] = []
        for topic, figures in FIGURES.items():
            rules = rules_of(settings.alerts.rule, figures)
            if rules:
                bus = stack.enter_context(open_bus(settings))
                loops.append(AlertLoop(settings, bus, topic, rules, **how))
        if not loops:
            raise ContractError(
                "alerts: no rule is enabled. Enable one in the settings: "
                "[alerts.rule.ofi_spike] enabled = true; spymaster alerts --list shows them."
            )
        if fresh:
            begin_anew(loops)
        super().__init__(settings.root, loops, stack)

    def start(self, failed: Callable[[BaseException], object] = lambda error: None) -> None:
        """Begin to watch; `failed` hears what ends it."""

        def ends(error: BaseException) -> None:
            failed(error)
            self.stop()

        super().start(ends)
