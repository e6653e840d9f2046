"""Law 2, chunk invariance: cuts, clock marks, and saving the state change no bit of any row."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spymaster.stages.contract_session import ContractSession
from spymaster.stages.rows import Rows
from tests.comparison import EPISODES, Tables, difference
from tests.scenarios import Scenario, random_scenario, real_evening, walk_scenario
from tests.session_tables import SPEC, contract_day, new_session, tables_of

#: Where to cut (shares of the records), how far into the silence there a mark lies (None: no
#: mark), and whether the state goes through bytes.
Cut = tuple[float, float | None, bool]
CUTS = st.lists(st.tuples(st.floats(0, 1), st.none() | st.floats(0, 1), st.booleans()), max_size=30)


def whole(s: Scenario) -> Tables:
    """All records at once, then one mark."""
    session = new_session(s)
    return tables_of(session.advance(s.events) + session.close(s.last_mark))


def in_pieces(s: Scenario, cuts: list[Cut]) -> tuple[list[Rows], bytes]:
    """The same records cut into pieces; rows end to end, and the state at the end."""
    session, rows, at = new_session(s), [], 0
    recv, day = s.events["ts_recv"], contract_day(s)
    for share, mark, saved in sorted(cuts, key=lambda cut: cut[0]):
        i = round(share * len(s.events))
        rows += session.advance(s.events[at:i])
        at = i
        if mark is not None and 0 < i < len(s.events):
            # Legal: not before the last record's ts_recv, not after the next one's.
            rows += session.close(int(recv[i - 1] + round(mark * int(recv[i] - recv[i - 1]))))
        if saved:
            session = ContractSession.from_bytes(day, SPEC, session.to_bytes())
    rows += session.advance(s.events[at:]) + session.close(s.last_mark)
    return rows, session.to_bytes()


def count(tables: Tables) -> Counter[str]:
    n = Counter({table: len(rows) for table, rows in tables.items()})
    for e in tables.get(EPISODES, []):
        n[str(e["outcome"])] += 1
        n[str(e["direction"])] += 1
    return n


ALL = (
    "silver.bar_5s",
    "silver.orderbook_state",
    "silver.mbo_normalized",
    "silver.level_book",
    "silver.feature_primitives",
    "silver.session_levels",
    "silver.level_approach_2m",
    "gold.feature_series",
    "gold.setup_vectors",
    "gold.labels",
)
OUTCOMES = ("BREAK", "REJECT", "CHOP", "None", "FROM_BELOW", "FROM_ABOVE")


def scenario(kind: str, seed: int) -> Scenario:
    if kind == "walk":
        return walk_scenario(seed, 400)
    venue, instrument = kind.split()
    return random_scenario(seed, venue, instrument, 300)


def test_rows_of_the_pieces_are_the_rows_of_the_whole_on_random_feeds() -> None:
    compared: Counter[str] = Counter()
    known: dict[tuple[str, int], Tables] = {}

    @settings(
        max_examples=70,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        st.sampled_from(("cme FUT", "nasdaq STK", "cme OPT", "walk", "walk")),
        st.integers(0, 7),
        CUTS,
    )
    def laid_end_to_end(kind: str, seed: int, cuts: list[Cut]) -> None:
        s = scenario(kind, seed)
        expected = known.setdefault((kind, seed), whole(s))
        rows, _ = in_pieces(s, cuts)
        found = tables_of(rows)
        assert found.keys() == expected.keys()
        assert unsorted_difference(found, expected) is None
        compared.update(count(expected))
        compared["cuts"] += len(cuts)
        compared["marks"] += sum(mark is not None for _, mark, _ in cuts)
        compared["saved states"] += sum(saved for _, _, saved in cuts)

    laid_end_to_end()
    print(dict(compared))
    assert not [x for x in (*ALL, *OUTCOMES, "cuts", "marks", "saved states") if not compared[x]]


def unsorted_difference(found: Tables, expected: Tables) -> str | None:
    """Like `difference`, but the order of rows counts as well."""

    def in_order(tables: Tables) -> Tables:
        return {f"{t}, in order": rows for t, rows in tables.items()}

    return difference(in_order(found), in_order(expected))


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_the_pieces_are_the_rows_of_the_whole_on_the_real_evening(seed: int) -> None:
    s = real_evening()
    rng = np.random.default_rng(seed)
    marks = [float(rng.random()) if rng.random() < 0.8 else None for _ in range(40)]
    cuts = [(float(rng.random()), mark, bool(rng.random() < 0.2)) for mark in marks]
    expected = whole(s)
    found = tables_of(in_pieces(s, cuts)[0])
    assert unsorted_difference(found, expected) is None
    compared = count(expected)
    print(dict(compared))
    assert compared["silver.bar_5s"] == 1440
    assert compared["silver.feature_primitives"] == 1440
    # Two levels from 18:10, four from 18:20 to 19:00.
    assert compared["silver.level_book"] == 2 * 600 + 2 * 480
    assert compared["gold.setup_vectors"] == compared["gold.labels"] == 75


def test_a_state_that_went_through_bytes_is_the_same_bytes() -> None:
    """Cut at the same places: whether the state was saved and loaded there shows nowhere."""
    states = 0
    for kind, seed in (("cme FUT", 1), ("nasdaq STK", 1), ("walk", 1)):
        s = scenario(kind, seed)
        rng = np.random.default_rng(seed)
        cuts = [(float(rng.random()), float(rng.random()), False) for _ in range(40)]
        _, kept = in_pieces(s, cuts)
        _, loaded = in_pieces(s, [(share, mark, True) for share, mark, _ in cuts])
        assert kept == loaded
        states += len(cuts)
    print(f"{states} states went through bytes")
    assert states == 120


def test_a_state_of_another_version_is_refused_with_what_to_do() -> None:
    s = walk_scenario(0, 50)
    data = bytearray(new_session(s).to_bytes())
    data[16] += 1
    with pytest.raises(ValueError, match="rebuild the state from its source"):
        ContractSession.from_bytes(contract_day(s), SPEC, bytes(data))
