"""What is tried next hangs on the seed and the rounds before, and on nothing else."""

from __future__ import annotations

import math

import pytest

from spymaster.ml.search import ROUND, STARTUP, Known, Proposal, propose


def loss(proposal: Proposal) -> float:
    """A made-up landscape with one best kind: LightGBM at a learning rate of 0.05."""
    if proposal.knobs["kind"] != "lightgbm":
        return 2.0
    return 1.0 + abs(math.log(proposal.knobs["learning_rate"] / 0.05))


def searched(seed: int, trials: int) -> list[Proposal]:
    made: list[Proposal] = []
    known: list[Known] = []
    for trial in range(trials):
        proposal = propose(seed, trial, known)
        made.append(proposal)
        known.append(Known(proposal.values, None if trial % 5 == 4 else loss(proposal)))
    return made


@pytest.fixture(scope="module")
def made() -> list[Proposal]:
    return searched(3, 28)


def test_a_search_is_the_beginning_of_every_longer_one(made: list[Proposal]) -> None:
    assert searched(3, 18) == made[:18]
    assert searched(4, 4) != made[:4]


def test_a_trial_sees_the_rounds_before_its_own_and_no_trial_of_it(made: list[Proposal]) -> None:
    trial = STARTUP + ROUND + 2
    known = [Known(p.values, loss(p)) for p in made[:trial]]
    late = [*known[: trial - 2], *(Known(p.values, 99.0) for p in made[trial - 2 : trial])]
    assert propose(3, trial, known) == propose(3, trial, late)
    other = [Known(p.values, -loss(p)) for p in made[:trial]]
    assert propose(3, trial, known) != propose(3, trial, other)


def test_every_kind_and_choice_comes_up_and_knobs_lie_where_they_may(made: list[Proposal]) -> None:
    assert {p.knobs["kind"] for p in made} == {"logistic", "histogram", "lightgbm"}
    for p in made:
        if p.knobs["kind"] == "logistic":
            assert 1e-3 <= p.knobs["alpha"] <= 10
        else:
            assert 0.02 <= p.knobs["learning_rate"] <= 0.2
            assert p.knobs["rounds"] in range(20, 151, 10)
            assert p.knobs["leaves"] in (4, 8, 16)
    assert len({p.fit_seed for p in made}) == len(made)


def test_the_search_learns_where_it_is_good(made: list[Proposal]) -> None:
    before, after = made[:STARTUP], made[STARTUP:]
    share = [
        sum(p.knobs["kind"] == "lightgbm" for p in part) / len(part) for part in (before, after)
    ]
    assert share[1] > max(0.5, share[0])
