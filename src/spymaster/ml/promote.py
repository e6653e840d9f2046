"""Promotion: a challenger goes through the gate, and only then is it champion; and the way back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spymaster.engines.lease import Lease
from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.ml.baseline import Baseline, Prior
from spymaster.ml.champions import Champions
from spymaster.ml.check import Check, failed
from spymaster.ml.dataset import Dataset, load
from spymaster.ml.gate import METRIC, Rows, enough, gate
from spymaster.ml.live_checks import contract_check, latency_check, parity_check
from spymaster.ml.looks import look
from spymaster.ml.model import Scorer
from spymaster.ml.registry import CHALLENGER, CHAMPION, Registry, seen_until
from spymaster.ml.split_file import load_split
from spymaster.settings import Settings
from spymaster.stages.feature_contract import contract_of

Clock = Callable[[], int]


@dataclass(frozen=True)
class Verdict:
    """What came of a promotion. `look` is 0 when the test sessions were not looked at."""

    model_id: str
    version: str
    before: str | None  #: the champion until now
    checks: tuple[Check, ...]
    sessions: tuple[dt.date, ...]  #: test sessions
    look: int
    alpha: float

    @property
    def promoted(self) -> bool:
        return not failed(self.checks)

    def refusal(self) -> str:
        """One sentence with every check that failed and by how much."""
        wrong = failed(self.checks)
        spent = (
            f"It was look {self.look} at test sessions"
            if self.look
            else "The test sessions were not looked at: that cost nothing"
        )
        return (
            f"{self.model_id} version {self.version} is not promoted: {len(wrong)} of "
            f"{len(self.checks)} checks failed: "
            f"{'; '.join(f'{c.name} ({c.told})' for c in wrong)}. {spent}."
        )


def promote(
    settings: Settings,
    model_id: str,
    now: Clock,
    *,
    version: str | None = None,
    run_date: dt.date | None = None,
) -> Verdict:
    """Put a version through the gate, and make it champion if every check passes.

    `version`: registered already; by default the model that was swept last, which is registered.
    `run_date`: a later snapshot than the model's own, for test sessions that came since. The
    version is alias `challenger` from here on, also when it is refused.

    First what needs no test session; a challenger that fails there is not shown any, so that no
    significance is spent on it. Raises ModelError when there is nothing to judge, LakeError when
    another promotion of the model is at work.
    """
    contract = contract_of(settings, model_id)
    lake = Lake(settings.root)
    lake.check_exists()
    with _lease(lake, model_id, now) as lease:
        lease.swept()  # a killed one left no files: its look counts, its change is settled
        registry = Registry(settings, model_id)
        champions = _champions(lake, registry)
        champion = champions.settle(now())
        number = version or registry.register(registry.newest_run()).number
        if registry.version(number).number == champion:
            raise ModelError(
                f"{model_id}: version {number} is champion already. Name another with --version, "
                "or sweep anew."
            )
        scorer = registry.scorer(number)
        registry.point(CHALLENGER, number)
        rival = registry.scorer(champion) if champion is not None else None
        contest = _contest(settings, scorer, rival, run_date)
        live = contract.hash
        before_look = (
            contract_check(scorer.feature_contract, contest.test.feature_contract, live),
            parity_check(
                lake, contract.underliers, live, contest.sessions, settings.ml.gate.parity_sessions
            ),
            latency_check(scorer, contest.seen.features, settings.ml.gate),
            enough(Rows.of(contest.test), settings.ml.gate),
        )
        days = contest.test.sessions
        if failed(before_look):
            return Verdict(model_id, number, champion, before_look, days, 0, 0.0)
        with look(
            lake,
            contest.test,
            purpose="gate",
            challenger=number,
            champion=champion,
            metric=METRIC,
            alpha=settings.ml.gate.alpha,
            now=now(),
        ) as taken:
            others = contest.others(champion, rival)
            own = scorer.probabilities(contest.test.features)
            rows = Rows.of(contest.test)
            judged = gate(own, others, rows, settings.ml.gate, taken.alpha)
            checks = (*before_look[:-1], *judged)
            taken.checks = checks
        if not failed(checks):
            reason = f"passed the gate by look {taken.number} at {len(days)} test sessions"
            champions.promote(number, taken.look_id, reason, now())
        return Verdict(model_id, number, champion, checks, days, taken.number, taken.alpha)


def roll_back(settings: Settings, model_id: str, reason: str, now: Clock) -> tuple[str, str]:
    """Make the champion before champion again: (champion now, champion until now).

    Raises ModelError without a reason or when there was none before.
    """
    contract_of(settings, model_id)  # names the models there are
    if not reason.strip():
        raise ModelError("a rollback needs a reason; those who come later will ask. Add --reason")
    lake = Lake(settings.root)
    with _lease(lake, model_id, now) as lease:
        lease.swept()  # a killed one left no files: its look counts, its change is settled
        return _champions(lake, Registry(settings, model_id)).roll_back(reason.strip(), now())


def _champions(lake: Lake, registry: Registry) -> Champions:
    return Champions(
        lake,
        registry.model_id,
        get=lambda: registry.alias(CHAMPION),
        put=lambda number: registry.point(CHAMPION, number),
    )


def _lease(lake: Lake, model_id: str, now: Clock) -> Lease:
    return Lease(lake.place, uuid.uuid4().hex, now, f"promotion/{model_id}")


@dataclass(frozen=True)
class _Contest:
    """What is judged on which rows."""

    seen: Dataset  #: of the challenger's snapshot, what it could have seen
    test: Dataset  #: sessions later than anything either has seen
    sessions: tuple[dt.date, ...]  #: of the snapshot that is judged by

    def others(self, champion: str | None, rival: Scorer | None) -> dict[str, NDArray[np.float64]]:
        """The probabilities to beat, by name.

        Prior and baseline have learnt from all that the challenger has, validation too. A champion
        of another feature contract cannot answer live vectors either: there is none to beat.
        """
        found = {
            "the prior": Prior.fit(self.seen).probabilities(self.test),
            "the baseline": Baseline.fit(self.seen).probabilities(self.test),
        }
        if rival is not None and rival.feature_contract == self.test.feature_contract:
            found[f"champion {champion}"] = rival.probabilities(self.test.features)
        return found


def _contest(
    settings: Settings, scorer: Scorer, rival: Scorer | None, run_date: dt.date | None
) -> _Contest:
    own = snapshot_of(settings.root, scorer)
    data = own
    if run_date is not None and run_date != own.run_date:
        data = load(settings.root, scorer.model_id, run_date)
    seen = seen_until(scorer)
    last = max(seen, seen_until(rival)) if rival is not None else seen
    later = [day for day in data.sessions if day > last]
    kept = load_split(settings.root, scorer.model_id, own.run_date).test
    own_test = data is own and last == seen
    test = kept if own_test else later[settings.ml.split.embargo :]
    return _Contest(
        seen=own.of(tuple(day for day in own.sessions if day <= seen)),
        test=data.of(tuple(test)),
        sessions=data.sessions,
    )


def snapshot_of(root: str | Path, scorer: Scorer) -> Dataset:
    """The snapshot that a model was made of, verified."""
    card = scorer.model.card
    found = load(root, scorer.model_id, dt.date.fromisoformat(card["run_date"]))
    if found.checksum != card["snapshot"]:
        raise ModelError(
            f"{scorer.model_id} version {scorer.version}: was made of the snapshot "
            f"{card['snapshot']}, and under run date {card['run_date']} lies {found.checksum}. "
            "Restore the snapshot, or sweep on this one."
        )
    return found
