"""The scoring loop before the real service: every vector one score, whatever goes wrong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from spymaster.bus import open_bus
from spymaster.engines.stream.anew import begin_anew
from spymaster.errors import ScoringError
from spymaster.lake import Lake
from spymaster.scoring.endpoint import Endpoint
from spymaster.scoring.line import Line
from spymaster.scoring.lines import Running, lines_of
from spymaster.scoring.loop import ScoringLoop
from spymaster.scoring.outlet import ScoreOutlet
from spymaster.settings import EndpointSettings, Settings
from spymaster.stages.hashes import feature_hash
from spymaster.stages.vector_spec import spec_hash
from tests.e2e.runner import HOME, Runner, environment
from tests.e2e.scenes import rows, short
from tests.live.endpoint import POISON, Road, Service, Softmax, service
from tests.live.scored import (
    ERRORS,
    OUTCOMES,
    SCORES,
    TABLES,
    copy_topic,
    impatient,
    same,
    score,
    topic_of,
    understood,
    vectors_of,
)


def test_every_vector_has_the_models_own_score_once_and_its_outcome(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    settings = fresh("root")
    copied = short(published)
    contract, columns = understood(copied)
    counters = score(settings, served.url)
    expected = vectors_of(published)
    found = rows(settings.root, SCORES)
    assert len(found) == len(expected) == counters.scored > 100
    assert {r["feature_hash"] for r in found} == set(expected)
    model = Softmax(tuple(columns), contract, 1)
    for row in found:
        vector = expected[row["feature_hash"]]
        p = model.probabilities(np.array([vector["feature_vector"]]))[0]
        assert [row["p_break"], row["p_reject"], row["p_chop"]] == p.tolist()  # to the last bit
        kept = ("vector_time", "contract_id", "episode_id", "session_date", "underlier")
        assert {n: row[n] for n in kept} == {n: vector[n] for n in kept}
        assert (row["model_version"], row["role"]) == ("1", "champion")
        assert row["latency_ms"] > 0
    assert rows(settings.root, ERRORS) == []
    labels = {r["feature_hash"]: r for r in rows(published, "gold.labels_stream")}
    told = rows(settings.root, OUTCOMES)
    assert {r["feature_hash"]: r["label"] for r in told} == {
        h: r["label"] for h, r in labels.items()
    }
    assert len(told) == counters.outcomes == len(labels) > 100
    assert {r["label"] for r in told} >= {"BREAK", "REJECT"} or len({r["label"] for r in told}) > 1
    sent = topic_of(settings, "inference_scores")
    stored = {r["feature_hash"]: str(r["session_date"]) for r in found}
    assert {r["feature_hash"]: r["session_date"] for r in sent} == stored


def test_vectors_that_come_again_are_scored_once_also_after_a_restart(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    settings = fresh("root")
    first = score(settings, served.url)
    copy_topic(published, settings, again=30)
    second = score(settings, served.url)
    assert (second.scored, second.repeated) == (0, first.scored + 30)
    keys = Counter(r["feature_hash"] for r in rows(settings.root, SCORES))
    assert set(keys.values()) == {1}
    assert len(keys) == first.scored


def test_lost_answers_cost_no_vector_and_no_second_row(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    calm, settings = fresh("calm"), fresh("root")
    score(calm, served.url)
    road = Road(served.port, nth=3)
    try:
        score(settings, road.url)
    finally:
        road.close()
    assert road.lost > 3
    same(calm, settings)


def test_an_endpoint_that_is_down_keeps_vectors_waiting_in_order(
    published: Path, fresh: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = fresh("root")
    contract, columns = understood(settings)
    with service(tmp_path / "service", columns, contract) as made:
        calm = fresh("calm")
        score(calm, made.url)
        made.end()
        stop = threading.Event()
        threading.Timer(1.0, stop.set).start()
        assert score(settings, made.url, stop).scored == 0  # it waits, and ends when asked
        assert rows(settings.root, SCORES) == []
        threading.Timer(0.7, made.start).start()
        counters = score(settings, made.url)
    assert counters.scored == Lake(calm.root).count(SCORES)
    same(calm, settings)
    found = sorted(rows(settings.root, SCORES), key=lambda r: r["vector_time"])
    assert [r["scored_at"] for r in found] == sorted(r["scored_at"] for r in found)


def test_a_vector_the_model_fails_on_is_given_up_alone_with_the_reason(
    published: Path, served: Service, tmp_path: Path
) -> None:
    settings = impatient(short(tmp_path / "root"))
    copy_topic(published, settings)
    (poisoned, foreign, forged) = _bad_vectors(published)
    with open_bus(settings) as bus, bus.producer("test") as producer:
        for row in (poisoned, foreign, forged):
            producer.publish(
                "features_gold", orjson.dumps(row), partition=0, headers={"kind": "vector"}
            )
        for broken in _no_vectors(foreign):
            producer.publish("features_gold", broken, partition=0, headers={"kind": "vector"})
        outcome = {"feature_hash": "0", "label": 5, "known_at": 1}
        producer.publish(
            "features_gold", orjson.dumps(outcome), partition=0, headers={"kind": "outcome"}
        )
    counters = score(settings, served.url)
    assert counters.scored == len(vectors_of(published))
    reasons = {r["feature_hash"]: r for r in rows(settings.root, ERRORS)}
    assert set(reasons) == {bad["feature_hash"] for bad in (poisoned, foreign)}
    assert "poison" in reasons[poisoned["feature_hash"]]["reason"]
    assert reasons[poisoned["feature_hash"]]["attempts"] >= settings.scoring.model_attempts
    assert "its feature contract is" in reasons[foreign["feature_hash"]]["reason"]
    # A claimed hash is nobody's: the true vector of that name keeps its score.
    assert forged["feature_hash"] in {r["feature_hash"] for r in rows(settings.root, SCORES)}
    keys = {r["feature_hash"] for r in rows(settings.root, SCORES)}
    assert not keys & set(reasons)


def test_nobody_hears_of_a_vector_given_up_before_its_intent_is_on_disk(
    published: Path, served: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vector of other settings is asked about nowhere, so no answer comes behind its intent."""
    settings = impatient(short(tmp_path / "root"))
    _, foreign, _ = _bad_vectors(published)
    with open_bus(settings) as bus, bus.producer("test") as producer:
        bus.create("features_gold", 1)
        told = orjson.dumps(foreign)
        producer.publish("features_gold", told, partition=0, headers={"kind": "vector"})
    log = tmp_path / "root/lake/checkpoints/score/ES_MODEL/champion/0/log"
    synced, heard = [0], []
    real_sync, real_error = os.fdatasync, ScoreOutlet.error

    def sync(fd: int) -> None:
        real_sync(fd)
        if log.exists() and os.path.samestat(os.fstat(fd), log.stat()):
            synced.append(os.fstat(fd).st_size)

    def error(self: ScoreOutlet, row: dict[str, Any]) -> None:
        heard.append((log.stat().st_size, synced[-1]))
        real_error(self, row)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(ScoreOutlet, "error", error)
    assert score(settings, served.url).given_up == 1
    ((written, on_disk),) = heard
    assert written == on_disk > 0


