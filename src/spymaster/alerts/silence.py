"""A feed that has fallen silent: told by the machine's clock, for the feed's own stands still."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from spymaster.alerts.reading import Reading, lag_s
from spymaster.alerts.rule import Rule, Seen, alert
from spymaster.errors import SessionError
from spymaster.market.sessions import session, session_date_of
from spymaster.settings import Settings, UnderlierSettings

#: A bar that came so soon after its close is a live feed's, whose clock is also the machine's.
_LIVE_S = 3_600.0
_NS = 1_000_000_000


@dataclass
class Feed:
    """The newest bar of an underlier. `heard`: when it came, by the machine's clock, ns UTC."""

    end: int
    session_date: str
    instrument_type: str
    live: bool
    heard: int


class Silence:
    """Knows of each underlier when a bar came last, and whether one is due."""

    def __init__(self, rules: Iterable[Rule], settings: Settings, began: int) -> None:
        self._rules = list(rules)
        self._settings, self._began = settings, began
        self._feeds: dict[str, Feed] = {}
        self._given: dict[str, int] = {}
        self._told: dict[str, int] = {}  # the newest bar when an alert was given

    def hear(self, r: Reading, now: int) -> None:
        """A bar came. Whether its feed is live its message says, at any time alike."""
        feed = self._feeds.get(r.underlier)
        if feed is None or r.end >= feed.end:
            lag = lag_s(r.end, r.told_at)
            live = lag is not None and lag < _LIVE_S
            self._feeds[r.underlier] = Feed(r.end, r.session_date, r.instrument_type, live, now)

    def alerts(self, now: int) -> list[dict[str, Any]]:
        """What is to be told now; nothing is remembered of it until `given`."""
        found = []
        for rule in self._rules:
            for underlier, feed in self._feeds.items():
                if rule.settings.underlier not in ("", underlier):
                    continue
                due = self._due(underlier, feed, now)
                if due is None:
                    continue
                since, date = due
                seconds = (now - since) / _NS
                if seconds <= max(rule.settings.value, rule.settings.holds_s):
                    continue
                key = f"{rule.name}\0{underlier}"
                if not feed.live and self._told.get(key) == feed.end:
                    continue  # a replay's end: nobody need hear of it all night
                before = self._given.get(key)
                if before is not None and now - before < rule.settings.cool_down_s * _NS:
                    continue
                told = Reading(
                    underlier, "", underlier, feed.instrument_type, date, since, now, "", False, {}
                )
                found.append(alert(rule, told, Seen(since, seconds, None, None, 1), "wall"))
        return found

    def given(self, row: Mapping[str, Any]) -> None:
        """An alert was given: the cool-down begins."""
        key = f"{row['rule']}\0{row['subject']}"
        self._given[key] = row["at"]
        if row["subject"] in self._feeds:
            self._told[key] = self._feeds[row["subject"]].end

    def know(self, known: Mapping[str, Mapping[str, int]]) -> None:
        """Alerts that the table has: rule -> underlier -> time of the newest, ns UTC."""
        for rule in self._rules:
            for underlier, at in known.get(rule.name, {}).items():
                key = f"{rule.name}\0{underlier}"
                self._given[key] = max(at, self._given.get(key, at))

    def _due(self, name: str, feed: Feed, now: int) -> tuple[int, str] | None:
        """Since when a bar is due, and of which session; None where none is."""
        if name not in self._settings.underlier:
            return None
        market = self._settings.of(name)
        heard = max(feed.heard, self._began)
        if not feed.live:  # a replay: its own clock says whether it is in the middle of a session
            return (heard, feed.session_date) if _within(market, name, feed, feed.end) else None
        try:
            date = session_date_of(market, now)
            bars = session(market, name, date).bars
        except SessionError:
            return None
        return (max(heard, bars.start), date.isoformat()) if bars.contains(now) else None

    def to_json(self) -> dict[str, Any]:
        """The whole state."""
        feeds = {u: asdict(f) for u, f in self._feeds.items()}
        return {"feeds": feeds, "given": self._given, "told": self._told}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Go on where `to_json` left off; the time in between was ours, not the feed's."""
        self._feeds = {u: Feed(**f) for u, f in told["feeds"].items()}
        self._given, self._told = dict(told["given"]), dict(told.get("told", {}))


def _within(market: UnderlierSettings, name: str, feed: Feed, at: int) -> bool:
    try:
        return session(market, name, dt.date.fromisoformat(feed.session_date)).bars.contains(at)
    except SessionError:
        return False
