"""A session's messages as the engine and the scoring loop publish them, made by a formula."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from spymaster.bus import Bus, open_bus, partition_of
from spymaster.contracts.event import BAR_NS
from spymaster.contracts.gold import FEATURE_SERIES, LABELS, SETUP_VECTORS
from spymaster.contracts.scores import SCORE, SCORE_ERROR
from spymaster.contracts.silver import ORDERBOOK_STATE, OUTCOMES, SESSION_LEVELS
from spymaster.market.clock import instant
from spymaster.settings import Settings

DATE = dt.date(2024, 1, 9)
TICK = 0.25
Row = dict[str, Any]
#: topic, kind of message, row
Told = tuple[str, str, Row]


def names(count: int) -> list[str]:
    """Contracts of one underlier, quarter by quarter."""
    return [f"ES.FUT.{2024 + i // 4}{3 * (i % 4) + 3:02d}" for i in range(count)]


class Market:
    """Bars of some contracts, one after the other; the first is the busiest."""

    def __init__(
        self,
        contracts: Sequence[str],
        *,
        start: str = "08:30",
        seed: int = 1,
        date: dt.date = DATE,
        scored: bool = True,
        underlier: str = "ES",
    ) -> None:
        hours, minutes = map(int, start.split(":"))
        self.contracts, self.date, self.scored = contracts, date, scored
        self.underlier = underlier
        self.begin = instant(date, hours * 3600 + minutes * 60)
        self.bar = 0
        self._random = random.Random(seed)
        self._mid = {c: 4800.0 + 8 * i for i, c in enumerate(contracts)}
        self._close = dict(self._mid)
        self._open: dict[str, tuple[str, int, str]] = {}
        self._hashes: dict[str, list[tuple[str, int]]] = {}

    def _session(self) -> Row:
        return {
            "session_date": self.date.isoformat(),
            "underlier": self.underlier,
            "instrument_type": "FUT",
        }

    def levels(self) -> list[Told]:
        """What is known before the first bar."""
        found = []
        for c in self.contracts:
            for kind, away in (("PD_HIGH", 6.0), ("PD_LOW", -7.5), ("PD_CLOSE", 1.5)):
                row = {
                    "contract_id": c,
                    "level_type": kind,
                    "level_price": round((self._mid[c] + away) * 1e9),
                    "known_at": self.begin - 3600 * 10**9,
                    **self._session(),
                }
                found.append(("features_gold", "level", filled(row, SESSION_LEVELS.names)))
        return found

    def next(self) -> list[Told]:
        """The messages of the next bar, of every contract."""
        start = self.begin + self.bar * BAR_NS
        found = [m for i, c in enumerate(self.contracts) for m in self._contract(i, c, start)]
        self.bar += 1
        return found

    def bars(self, count: int) -> Iterator[Told]:
        """The messages of so many bars."""
        for _ in range(count):
            yield from self.next()

    def _contract(self, place: int, c: str, start: int) -> list[Told]:
        r = self._random
        spike = r.random() < 0.004
        before = self._close[c]
        path = [before + round(r.gauss(0, 1.1 + 6 * spike)) * TICK for _ in range(5)]
        mid = path[-1] + TICK / 2
        self._mid[c], self._close[c] = mid, path[-1]
        volume = max(1, round(r.expovariate(1 / (90 / (place + 1)))))
        buys = round(volume * min(1.0, max(0.0, r.gauss(0.5, 0.18))))
        wave = math.sin(self.bar / 180)
        ofi = round(r.gauss(20 * wave, 60) * (9 if spike else 1))
        depth = 900 + round(200 * wave) + r.randrange(120)
        empty = r.random() < 0.003
        deep = depth // (6 if empty else 1)
        size = self._session()
        bar = {"contract_id": c, "bar_start": start, "bar_end": start + BAR_NS}
        series = {
            **bar, "open": path[0], "high": max(path), "low": min(path), "close": path[-1],
            "volume": volume, "buy_volume": buys, "sell_volume": volume - buys,
            "n_trades": max(1, volume // 3), "vwap": sum(path) / 5, "mid": mid, "spread": TICK,
            "bid_px": mid - TICK / 2, "ask_px": mid + TICK / 2,
            "microprice": mid + r.gauss(0, 0.05),
            "imbalance_1": r.uniform(-0.9, 0.9),
            "imbalance_10": max(-1, min(1, r.gauss(wave / 3, 0.2))),
            "bid_depth_10": deep, "ask_depth_10": deep + r.randrange(60), "ofi": ofi,
            "pressure": max(-1.0, min(1.0, ofi / 400 + r.gauss(0, 0.1))),
            "liquidity_vacuum": 1 - deep / 1000, "trade_imbalance": (2 * buys - volume) / volume,
            "realized_vol_72": 6 + 2 * wave + r.random(), "vpin": 0.3 + 0.1 * wave,
            "kyle_lambda": 0.002 + 0.001 * wave, "n_events": 40 * volume, "n_unknown": 0,
            "n_crossed": 0, "book_drift": 0, "valid": True, **size,
        }  # fmt: skip
        found: list[Told] = [("features_gold", "series", filled(series, FEATURE_SERIES.names))]
        book: Row = {**bar, **size}
        for m in range(10):
            for side, sign in (("bid", -1), ("ask", 1)):
                rest = max(1, round((deep / 10) * (0.6 + 0.12 * m) * r.uniform(0.5, 1.5)))
                wall = round(mid + sign * (m + 0.5) * TICK) % 5 == 0
                book[f"{side}_px_{m:02d}"] = mid + sign * (m + 0.5) * TICK
                book[f"{side}_sz_{m:02d}"] = rest * (3 if wall else 1)
                book[f"{side}_ct_{m:02d}"] = max(1, rest // 9)
        found.append(("features_gold", "book", filled(book, ORDERBOOK_STATE.names)))
        if place == 0 and self.scored:
            found += self._episode(c, start + BAR_NS)
        return found

    def _episode(self, c: str, close: int) -> list[Told]:
        """An episode of a minute or two, every three minutes; the last of a dozen is given up."""
        r, phase, number = self._random, self.bar % 36, self.bar // 36
        found: list[Told] = []
        name = f"{number:032x}"
        if phase < 20:
            hash_ = f"{self.bar:032x}"
            self._hashes.setdefault(name, []).append((hash_, close))
            vector = {
                "vector_time": close, "model_id": "ES_MODEL", "contract_id": c, "episode_id": name,
                "lookback_spec": "{}", "feature_vector": [0.0, 1.0], "feature_hash": hash_,
                "data_version": "0", "level_price": round(self._mid[c] * 4) * 250_000_000,
                "level_types": ["PD_HIGH"], "touch_ticks": 4, "barrier_ticks": 24,
                "direction": "FROM_BELOW" if number % 2 else "FROM_ABOVE", **self._session(),
            }  # fmt: skip
            if phase == 0:
                self._open[name] = (name, vector["level_price"], vector["direction"])
            vector["level_price"], vector["direction"] = self._open[name][1:]
            found.append(("features_gold", "vector", filled(vector, SETUP_VECTORS.names)))
            found.append(self._score(vector, close, 0.2 + 0.5 * r.random(), number))
        if phase == 20:
            label = OUTCOMES[(number * 7) % 3]
            for hash_, at in self._hashes.pop(name, []):
                row = {"feature_hash": hash_, "contract_id": c, "episode_id": name,
                       "vector_time": at, "label": label, "known_at": close,
                       **self._session()}  # fmt: skip
                found.append(("features_gold", "outcome", filled(row, LABELS.names)))
        return found

    def _score(self, vector: Mapping[str, Any], close: int, p: float, number: int) -> Told:
        row = {**{k: vector[k] for k in ("vector_time", "model_id", "contract_id", "episode_id",
                                         "feature_hash")}, **self._session(),
               "role": "champion"}  # fmt: skip
        if number % 12 == 11:
            error = {**row, "reason": "422 column 3: no number", "failed_at": close + 10**9,
                     "attempts": 3, "endpoint": "http://127.0.0.1:8700"}  # fmt: skip
            return ("inference_errors", "", filled(error, SCORE_ERROR.names))
        rest = 1 - p
        score = {
            **row, "model_version": "7", "p_break": rest * 0.6, "p_reject": p, "p_chop": rest * 0.4,
            "prediction": "REJECT" if p > rest * 0.6 else "BREAK", "scored_at": close + 120 * 10**6,
            "latency_ms": 2.0 + 4 * self._random.random(), "endpoint": "http://127.0.0.1:8700",
        }  # fmt: skip
        return ("inference_scores", "", filled(score, SCORE.names))


def filled(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    """A row in a table's columns; a column that the row should have and has not is an error."""
    absent = set(columns) - set(row) - {"label"}
    assert not absent, absent
    return {name: row.get(name) for name in columns}