def _bad_vectors(published: Path) -> list[dict[str, Any]]:
    """One that the model fails on, one of other settings, one whose numbers were changed."""
    row = next(iter(vectors_of(published).values()))
    plain = {k: str(v) if k == "session_date" else v for k, v in row.items()}
    made = []
    for change in ("poison", "foreign", "forged"):
        numbers = [float(x) for x in row["feature_vector"]]
        numbers[0] = POISON if change == "poison" else numbers[0] + 1.0
        spec = "{}" if change == "foreign" else row["lookback_spec"]
        of = row["feature_hash"] if change == "forged" else None
        hashed = feature_hash(
            row["contract_id"],
            row["vector_time"],
            row["episode_id"],
            spec_hash(spec),
            np.array(numbers),
        )
        told = {"feature_vector": numbers, "lookback_spec": spec, "feature_hash": of or hashed}
        made.append({**plain, **told})
    return made


def _no_vectors(row: dict[str, Any]) -> list[bytes]:
    """What anyone may post by mistake."""
    changes: list[dict[str, Any]] = [
        {"session_date": None}, {"session_date": "today"}, {"underlier": ["ES"]},
        {"underlier": "../x"}, {"episode_id": 7}, {"instrument_type": "CASH"},
        {"feature_vector": "1,2"}, {"vector_time": None}, {"lookback_spec": 5},
    ]  # fmt: skip
    return [b"{not ours", b"[]", *(orjson.dumps({**row, **change}) for change in changes)]


