"""Duration, cool-down, gaps and sessions of one rule, against a slow twin; what it remembers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.alerts.memory import Memory
from spymaster.alerts.reading import Reading, lag_s
from spymaster.alerts.rule import Rule
from spymaster.contracts.event import BAR_NS
from spymaster.errors import ContractError
from spymaster.settings import RuleSettings, Settings
from tests.alerts import oracle

OPEN = 1_704_724_200_000_000_000  # 2024-01-08 09:30 in New York


def bar(n: int, value: float | None, date: str = "2024-01-08", **more: Any) -> Reading:
    """A bar of ES whose `ofi` is `value`; n counts bars from the open."""
    start = OPEN + n * BAR_NS
    end = start + BAR_NS
    told = {"contract_id": "ES.FUT.202403", "underlier": "ES", "instrument_type": "FUT", **more}
    return Reading(
        told["contract_id"], told["contract_id"], told["underlier"], told["instrument_type"],
        date, start, end, str(end), True, {"ofi": value}, end,
    )  # fmt: skip


#: What a bar has: the step to it (2: one is missing), its value, whether a session begins with it.
BARS = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 1, 2, 5]),
        st.one_of(st.none(), st.integers(-3, 9).map(float)),
        st.sampled_from([False] * 9 + [True]),
    ),
    max_size=60,
)
RULES = st.builds(
    RuleSettings,
    what=st.just("ofi"),
    condition=st.sampled_from(["above", "below", "anomaly"]),
    value=st.integers(0, 5).map(float),
    threshold=st.sampled_from([0.5, 1.5]),
    seasonality=st.integers(0, 3),
    trend=st.sampled_from(["avg", "linefit", "none"]),
    direction=st.sampled_from(["both", "up", "down"]),
    window=st.integers(5, 12),
    least=st.integers(1, 5),
    bars=st.integers(1, 4),
    holds_s=st.sampled_from([0.0, 12.0]),
    cool_down_s=st.sampled_from([0.0, 15.0, 40.0]),
)


def readings_of(bars: list[tuple[int, float | None, bool]]) -> list[Reading]:
    made, n, day = [], 0, 8
    for step, value, begins in bars:
        day += begins
        n += step
        made.append(bar(n, value, f"2024-01-{day:02}"))
    return made


@settings(max_examples=200, deadline=None)
@given(RULES, BARS, st.sets(st.integers(0, 60), max_size=4))
def test_alerts_are_those_of_the_slow_twin_also_when_taken_up_between(
    rule: RuleSettings, bars: list[tuple[int, float | None, bool]], restarts: set[int]
) -> None:
    readings = readings_of(bars)
    memory = Memory([Rule("r", rule)])
    found = []
    for k, reading in enumerate(readings):
        if k in restarts:
            told = json.loads(json.dumps(memory.to_json()))
            memory = Memory([Rule("r", rule)])
            memory.restore(told)
        found += memory.see(reading)
        assert memory.see(reading) == []  # a stream that was killed tells its last bars again
    names = ("at", "began_at", "times")
    assert [{n: a[n] for n in names} for a in found] == oracle.alerts(rule, readings)


def test_a_condition_that_goes_on_is_told_again_after_each_cool_down() -> None:
    memory = Memory([Rule("r", RuleSettings(what="ofi", value=1, bars=3, cool_down_s=50))])
    given = [memory.see(bar(n, 5.0)) for n in range(40)]
    at = [n for n, rows in enumerate(given) if rows]
    assert at == [2, 12, 22, 32]
    last = given[32][0]
    assert (last["began_at"], last["times"], last["value"]) == (OPEN, 33, 5.0)
    assert (last["condition"], last["score"], last["clock"]) == ("above 1", None, "feed")


def test_an_anomaly_tells_its_score_and_what_was_expected() -> None:
    rule = RuleSettings(what="ofi", condition="anomaly", threshold=3, least=20, direction="up")
    memory = Memory([Rule("r", rule)])
    rows = [memory.see(bar(n, float(n % 7))) for n in range(60)]
    rows += [memory.see(bar(60, -300.0)), memory.see(bar(61, 300.0))]
    assert [bool(r) for r in rows] == [False] * 61 + [True]
    (told,) = rows[-1]
    assert told["score"] > 100
    assert -10 < told["baseline"] < 10
    assert told["condition"] == "anomaly up beyond 3 in 720 bars, avg"


@pytest.mark.parametrize(
    ("only", "heard"),
    [
        ({}, {"ES.FUT.202403", "NQ.FUT.202403"}),
        ({"underlier": "ES"}, {"ES.FUT.202403"}),
        ({"contract": "NQ.*"}, {"NQ.FUT.202403"}),
        ({"contract": "*.202403", "instrument_types": "OPT"}, {"ES.OPT.202403"}),
    ],
)
def test_a_rule_watches_only_what_it_is_for(only: dict[str, Any], heard: set[str]) -> None:
    memory = Memory([Rule("r", RuleSettings(what="ofi", **only))])
    found = []
    for name in ("ES.FUT.202403", "NQ.FUT.202403", "ES.OPT.202403"):
        root, kind, _ = name.split(".")
        found += memory.see(bar(1, 5.0, contract_id=name, underlier=root, instrument_type=kind))
    assert {a["subject"] for a in found} == heard


def test_a_rule_that_was_changed_begins_with_nothing_and_others_go_on() -> None:
    def memory_of(value: float) -> Memory:
        return Memory(
            [
                Rule("changed", RuleSettings(what="ofi", value=value, bars=3)),
                Rule("same", RuleSettings(what="ofi", value=1, bars=3)),
            ]
        )

    first, second = memory_of(1), memory_of(2)
    for n in (0, 1):
        first.see(bar(n, 5.0))
    second.restore(json.loads(json.dumps(first.to_json())))
    assert [a["rule"] for a in second.see(bar(2, 5.0))] == ["same"]


def test_two_messages_of_one_time_are_one_alert_also_without_a_cool_down() -> None:
    rule = RuleSettings(what="score_errors", value=0, cool_down_s=0)
    memory = Memory([Rule("r", rule)])

    def error(n: int, name: str) -> Reading:
        return replace(bar(n, None), identity=name, is_bar=False, figures={"score_errors": 1.0})

    found = [memory.see(error(n, name)) for n, name in ((0, "a"), (0, "b"), (1, "c"))]
    assert [[(row["at"], row["value"]) for row in rows] for rows in found] == [
        [(bar(0, None).end, 1.0)], [], [(bar(1, None).end, 3.0)],
    ]  # fmt: skip


def test_a_contract_is_forgotten_with_its_session() -> None:
    """Contracts come and go for years."""
    memory = Memory([Rule("r", RuleSettings(what="ofi", value=1))])
    day = 17_280
    for n in range(6):
        name, date = f"ES.FUT.{n}", f"2024-01-{8 + n:02}"
        assert memory.see(bar(n * day, 5.0, date, contract_id=name))
        memory.see(bar(n * day, 0.0, date, contract_id="ES.FUT.always"))
        memory.forget()
        memory.restore(json.loads(json.dumps(memory.to_json())))
    assert set(memory.to_json()["last"]) == {"ES.FUT.4", "ES.FUT.5", "ES.FUT.always"}
    assert memory.see(bar(5 * day, 5.0, "2024-01-13", contract_id="ES.FUT.5")) == []


HOUR = 720  #: bars


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=30),
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 30)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_who_is_forgotten_is_the_same_however_partitions_are_read(
    one: list[tuple[str, int]], two: list[tuple[str, int]], r: Any
) -> None:
    """Subjects of two partitions: whatever the order between those, and wherever it was ended."""
    rule = Rule("r", RuleSettings(what="ofi", value=1, cool_down_s=10 * 86_400))
    lanes: list[list[Reading]] = []
    for partition, steps in enumerate((one, two)):
        n, lane = 0, []
        for subject, hours in steps:
            n += 1 + hours * HOUR
            lane.append(replace(bar(n, 5.0, contract_id=subject), partition=partition))
        lanes.append(lane)

    def run(order: list[int], restarts: bool) -> tuple[list[Any], Any]:
        memory, found, at = Memory([rule]), [], [0, 0]
        for p in order:
            found += memory.see(lanes[p][at[p]])
            at[p] += 1
            if restarts and r.random() < 0.2:
                memory.forget()
                told = json.loads(json.dumps(memory.to_json()))
                memory = Memory([rule])
                memory.restore(told)
        kept = memory.to_json()
        assert kept["last"].keys() == kept["watches"]["r"]["of"].keys()
        return sorted((a["subject"], a["at"]) for a in found), sorted(kept["last"])

    plain = [0] * len(one) + [1] * len(two)
    mixed = list(plain)
    r.shuffle(mixed)
    assert run(plain, False) == run(mixed, True)


def test_a_subject_is_let_go_of_after_a_day_of_the_feeds_time() -> None:
    memory = Memory([Rule("r", RuleSettings(what="ofi", value=1, cool_down_s=7 * 86_400))])
    assert memory.see(bar(0, 5.0, contract_id="gone"))
    assert memory.see(bar(1, 5.0, contract_id="stays"))
    for n in range(HOUR, 25 * HOUR + 1, HOUR):
        assert memory.see(bar(n, 0.0, contract_id="stays")) == []
    kept = memory.to_json()
    assert set(kept["last"]) == set(kept["watches"]["r"]["of"]) == {"stays"}
    assert memory.see(bar(26 * HOUR, 5.0, contract_id="stays")) == [], "its cool-down goes on"
    assert memory.see(bar(26 * HOUR, 5.0, contract_id="gone")), "it begins with nothing"


def test_a_replays_bars_have_no_lag() -> None:
    assert lag_s(OPEN, OPEN + 2_500_000_000) == 2.5
    assert lag_s(OPEN, OPEN + 10**18) is None
    assert lag_s(OPEN, OPEN - 10**12) is None


@pytest.mark.parametrize(
    ("alerts", "told"),
    [
        ({"rule": {"a": {"what": "ofy"}}}, "alerts.rule.a.what"),
        ({"rule": {"a": {"what": "ofi", "to": ["pager"]}}}, "there are: log"),
        ({"rule": {"a": {"what": "latency_ms", "condition": "anomaly"}}}, "needs one"),
        ({"rule": {"a": {"what": "stale_s", "bars": 3}}}, "can only be above a value"),
        ({"rule": {"a": {"what": "ofi", "bars": 0}}}, "alerts.rule.a.bars"),
        ({"webhook": {"desk": {}}}, "needs url, or url_variable"),
        ({"webhook": {"log": {"url": "http://a"}}}, "which is the log's name"),
        ({"webhook": {"desk": {"url": "http://user:pw@host"}}}, "without user and password"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_the_settings(
    alerts: dict[str, Any], told: str
) -> None:
    with pytest.raises(ContractError) as caught:
        Settings.load(alerts=alerts)
    assert told in str(caught.value)


def test_a_default_rule_is_changed_by_one_line() -> None:
    loaded = Settings.load(alerts={"rule": {"ofi_spike": {"enabled": False}}})
    assert not loaded.alerts.rule["ofi_spike"].enabled
    assert loaded.alerts.rule["ofi_spike"].condition == "anomaly"
    assert len(loaded.alerts.rule) == 7


def test_a_bar_that_says_it_ends_long_after_its_message_makes_nothing_forgotten() -> None:
    memory = Memory([Rule("r", RuleSettings(what="ofi", value=1, cool_down_s=7 * 86_400))])
    assert memory.see(bar(0, 5.0))
    far = replace(bar(30 * 24 * HOUR, 0.0, contract_id="stray"), told_at=bar(1, 0.0).end)
    memory.see(far)
    assert memory.see(bar(2, 5.0)) == [], "its cool-down goes on"
