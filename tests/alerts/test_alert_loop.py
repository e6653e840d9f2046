"""The loop of alerts before the real topic, lake and webhooks: each once, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spymaster.alerts.loop import Alerting, AlertLoop
from spymaster.alerts.reading import FIGURES, Reading, read
from spymaster.alerts.retire import retire
from spymaster.alerts.rule import rules_of
from spymaster.alerts.work import AlertWork
from spymaster.bus import open_bus
from spymaster.bus.interface import Message
from spymaster.contracts.alerts import ALERT
from spymaster.engines.epoch import newest_state
from spymaster.engines.stream.epoch_loop import EpochLoop
from spymaster.engines.stream.features import TOPIC
from spymaster.engines.stream.live import LiveEngine
from spymaster.errors import ContractError, LakeError
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.scoring.outlet import SCORES, ScoreOutlet
from spymaster.settings import AlertsSettings, RuleSettings, Settings
from tests.alerts import oracle
from tests.alerts.receiver import Receiver
from tests.e2e.runner import HOME, Runner, environment
from tests.e2e.scenes import SHORT, market, rows, short
from tests.live.posting import post

TABLE = ALERT.name
SECOND = 1_000_000_000
RULES: dict[str, dict[str, Any]] = {
    "flow": {"what": "ofi", "value": 3, "cool_down_s": 60},
    "spike": {
        "what": "ofi", "condition": "anomaly", "threshold": 1.5, "window": 60, "least": 20,
        "cool_down_s": 120,
    },
    "thin": {"what": "bid_depth_10", "condition": "below", "value": 100, "bars": 2},
    "dry": {"what": "volume", "condition": "below", "value": 5, "bars": 3, "cool_down_s": 240},
}  # fmt: skip
FAST = {"retry_first_s": 0.01, "retry_longest_s": 0.05}


def ruled(settings: Settings, rules: dict[str, dict[str, Any]] = RULES, url: str = "") -> Settings:
    """The settings with these rules alone; `url`: of a webhook that every rule tells as well."""
    hooks = {"desk": {"url": url, "drain_s": 60, **FAST}} if url else {}
    to = {"to": ["log", "desk"]} if url else {}
    told = {"rule": {n: {**r, **to} for n, r in rules.items()}, "webhook": hooks}
    return settings.model_copy(update={"alerts": AlertsSettings.model_validate(told)})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose features_gold holds two sessions of two contracts."""
    folder = tmp_path_factory.mktemp("published")
    settings = short(folder / "root")
    with open_bus(settings) as bus:
        post(bus, settings, market(folder / "market", 2, 4_000, SHORT), 500)
        LiveEngine(settings, bus, quiet_s=0.3).run()
    return folder / "root"


def messages(root: Path) -> list[Message]:
    with open_bus(short(root)) as bus, bus.reader(TOPIC, {0: 0}) as reader:
        found = []
        while part := reader.poll(timeout=0):
            found += [m for m in part if m.headers["kind"] in ("series", "vector")]
    return found


def send(settings: Settings, found: list[Message]) -> None:
    with open_bus(settings) as bus:
        bus.create(TOPIC, 1)
        with bus.producer("copy") as producer:
            for m in found:
                producer.publish(TOPIC, m.value, partition=0, key=m.key, headers=m.headers)


@pytest.fixture
def fresh(published: Path, tmp_path: Path) -> Callable[[str], Settings]:
    """Roots with the topic of `published` and no alert yet."""

    def make(name: str) -> Settings:
        settings = ruled(short(tmp_path / name))
        send(settings, messages(published))
        return settings

    return make


def watch(settings: Settings, **how: Any) -> int:
    """See all that the topics have; how many alerts were given."""
    with Alerting(settings, commit_s=0.2, **how) as running:
        running.start()
        running.drain()
        running.join()
        return sum(loop.counters.alerts for loop in running.loops)