def test_scores_travel_in_the_order_of_their_vectors(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    settings = impatient(fresh("root"), batch_rows=1_000)
    score(settings, served.url)
    order = [r["feature_hash"] for r in topic_of(settings, "features_gold") if "model_id" in r]
    assert [r["feature_hash"] for r in topic_of(settings, "inference_scores")] == order


@pytest.mark.parametrize("table", TABLES)
def test_an_epoch_that_broke_off_is_finished_with_what_was_answered_then(
    published: Path,
    fresh: Callable[[str], Settings],
    tmp_path: Path,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The endpoint is gone for good by then; nobody is asked a second time."""
    settings = fresh("root")
    contract, columns = understood(settings)
    real = Lake._commit

    def breaks(self: Lake, name: str, *given: Any, **named: Any) -> Any:
        if name == table:
            raise OSError("the power is cut")
        return real(self, name, *given, **named)

    with service(tmp_path / "service", columns, contract) as made:
        calm = fresh("calm")
        score(calm, made.url)
        with monkeypatch.context() as patch:
            patch.setattr(Lake, "_commit", breaks)
            with pytest.raises(OSError, match="the power is cut"):
                score(settings, made.url, commit_s=60)
    stop = threading.Event()
    stop.set()
    score(settings, made.url, stop)
    same(calm, settings)


def test_begun_anew_it_scores_nothing_twice_and_still_meets_outcomes(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    calm = fresh("calm")
    score(calm, served.url)
    settings = impatient(short(Path(calm.root).parent / "anew"))
    copy_topic(published, settings, kinds=("vector",))
    score(settings, served.url)
    with open_bus(settings) as bus, Endpoint(served.url, "", None, 2.0) as endpoint:
        begin_anew([ScoringLoop(settings, bus, Line("ES_MODEL", "champion", endpoint))])
    copy_topic(published, settings)
    score(settings, served.url)
    same(calm, settings)


def test_a_shadow_that_cannot_go_on_keeps_the_champion_from_nothing(
    published: Path, served: Service, fresh: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = fresh("root")
    _, columns = understood(settings)
    with service(tmp_path / "service", columns, "another") as other:
        named = {
            "ES_MODEL": {
                "champion": EndpointSettings(url=served.url),
                "shadow": EndpointSettings(url=other.url),
            }
        }
        settings = impatient(settings, endpoint=named)
        with Running(settings, lines_of(settings), quiet_s=0.3, commit_s=0.2) as running:
            running.start()
            with pytest.raises(ScoringError, match="the feature contract another"):
                running.join()
    assert {r["role"] for r in rows(settings.root, SCORES)} == {"champion"}
    assert Lake(settings.root).count(SCORES) == len(vectors_of(published))


@pytest.mark.parametrize(
    "url", ["localhost:1", "http://", "http://a:b", "ftp://a", "http://u:p@a", "http://a b"]
)
def test_an_endpoint_that_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(ScoringError, match="allowed is http://HOST:PORT"):
        lines_of(Settings(), "ES_MODEL", None, url)


def test_a_model_of_another_feature_contract_is_refused_at_the_start(
    published: Path, fresh: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = fresh("root")
    _, columns = understood(settings)
    with (
        service(tmp_path / "service", columns, "another") as made,
        pytest.raises(ScoringError, match="was trained on vectors of the feature contract another"),
    ):
        score(settings, made.url)
    assert rows(settings.root, SCORES) == []


def test_promotion_under_load_loses_nothing_and_every_row_is_of_the_version_it_names(
    published: Path, fresh: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = impatient(fresh("root"), batch_rows=3)
    contract, columns = understood(settings)
    done = threading.Event()
    with service(tmp_path / "service", columns, contract) as made:

        def promote() -> None:
            version = 1
            while not done.wait(0.15):
                version += 1
                made.shelf.promote(version)

        thread = threading.Thread(target=promote)
        thread.start()
        try:
            score(settings, made.url)
        finally:
            done.set()
            thread.join()
    expected = vectors_of(published)
    found = sorted(rows(settings.root, SCORES), key=lambda r: r["scored_at"])
    assert {r["feature_hash"] for r in found} == set(expected)
    assert len(found) == len(expected)
    versions = [int(r["model_version"]) for r in found]
    assert versions == sorted(versions)
    assert len(set(versions)) > 1
    for row in found:
        model = Softmax(tuple(columns), contract, int(row["model_version"]))
        p = model.probabilities(np.array([expected[row["feature_hash"]]["feature_vector"]]))[0]
        assert [row["p_break"], row["p_reject"], row["p_chop"]] == p.tolist()


def test_a_promotion_is_seen_before_a_vector_comes(tmp_path: Path) -> None:
    """The version is looked up beforehand: no vector waits for that."""
    settings = impatient(short(tmp_path / "root"))
    contract, columns = understood(settings)
    stop = threading.Event()
    with (
        service(tmp_path / "service", columns, contract) as made,
        open_bus(settings) as bus,
        Endpoint(made.url, "", None, 2.0) as endpoint,
    ):
        bus.create("features_gold", 1)
        loop = ScoringLoop(settings, bus, Line("ES_MODEL", "champion", endpoint))
        thread = threading.Thread(target=loop.run, args=(stop,))
        thread.start()
        try:
            for version in (1, 2, 3):
                made.shelf.promote(version)
                until = time.monotonic() + 60
                while loop.status().get("serves") != str(version):
                    assert thread.is_alive()
                    assert time.monotonic() < until
                    time.sleep(0.01)
        finally:
            stop.set()
            thread.join()
    assert loop.counters.scored == 0


CHILD = """
import sys
from pathlib import Path
from tests.live.scored import impatient, score
from tests.e2e.scenes import short
import time
score(impatient(short(Path(sys.argv[1])), batch_rows=3), sys.argv[2], commit_s=0.05)
"""


@pytest.mark.slow
def test_killed_at_any_time_every_vector_has_one_score_of_the_version_first_asked(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    calm, settings = fresh("calm"), fresh("root")
    score(calm, served.url)
    seed = int(os.environ.get("SPYMASTER_SEED", time.time_ns() % 1_000_000))
    print(f"SPYMASTER_SEED={seed}")
    draw = random.Random(seed)
    kills = 0
    log = Path(settings.root) / "lake/checkpoints/score/ES_MODEL/champion/0/log"
    for n in range(5):
        size = log.stat().st_size if log.exists() else 0
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(settings.root), served.url],
            env=environment(),
            cwd=HOME,
        )
        # Not before it is at work: its log has grown.
        while child.poll() is None and (not log.exists() or log.stat().st_size <= size):
            time.sleep(0.005)
        try:
            assert child.wait(timeout=draw.uniform(0.0, 0.4)) == 0
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
            print(f"kill {n}: {Lake(settings.root).count(SCORES)} scores committed")
    score(impatient(settings), served.url)
    assert kills > 2
    same(calm, settings)


def test_the_command_scores_tells_and_ends(
    published: Path,
    served: Service,
    fresh: Callable[[str], Settings],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = fresh("root")
    config = Path(settings.root) / "spymaster.toml"
    config.write_text(settings.to_toml())
    runner = Runner(tmp_path_factory.mktemp("said"))
    try:
        asked = ["--endpoint", served.url, "--model", "ES_MODEL", "--quiet", "0.3"]
        ran = runner.run("score", "--config", config, *asked)
        told = runner.run("status", "--config", config)
        none = runner.run("score", "--config", config)
    finally:
        runner.close()
    assert ran.code == 0, ran.said
    n = len(vectors_of(published))
    assert f"ES_MODEL champion: {n:,} scored, 0 given up" in ran.said
    assert "score-es_model-champion" in told.said
    assert none.code == 1
    assert "error: no endpoint is named for any model" in none.said
