"""The ledger of looks: test sessions are asked rarely, each time in writing, and it costs.

Whoever asks the same sessions again and again will find something that passes. So the k-th look at
a session may use only alpha / (k (k + 1)) of the significance: 1/2, 1/6, 1/12 ... of alpha, which
add up to alpha however many looks there will be (spending: Lan & DeMets 1983; online testing:
Foster & Stine 2008; the union bound needs no independence). Earlier looks count when they share
any session with it, so no session ever gives more than alpha. Sessions that nobody has looked at
start anew.

What a refusal tells may still guide the next challenger (Dwork et al. 2015): a look costs, it is
not free of harm. New sessions are the cure.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.lake.lineage import code_version
from spymaster.ml.check import Check, failed
from spymaster.ml.dataset import Dataset

LOOKS = "gold.test_looks"


def alpha_of(look: int, alpha: float) -> float:
    """What the `look`-th look (from 1) may use of `alpha`.

    >>> [round(alpha_of(k, 0.06), 4) for k in (1, 2, 3)]
    [0.03, 0.01, 0.005]
    """
    return alpha / (look * (look + 1))


@dataclass
class Look:
    """One look at test sessions, begun. `end` writes what it found; then it may be shown."""

    row: dict[str, Any]
    checks: tuple[Check, ...] = field(default=())

    @property
    def look_id(self) -> str:
        return str(self.row["look_id"])

    @property
    def number(self) -> int:
        return int(self.row["look"])

    @property
    def alpha(self) -> float:
        return float(self.row["alpha"])


@contextmanager
def look(
    lake: Lake,
    data: Dataset,
    *,
    purpose: str,
    challenger: str,
    champion: str | None,
    metric: str,
    alpha: float,
    now: int,
) -> Iterator[Look]:
    """Look at the test sessions `data`: written before the block runs, and again as it ends.

    Put the checks into `checks` within the block; a look without any decides nothing, and costs as
    much. What breaks off stays `begun`, and counts. Raises ModelError when two begin at once.
    """
    sessions = [day.isoformat() for day in data.sessions]
    before = looks(lake, data.model_id)
    number = 1 + len(overlapping(before, sessions))
    begun = Look(
        {
            "look_id": uuid.uuid4().hex,
            "event": "begun",
            "at": now,
            "model_id": data.model_id,
            "purpose": purpose,
            "challenger": challenger,
            "champion": champion,
            "run_date": data.run_date,
            "checksum": data.checksum,
            "sessions": sessions,
            "episodes": len(set(data.episode.tolist())),
            "metric": metric,
            "look": number,
            "alpha": alpha_of(number, alpha),
            "verdict": None,
            "findings": None,
            "reasons": [],
            "code_version": code_version(),
        }
    )
    # Where a lease has no locks (an object store), only one of two at a time is written.
    if not lake.append_rows(LOOKS, [begun.row], (data.model_id, 1 + len(before))).written:
        raise ModelError(
            f"{data.model_id}: somebody else began a look at this moment; nothing was looked at. "
            "Run the command again when it has ended."
        )
    yield begun
    lake.append_rows(LOOKS, [_ended(begun)])


def overlapping(
    looks: Sequence[Mapping[str, Any]], sessions: Sequence[str]
) -> list[Mapping[str, Any]]:
    """The looks that share a session with these.

    >>> made = [{"sessions": ["2024-01-02", "2024-01-03"]}, {"sessions": ["2024-01-04"]}]
    >>> len(overlapping(made, ["2024-01-03", "2024-01-08"]))
    1
    """
    asked = set(sessions)
    return [row for row in looks if asked & set(row["sessions"])]


def looks(lake: Lake, model_id: str) -> list[dict[str, Any]]:
    """Every look for a model, by time; its verdict is null where it broke off."""
    rows = lake.scan(LOOKS, filters={"model_id": model_id}, missing_ok=True).to_pylist()
    ended = {r["look_id"]: r for r in rows if r["event"] == "ended"}
    begun = [r for r in rows if r["event"] == "begun"]
    return sorted((ended.get(r["look_id"], r) for r in begun), key=lambda r: int(r["at"]))


def day_of(row: dict[str, Any]) -> str:
    """When a look was, as a person reads it."""
    return f"{dt.datetime.fromtimestamp(row['at'] // 1_000_000_000, dt.UTC):%Y-%m-%d %H:%M}Z"


def _ended(made: Look) -> dict[str, Any]:
    wrong = failed(made.checks)
    return {
        **made.row,
        "event": "ended",
        "verdict": "seen" if not made.checks else "refused" if wrong else "passed",
        "findings": json.dumps({c.name: {"passed": c.passed, **c.facts} for c in made.checks}),
        "reasons": [f"{c.name}: {c.told}" for c in wrong],
    }