class Publisher:
    """Publishes on the topics of a root, as the engine does."""

    def __init__(self, settings: Settings) -> None:
        self.bus: Bus = open_bus(settings)
        for topic in ("features_gold", "inference_scores", "inference_errors"):
            self.bus.create(topic, settings.bus.partitions)
        self._partitions, self._raw = settings.bus.partitions, False
        self._producer = self.bus.producer("test")

    def publish(self, told: Sequence[Told] | Iterator[Told]) -> None:
        """All of it can be read when this returns."""
        for topic, kind, row in told:
            self._producer.publish(
                topic,
                orjson.dumps(row),
                partition=partition_of(row["contract_id"], self._partitions),
                key=row["contract_id"],
                headers={"kind": kind} if kind else {},
            )
        self._producer.flush()

    def publish_raw(self, kind: str, value: object) -> None:
        """A message on features_gold, whatever it says."""
        kinds = {"kind": kind}
        self._producer.publish("features_gold", orjson.dumps(value), partition=0, headers=kinds)
        self._producer.flush()

    def records(self) -> None:
        """A message on the feed's own topic, which the page does not read."""
        if not self._raw:
            self.bus.create("mbo_raw", self._partitions)
            self._raw = True
        self._producer.publish("mbo_raw", b"{}", partition=0, headers={"kind": "mark"})
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()
        self.bus.close()


def at(root: Path | str) -> Settings:
    """Settings of a root."""
    return Settings.load(root=str(root))
