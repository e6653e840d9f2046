"""A webhook: alerts as JSON to a URL, each until it was taken, in their order."""

from __future__ import annotations

import datetime as dt
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition, Thread
from typing import Any

import httpx
import orjson

from spymaster.bus.secret import Secret
from spymaster.errors import ContractError
from spymaster.settings import WebhookSettings

log = logging.getLogger(__name__)
# It writes whole URLs, and a webhook's URL is often its secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

#: By it a receiver asks for patience; it gets no more than `retry_longest_s`.
_RETRY_AFTER = "retry-after"


def body(row: Mapping[str, Any]) -> bytes:
    """An alert as JSON: its row, the times once more as text, and all of it in one line."""
    told = {name: value for name, value in row.items() if name != "given_at"}
    return orjson.dumps({**told, "at_utc": utc(row["at"]), "text": line(row)})


def line(row: Mapping[str, Any]) -> str:
    """An alert as one line.

    >>> line({"severity": "warning", "rule": "late", "subject": "ES", "what": "lag_s", "value": 7.5,
    ...       "condition": "above 5", "score": None, "at": 0})
    'warning late: ES lag_s 7.5 (above 5) at 1970-01-01T00:00:00Z'
    """
    value = "" if row["value"] is None else f" {row['value']:g}"
    score = "" if row["score"] is None else f", score {row['score']:.2f}"
    return (
        f"{row['severity']} {row['rule']}: {row['subject']} {row['what']}{value} "
        f"({row['condition']}{score}) at {utc(row['at'])}"
    )


def utc(ns: int) -> str:
    """A time as ISO 8601, to the second."""
    moment = dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _secret(name: str, variable: str, what: str) -> Secret | None:
    """What an environment variable holds; None when none is named, ContractError when empty."""
    if not variable:
        return None
    value = os.environ.get(variable, "").strip()
    if not value or not all("!" <= c <= "~" for c in value):
        raise ContractError(
            f"alerts.webhook.{name}: environment variable {variable} holds no usable {what}. Put "
            f"it there, or name another variable."
        )
    return Secret(value)


class Webhook:
    """Posts on a thread of its own. `taken` hears of each alert that needs no more posting.

    Any answer of 200 to 299 is a yes; anything else is asked again, longer and longer, for
    `give_up_s`. The header Idempotency-Key is the same each time, also after a restart. Nothing of
    URL or secret goes into a log or an error. Raises ContractError for a secret that is not there.
    """

    def __init__(
        self, name: str, settings: WebhookSettings, taken: Callable[[str, str], object]
    ) -> None:
        self.name, self.failures, self.posted, self.given_up = name, 0, 0, 0
        self.last_error = ""
        self._settings, self._taken = settings, taken
        url = _secret(name, settings.url_variable, "URL") or Secret(settings.url)
        if not url.reveal().startswith(("http://", "https://")):
            raise ContractError(f"alerts.webhook.{name}: {settings.url_variable} holds no URL.")
        self._url = url
        self._headers = {"content-type": "application/json", "user-agent": "spymaster-alerts"}
        token = _secret(name, settings.secret_variable, "token")
        if token is not None:
            self._headers["authorization"] = f"Bearer {token.reveal()}"
        self._client = httpx.Client(timeout=settings.timeout_s, trust_env=False)
        self._queue: deque[tuple[str, bytes, float]] = deque()
        self._changed, self._ended = Condition(), False
        self._thread = Thread(target=self._run, name=f"webhook-{name}", daemon=True)
        self._thread.start()

    def post(self, alert_id: str, content: bytes) -> None:
        """Take an alert to be posted behind those before."""
        with self._changed:
            self._queue.append((alert_id, content, time.monotonic()))
            self._changed.notify()

    def drop(self, alert_id: str) -> None:
        """Post an alert no more; a request that is on its way is not called back."""
        with self._changed:
            kept = [waiting for waiting in self._queue if waiting[0] != alert_id]
            self._queue = deque(kept)

    @property
    def waits(self) -> int:
        """Alerts that were not taken yet."""
        return len(self._queue)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if self._ended:
                    return
                alert_id, content, since = self._queue[0]
            try:
                wait = self._try(alert_id, content)
            except Exception as error:  # whatever an answer brings: alerts go on
                log.exception("webhook %s: alert %s", self.name, alert_id)
                wait = self._failed(type(error).__name__, 0.0)
            late = time.monotonic() - since
            if wait is not None and self._settings.give_up_s and late > self._settings.give_up_s:
                log.error("webhook %s: gives up alert %s: %s", self.name, alert_id, self.last_error)
                self.given_up += 1
                wait = None
            with self._changed:
                if wait is None:
                    if self._queue and self._queue[0][0] == alert_id:  # it was not dropped
                        self._queue.popleft()
                elif self._changed.wait_for(lambda: self._ended, wait):
                    return
            if wait is None:
                self._taken(self.name, alert_id)

    def _try(self, alert_id: str, content: bytes) -> float | None:
        """Post once; seconds to wait before the next try, None when it was taken."""
        try:
            answer = self._client.post(
                self._url.reveal(),
                content=content,
                headers={**self._headers, "idempotency-key": alert_id},
            )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return self._failed(type(error).__name__, 0.0)
        if answer.is_success:
            self.failures, self.last_error = 0, ""
            self.posted += 1
            return None
        asked = answer.headers.get(_RETRY_AFTER, "")
        return self._failed(
            f"it says {answer.status_code}", float(asked) if asked.isdecimal() else 0
        )

    def _failed(self, reason: str, asked_s: float) -> float:
        if not self.failures:
            log.warning("webhook %s: %s; asks again", self.name, reason)
        self.failures += 1
        self.last_error = reason
        s = self._settings
        wait = s.retry_first_s * 2.0 ** min(self.failures - 1, 30) * (0.5 + 0.5 * random.random())
        return min(s.retry_longest_s, max(wait, asked_s))

    def close(self) -> None:
        """End after the request that is on its way; what was not taken stays owed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(self._settings.timeout_s + 1)
        self._client.close()