def expected(published: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """What the slow twin says, of every rule and contract."""
    readings: dict[str, list[Reading]] = {}
    for r in read(messages(published)):
        readings.setdefault(r.subject, []).append(r)
    assert len(readings) == 2
    for name, rule in settings.alerts.rule.items():
        for subject, seen in readings.items():
            for told in oracle.alerts(rule, seen):
                yield {"rule": name, "subject": subject, **told}


def stored(settings: Settings) -> list[dict[str, Any]]:
    names = ("rule", "subject", "at", "began_at", "times")
    found = [{n: row[n] for n in names} for row in rows(Path(settings.root), TABLE)]
    return sorted(found, key=lambda row: tuple(row.values()))


def same(calm: Settings, settings: Settings) -> None:
    found = diff(Lake(calm.root), Lake(settings.root), TABLE)
    assert found.equal, str(found)
    keys = Counter((r["rule"], r["subject"], r["at"]) for r in rows(Path(settings.root), TABLE))
    assert set(keys.values()) == {1}
    assert len(keys) > 50


def test_the_alerts_of_two_sessions_are_the_slow_twins(
    published: Path, fresh: Callable[[str], Settings], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = fresh("root")
    said: list[str] = []
    n = watch(settings, tell=said.append)
    want = sorted(expected(published, settings), key=lambda row: tuple(row.values()))
    assert stored(settings) == want
    assert len(want) == n == len(said) > 50
    assert {row["rule"] for row in want} >= {"flow", "spike", "dry"}
    assert sum(r.name == "spymaster.alerts.work" for r in caplog.records) == n
    for row in rows(Path(settings.root), TABLE):
        assert (row["clock"], row["severity"], row["contract_id"]) == (
            "feed", "warning", row["subject"],
        )  # fmt: skip
        assert (row["score"] is not None) == (row["rule"] == "spike")
        if row["rule"] == "spike":
            assert abs(row["score"]) > 1.5


def test_bars_that_come_again_give_no_alert_again_also_after_a_restart(
    published: Path, fresh: Callable[[str], Settings]
) -> None:
    calm, settings = fresh("calm"), ruled(short(Path(fresh("calm2").root).parent / "root"))
    n = watch(calm)
    found = messages(published)
    half = len(found) // 2
    send(settings, found[:half])
    first = watch(settings)
    send(settings, found[half - 40 : half] + found[half:])
    assert first + watch(settings) == n
    assert watch(settings) == 0
    same(calm, settings)


def test_an_epoch_that_broke_off_is_finished_once(
    fresh: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, settings = fresh("calm"), fresh("root")
    watch(calm)
    real = Lake._commit

    def breaks(self: Lake, name: str, *given: Any, **named: Any) -> Any:
        real(self, name, *given, **named)
        raise OSError("the power is cut")

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "_commit", breaks)
        with pytest.raises(OSError, match="the power is cut"):
            watch(settings)
    watch(settings)
    same(calm, settings)


def test_webhooks_hear_of_every_alert_though_they_fail_and_the_loop_is_stopped(
    fresh: Callable[[str], Settings],
) -> None:
    with Receiver(lambda n: 503 if n % 3 else 200) as receiver:
        settings = ruled(fresh("root"), url=receiver.url)
        with Alerting(settings, commit_s=0.05, quiet_s=0.05) as running:
            running.start()
            running.join()  # it ends before the webhook has taken all
        watch(settings)
    ids = [row["alert_id"] for row in rows(Path(settings.root), TABLE)]
    assert set(ids) == {told["alert_id"] for told in receiver.taken}
    assert len(ids) == len(set(ids)) > 50
    for _, headers, told in receiver.requests:
        assert headers["idempotency-key"] == told["alert_id"]
    before = len(receiver.requests)
    with Receiver(port=receiver.port) as again:  # nothing is owed any more
        watch(settings)
    assert (len(receiver.requests), again.requests) == (before, [])


def test_what_no_webhook_took_is_owed_to_the_next_start(
    fresh: Callable[[str], Settings],
) -> None:
    with Receiver() as receiver:
        pass
    hooked = {"desk": {"url": receiver.url, "drain_s": 0.2, **FAST}}
    rules = {n: {**r, "to": ["desk"]} for n, r in RULES.items()}
    alerts = AlertsSettings.model_validate({"rule": rules, "webhook": hooked})
    settings = fresh("root").model_copy(update={"alerts": alerts})
    n = watch(settings)
    with Receiver(port=receiver.port) as back:
        patient = {"desk": {"url": receiver.url, "drain_s": 20, **FAST}}
        alerts = AlertsSettings.model_validate({"rule": rules, "webhook": patient})
        assert watch(settings.model_copy(update={"alerts": alerts})) == 0
    assert len({told["alert_id"] for told in back.taken}) == n > 50


def test_what_is_worked_on_again_is_not_reported_before_it_is_committed(
    published: Path, fresh: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a replay and its commit the bus must keep what only the log knows of."""
    calm, settings = fresh("calm"), ruled(short(Path(fresh("calm2").root).parent / "root"))
    watch(calm)
    found = messages(published)
    send(settings, found[: len(found) // 2])
    watch(settings)
    group = f"alerts/{TOPIC}"
    state = newest_state(Path(settings.root) / f"lake/checkpoints/{group}/0")
    assert state is not None
    stood = {int(p): o for p, o in state.facts["offsets"].items()}
    assert stood == {0: len(found) // 2}
    send(settings, found[len(found) // 2 :])

    def killed(self: EpochLoop[Any], *given: Any) -> None:
        raise OSError("killed before its epoch")

    with monkeypatch.context() as patch:
        patch.setattr(EpochLoop, "_cut", killed)
        with pytest.raises(OSError, match="killed before its epoch"):
            watch(settings)
    reported: list[dict[int, int]] = []
    done: list[dict[int, int]] = []
    real = AlertWork.repeated

    def repeated(self: AlertWork) -> None:
        real(self)
        done.append(self._loop.done)
        with open_bus(settings) as bus:
            reported.append(bus.reported(group, TOPIC))

    with monkeypatch.context() as patch:
        patch.setattr(AlertWork, "repeated", repeated)
        watch(settings)
    assert reported == [stood]
    assert done[0][0] > stood[0]
    with open_bus(settings) as bus:
        assert bus.reported(group, TOPIC) == {0: len(found)}
    same(calm, settings)


def test_what_other_rules_wrote_down_is_not_finished_by_these(
    fresh: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, settings = fresh("calm"), fresh("root")
    watch(calm)

    def killed(self: EpochLoop[Any], *given: Any) -> None:
        raise OSError("killed before its epoch")

    with monkeypatch.context() as patch:
        patch.setattr(EpochLoop, "_cut", killed)
        with pytest.raises(OSError, match="killed before its epoch"):
            watch(settings)
    other = ruled(settings, {**RULES, "flow": {**RULES["flow"], "value": 4}})
    with pytest.raises(LakeError, match=r"intent 1 was written down under other rules.*--fresh"):
        watch(other)
    assert rows(Path(settings.root), TABLE) == []
    watch(ruled(settings, {n: {**r, "severity": "info"} for n, r in RULES.items()}))
    assert stored(settings) == stored(calm)
    assert {row["severity"] for row in rows(Path(settings.root), TABLE)} == {"info"}


VECTOR = {
    "vector_time": 0, "model_id": "ES_MODEL", "contract_id": "ES.FUT.202403", "episode_id": "e",
    "feature_hash": "h", "session_date": "2024-01-08", "underlier": "ES",
    "instrument_type": "FUT", "role": "champion",
}  # fmt: skip


def test_errors_and_slow_answers_of_the_scoring_loop_are_told(tmp_path: Path) -> None:
    rules = {
        "errors": {"what": "score_errors", "value": 1, "window": 60, "cool_down_s": 0},
        "slow": {"what": "latency_ms", "value": 100, "bars": 2},
        "sure": {"what": "p_break", "value": 0.9},
    }
    settings = ruled(short(tmp_path / "root"), rules)
    with open_bus(settings) as bus:
        outlet = ScoreOutlet(Lake(settings.root), bus, settings.bus.partitions)
        for n, at in enumerate((0, 10, 299, 700)):
            told = {"reason": "poison", "failed_at": 1, "attempts": 3, "endpoint": "http://a"}
            moment = {"vector_time": at * SECOND, "feature_hash": f"e{n}"}
            outlet.error({**VECTOR, **moment, **told})
        for n, ms in enumerate((150.0, 50.0, 150.0, 151.0, 152.0)):
            for role in ("champion", "shadow"):
                outlet.score(
                    {
                        **VECTOR, "vector_time": n * SECOND, "feature_hash": f"s{n}", "role": role,
                        "model_version": "1", "p_break": 0.95 if n == 4 else 0.5, "p_reject": 0.02,
                        "p_chop": 0.03, "prediction": "BREAK", "scored_at": 1, "latency_ms": ms,
                        "endpoint": "http://a",
                    }
                )  # fmt: skip
        outlet.flush()
        outlet.close()
    assert watch(settings) == 6
    found = {
        (r["rule"], r["subject"], r["at"] // SECOND): r for r in rows(tmp_path / "root", TABLE)
    }
    who = "ES.FUT.202403 ES_MODEL champion"
    assert set(found) == {
        ("errors", who, 10), ("errors", who, 299),
        ("slow", who, 3), ("slow", who.replace("champion", "shadow"), 3),
        ("sure", who, 4), ("sure", who.replace("champion", "shadow"), 4),
    }  # fmt: skip
    assert found["errors", who, 299]["value"] == 3
    assert {r["contract_id"] for r in found.values()} == {"ES.FUT.202403"}


def test_what_anyone_may_post_by_mistake_is_left_out(fresh: Callable[[str], Settings]) -> None:
    calm, settings = fresh("calm"), fresh("root")
    watch(calm)
    broken = [b"{not ours", b"[]", b"5", b'{"contract_id": 5}', b'{"bar_end": "x", "valid": true}']
    with open_bus(settings) as bus, bus.producer("test") as producer:
        for value in broken:
            producer.publish(TOPIC, value, partition=0, headers={"kind": "series"})
        producer.publish(TOPIC, b"{}", partition=0)
    watch(settings)
    same(calm, settings)


class Clock:
    """The machine's clock, moved by hand; ns UTC."""

    def __init__(self) -> None:
        self.now = 1_900_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


STALE = {"stale": {"what": "stale_s", "value": 30, "cool_down_s": 300, "severity": "critical"}}


@pytest.fixture
def silent(published: Path, tmp_path: Path) -> tuple[Settings, int]:
    """A root whose topic ends in the middle of its first session, and how many bars it has."""
    settings = ruled(short(tmp_path / "root"), STALE)
    series = [m for m in messages(published) if m.headers["kind"] == "series"]
    send(settings, series[: len(series) // 8])
    return settings, len(series) // 8


def listen(settings: Settings, clock: Clock, readings: int, seconds: int) -> int:
    """Run, move the clock when so many bars were heard; how many alerts that gave."""
    failed: list[BaseException] = []
    with open_bus(settings) as bus:
        mine = rules_of(settings.alerts.rule, FIGURES[TOPIC])
        loop = AlertLoop(settings, bus, TOPIC, mine, clock, commit_s=60)
        stop = threading.Event()

        def run() -> None:
            try:
                loop.run(stop)
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            while loop.status()["state"] != "live" or loop.counters.readings < readings:
                assert thread.is_alive()
                time.sleep(0.01)
            clock.now += seconds * SECOND
            looks = loop.status()["looks"] + 3
            while loop.status()["looks"] < looks:
                assert thread.is_alive()
                time.sleep(0.01)
        finally:
            stop.set()
            thread.join()
    if failed:
        raise failed[0]
    return loop.counters.alerts


def test_a_feed_that_falls_silent_in_its_session_is_told_by_the_wall(
    published: Path, silent: tuple[Settings, int]
) -> None:
    settings, n = silent
    clock = Clock()
    assert listen(settings, clock, n, 40) == 1
    # A replay is told once, also after a restart, until one more of its bars has come.
    assert listen(settings, clock, 0, 400) == 0
    send(settings, [m for m in messages(published) if m.headers["kind"] == "series"][n : n + 40])
    assert listen(settings, clock, 40, 300) == 1
    found = sorted(rows(Path(settings.root), TABLE), key=lambda r: r["at"])
    who = [(r["subject"], r["clock"], r["contract_id"]) for r in found]
    assert who == [("ES", "wall", None)] * 2
    assert [round(r["value"]) for r in found] == [40, 300]
    assert str(found[0]["session_date"]) == "2024-01-08"


def test_what_the_wall_decided_is_not_decided_again_when_its_epoch_broke_off(
    silent: tuple[Settings, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, n = silent
    clock = Clock()

    def breaks(self: Lake, name: str, *given: Any, **named: Any) -> Any:
        raise OSError("the power is cut")

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "_commit", breaks)
        with pytest.raises(OSError, match="the power is cut"):
            listen(settings, clock, n, 40)
    told_at = clock.now
    assert rows(Path(settings.root), TABLE) == []
    clock.now += 7 * SECOND
    assert listen(settings, clock, n, 0) == 1
    (found,) = rows(Path(settings.root), TABLE)
    assert (found["at"], round(found["value"])) == (told_at, 40)


CHILD = """
import sys
from pathlib import Path
from tests.alerts.test_alert_loop import ruled, watch
from tests.e2e.scenes import short
import spymaster.alerts.work as work
work._MESSAGES = 50
watch(ruled(short(Path(sys.argv[1])), url=sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_at_any_time_every_alert_is_stored_once_and_told_at_least_once(
    fresh: Callable[[str], Settings],
) -> None:
    calm, settings = fresh("calm"), fresh("root")
    watch(calm)
    seed = int(os.environ.get("SPYMASTER_SEED", time.time_ns() % 1_000_000))
    print(f"SPYMASTER_SEED={seed}")
    draw = random.Random(seed)
    kills = 0
    log = Path(settings.root) / f"lake/checkpoints/alerts/{TOPIC}/0/log"
    with Receiver(lambda n: 503 if n % 4 == 1 else 200) as receiver:
        for n in range(6):
            size = log.stat().st_size if log.exists() else 0
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, str(settings.root), receiver.url],
                env=environment(),
                cwd=HOME,
            )
            # Not before it is at work: its log has grown.
            while child.poll() is None and (not log.exists() or log.stat().st_size <= size):
                time.sleep(0.002)
            try:
                assert child.wait(timeout=draw.uniform(0.0, 0.3)) == 0
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
                kills += 1
                print(f"kill {n}: {Lake(settings.root).count(TABLE)} alerts committed")
        watch(ruled(settings, url=receiver.url))
    assert kills > 1
    same(calm, settings)
    ids = {row["alert_id"] for row in rows(Path(settings.root), TABLE)}
    assert {told["alert_id"] for told in receiver.taken} == ids
    print(f"{kills} kills, {len(ids)} alerts, {len(receiver.taken)} posts taken")


def test_a_second_one_is_refused(fresh: Callable[[str], Settings]) -> None:
    settings = fresh("root")
    with Alerting(settings) as first:
        first.start()
        while not all(loop.holds_lease for loop in first.loops):
            time.sleep(0.01)
        with pytest.raises(LakeError, match="at work on this root"):
            watch(settings)


def test_begun_anew_it_goes_on_behind_what_it_has_told(
    published: Path, fresh: Callable[[str], Settings]
) -> None:
    settings = ruled(short(Path(fresh("calm").root).parent / "root"))
    found = messages(published)
    half = len(found) // 2
    send(settings, found[:half])
    n = watch(settings)
    assert watch(settings, fresh=True) == 0
    start = Path(settings.root) / f"lake/checkpoints/alerts/{TOPIC}/start.json"
    told = json.loads(start.read_text())
    assert (told["times"], told["offsets"]) == (1, {"0": half})
    assert Lake(settings.root).count(TABLE) == n > 20
    # A stream that was killed tells its last bars again, and then new ones.
    send(settings, found[half - 400 : half])
    send(settings, found[half:])
    more = watch(settings)
    stored_now = stored(settings)
    assert len(stored_now) == n + more
    assert more > 20
    keys = Counter((row["rule"], row["subject"], row["at"]) for row in stored_now)
    assert set(keys.values()) == {1}
    with pytest.raises(ContractError, match="no rule is enabled"):
        watch(ruled(settings, {}))


def test_retired_it_holds_the_topics_no_longer(fresh: Callable[[str], Settings]) -> None:
    settings = fresh("root")
    with Alerting(settings) as running:
        running.start()
        while running.loops[0].status()["state"] != "live":
            time.sleep(0.01)
        with open_bus(settings) as bus:
            with pytest.raises(LakeError, match="at work on this root"):
                retire(settings, bus, time.time_ns)
            assert bus.groups(TOPIC) == ["alerts/features_gold"]
    with open_bus(settings) as bus:
        assert retire(settings, bus, time.time_ns) == [TOPIC]
        assert bus.groups(TOPIC) == []
        assert retire(settings, bus, time.time_ns) == []


def test_the_command_lists_watches_and_tells(
    fresh: Callable[[str], Settings], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Receiver() as receiver:
        settings = ruled(fresh("root"), url=receiver.url)
        config = Path(settings.root) / "spymaster.toml"
        config.write_text(settings.to_toml())
        runner = Runner(tmp_path_factory.mktemp("said"))
        try:
            shown = runner.run("alerts", "--list", "--config", config)
            ran = runner.run("alerts", "--once", "--config", config)
            told = runner.run("status", "--config", config)
        finally:
            runner.close()
    assert (shown.code, ran.code) == (0, 0), ran.said
    assert "anomaly beyond 1.5 in 60 bars, avg" in shown.said
    assert f"webhook desk: {receiver.url}" in shown.said
    found = Counter(r["rule"] for r in rows(Path(settings.root), TABLE))
    assert f"alerts: features_gold: {found.total():,} alerts of" in ran.said
    for rule, n in found.items():
        assert ran.said.count(f"warning {rule}: ES.FUT.") == n
    # The rules that are there without settings tell the log alone.
    assert Counter(told["rule"] for told in receiver.taken) == {r: found[r] for r in RULES}
    assert found.keys() - RULES.keys() <= _defaults().keys()
    assert len(receiver.taken) > 50
    assert "alerts-features-gold" in told.said


def test_the_rules_of_the_start_are_quiet_enough(published: Path, tmp_path: Path) -> None:
    """A simulated hour of two contracts is no emergency, and the rules do see it."""
    settings = short(tmp_path / "root")
    assert settings.alerts.rule == {n: RuleSettings(**r) for n, r in _defaults().items()}
    send(settings, messages(published))
    n = watch(settings)
    found = Counter(r["rule"] for r in rows(tmp_path / "root", TABLE))
    print(n, dict(found))
    assert 0 < found["ofi_spike"] <= n <= 12
    assert SCORES in FIGURES


def _defaults() -> dict[str, dict[str, Any]]:
    from spymaster.settings.alerts import RULES as shipped

    return shipped
