"""Several sessions at a time: first what each must know of those before it, then all of them.

A session depends on earlier ones only through their summaries. A light pass over the trades makes
these first; from then on every session can be made on its own, in any order, by any worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from spymaster.engines.job import Job, Made
from spymaster.engines.ledger import CONTRACT_DAY, SUMMARY, Ledger
from spymaster.engines.plan import Planner, Step
from spymaster.engines.session_stages import contract_day
from spymaster.engines.workers import Workers
from spymaster.errors import SessionError
from spymaster.market.sessions import Session


@dataclass(frozen=True)
class Hands:
    """What the engine does for the parallel run: it alone writes the lake."""

    job: Callable[[Session], Job]
    show: Callable[[Job, Made], None]
    failed: Callable[[Job, Exception], None]
    current: Callable[[Step], None]


class Maker(Protocol):
    """Makes several sessions at a time."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Made]]: ...


def run_parallel(
    planner: Planner,
    wanted: Sequence[tuple[Session, bool]],
    workers: Workers,
    hands: Hands,
) -> None:
    """Make the wanted sessions (and whether by force) that are not current; equal to one by one."""
    for job, made in workers.run(prepared(planner, wanted, workers, hands)):
        agree(job, made, planner.ledger)
        hands.show(job, made)


def prepared(
    planner: Planner,
    wanted: Sequence[tuple[Session, bool]],
    workers: Maker,
    hands: Hands,
) -> list[Job]:
    """The sessions to make, each knowing what it must of those before: the light pass is done."""
    steps = [(s, forced, planner.step(s)) for s, forced in wanted]
    stale = [s for s, forced, step in steps if forced or step.state != "current"]
    broken = _light_pass([hands.job(s) for s in stale], planner.ledger, workers, hands)
    jobs = []
    taken: set[str] = set()
    for s, forced in wanted:
        job = hands.job(s)
        assert job.inputs is not None
        if job.name in broken:
            continue
        summaries = planner.ledger.rows(SUMMARY, s)
        days = [
            {**contract_day(r["contract_id"], job.inputs.earlier), **_keys(r)} for r in summaries
        ]
        planner.ledger.note(s, {CONTRACT_DAY: days})
        step = planner.step(s)
        if step.state == "current" and not forced:
            hands.current(step)
            continue
        landed = {r["path"] for _, rows in job.days for r in rows if r["status"] == "landed"}
        jobs.append(replace(job, seen=tuple(sorted(landed & taken))))
        taken |= landed
    return jobs


def _light_pass(jobs: Sequence[Job], ledger: Ledger, workers: Maker, hands: Hands) -> set[str]:
    """Summaries of these sessions into the ledger; the names of those that failed."""
    broken = set()
    seen = tuple(sorted({r["path"] for j in jobs for _, rows in j.days for r in rows}))
    for job, made in workers.run([replace(j, layers=(), seen=seen) for j in jobs]):
        if made.session is None:
            broken.add(job.name)
            hands.failed(job, made.error or SessionError("nothing was made"))
        else:
            ledger.note(made.session.inputs.session, made.session.small)
    return broken


def _keys(row: dict[str, object]) -> dict[str, object]:
    return {k: row[k] for k in ("session_date", "underlier", "instrument_type")}


def agree(job: Job, made: Made, ledger: Ledger) -> None:
    """What the light pass said of a session is what the whole of it says; else it fails."""
    if made.session is None:
        return
    s = made.session.inputs.session
    for table, rows in made.session.small.items():
        told = [r for r in rows if r["instrument_type"] != "OPT"]
        if _sorted(told) != _sorted(ledger.rows(table, s)):
            made.error = SessionError(
                f"{table} of {job.name} is not what the light pass found; later sessions would "
                "know something else of it. This is a defect of Spymaster: run with --jobs 1"
            )


def _sorted(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(rows, key=lambda r: str(r["contract_id"]))
