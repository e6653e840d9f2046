"""Alerts that webhooks have not taken yet: remembered with the state, so that none is lost."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from spymaster.alerts.webhook import Webhook, body
from spymaster.settings import AlertsSettings

log = logging.getLogger(__name__)


class Owed:
    """The webhooks that some rules name, and what they are owed.

    Nothing is posted before `start`: until then it is only remembered, for what is repeated from
    the log may have been taken long ago.
    """

    def __init__(self, settings: AlertsSettings, names: Sequence[str]) -> None:
        self._kept, self._settings = settings.kept, settings
        self._rows: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in names}
        self._taken: deque[tuple[str, str]] = deque()
        self._stack = ExitStack()
        self.webhooks: dict[str, Webhook] = {}
        self._starts = False
        for name in names:
            webhook = Webhook(name, settings.webhook[name], self._take)
            self._stack.callback(webhook.close)
            self.webhooks[name] = webhook

    def _take(self, webhook: str, alert_id: str) -> None:
        self._taken.append((webhook, alert_id))

    def start(self) -> None:
        """Post what is owed, the oldest first, and from now on whatever comes."""
        self._starts = True
        for name, rows in self._rows.items():
            for alert_id, row in rows.items():
                self.webhooks[name].post(alert_id, body(row))

    def add(self, name: str, row: dict[str, Any]) -> None:
        """A webhook is owed one more alert; beyond what is kept it loses the oldest."""
        rows = self._rows[name]
        rows[row["alert_id"]] = row
        if len(rows) > self._kept:
            oldest = next(iter(rows))
            del rows[oldest]
            self.webhooks[name].drop(oldest)
            log.error("webhook %s: owed more than %d alerts, drops %s", name, self._kept, oldest)
        if self._starts:
            self.webhooks[name].post(row["alert_id"], body(row))

    @property
    def taken(self) -> bool:
        """Whether alerts were taken of which nothing is written down yet."""
        return bool(self._taken)

    def told(self) -> list[list[str]]:
        """What was taken since the last time, [webhook, alert], to be written down."""
        found = []
        while self._taken:
            found.append(list(self._taken.popleft()))
        return found

    def settle(self, told: Sequence[Sequence[str]]) -> None:
        """These are owed no more."""
        for name, alert_id in told:
            self._rows.get(name, {}).pop(alert_id, None)

    @property
    def waiting(self) -> int:
        """Posts that are owed."""
        return sum(len(rows) for rows in self._rows.values())

    @property
    def patience_s(self) -> float:
        """How long the end waits for those that owe something."""
        names = [n for n, rows in self._rows.items() if rows]
        return max((self._settings.webhook[n].drain_s for n in names), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """What is owed, by webhook, the oldest first."""
        return {name: list(rows.values()) for name, rows in self._rows.items()}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Go on where `to_json` left off; a webhook that is no more is owed nothing."""
        for name, rows in told.items():
            if name in self._rows:
                self._rows[name] = {row["alert_id"]: row for row in rows}

    def close(self) -> None:
        """End the webhooks."""
        self._stack.close()
