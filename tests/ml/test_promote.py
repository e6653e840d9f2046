"""Promotion with real models in a real registry: the gate, its ledgers, the way back."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from spymaster.cli import app
from spymaster.engines.lease import Lease
from spymaster.errors import LakeError, ModelError
from spymaster.lake import Lake
from spymaster.ml import champions as champions_file
from spymaster.ml import promote as promote_file
from spymaster.ml.check import failed
from spymaster.ml.freeze import freeze
from spymaster.ml.looks import looks
from spymaster.ml.model import load_scorer
from spymaster.ml.promote import Verdict, promote, roll_back
from spymaster.ml.registry import Registry, seen_until
from spymaster.stages.vector_spec import lookback_spec
from tests.ml import lakes, schools
from tests.ml.schools import ES, FIRST, LATER, NOW, now, settings

pytestmark = [
    pytest.mark.slow,  # most of it MLflow's start
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's
]
SESSIONS = 48


class School(NamedTuple):
    """A root with three models: one that learnt well, one about as well, one from shuffled days."""

    root: Path
    good: str
    rival: str
    fool: str


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> School:
    root = tmp_path_factory.mktemp("taught")
    schools.make(root, SESSIONS)
    runs = (
        schools.learn(root),
        schools.learn(root, alpha=1.5),
        schools.learn(root, shuffle=True, seen_until="2024-01-31"),
    )
    for run in runs:
        Registry(settings(root), ES).register(run)
    return School(root, "1", "2", "3")


@pytest.fixture
def school(taught: School) -> School:
    """The same place, with its ledgers and aliases as they were."""
    lake = taught.root / "lake"
    registry = Registry(settings(taught.root), ES)
    for name in ("champion", "challenger"):
        if registry.alias(name) is not None:
            registry._client.delete_registered_model_alias(ES, name)
    for ledger in ("test_looks", "promotions"):
        shutil.rmtree(lake / "gold" / ledger, ignore_errors=True)
    return taught


def go(school: School, version: str, **gate: Any) -> Verdict:
    return promote(settings(school.root, **gate), ES, now, version=version)


def alias(school: School, name: str = "champion") -> str | None:
    return Registry(settings(school.root), ES).alias(name)


def ledger(school: School, name: str = "gold.promotions") -> list[dict[str, Any]]:
    return Lake(school.root).scan(name, missing_ok=True).to_pylist()


def changes(school: School) -> list[dict[str, Any]]:
    """Changes of the champion in order, without the rows that tell that they are carried out."""
    rows = [row for row in ledger(school) if row["event"] != "carried_out"]
    return sorted(rows, key=lambda r: r["number"])


def names(made: Verdict) -> list[str]:
    return [check.name for check in failed(made.checks)]


def test_a_challenger_that_passes_every_check_becomes_champion(school: School) -> None:
    made = go(school, school.good)
    assert made.promoted
    assert [c.name for c in made.checks] == [
        "feature contract", "parity", "latency", "enough", "better than the prior",
        "better than the baseline", "calibration",
    ]  # fmt: skip
    assert alias(school) == school.good
    assert alias(school, "challenger") == school.good
    days = lakes.sessions(SESSIONS)
    assert made.sessions == tuple(days[-12:])
    begun, ended = ledger(school, "gold.test_looks")
    assert (begun["event"], begun["verdict"], begun["findings"]) == ("begun", None, None)
    assert (ended["event"], ended["verdict"], ended["reasons"]) == ("ended", "passed", [])
    assert ended["sessions"] == [day.isoformat() for day in days[-12:]]
    assert (ended["look"], ended["alpha"], ended["episodes"]) == (1, 0.025, 240)
    told = json.loads(ended["findings"])["better than the prior"]
    assert told["lower"] > 0.005
    change, done = sorted(ledger(school), key=lambda r: r["number"])
    assert (change["event"], change["version"], change["before"]) == ("promoted", "1", None)
    assert change["look_id"] == ended["look_id"]
    assert (done["event"], done["version"], done["look_id"]) == (
        "carried_out",
        "1",
        ended["look_id"],
    )


def test_tags_tell_what_a_version_has_seen(school: School) -> None:
    registry = Registry(settings(school.root), ES)
    version = registry.version(school.good)
    scorer = registry.scorer(school.good)
    assert scorer.version == school.good
    assert version.tags["feature_contract"] == scorer.feature_contract
    assert version.tags["snapshot"] == scorer.model.card["snapshot"]
    assert version.tags["seen_until"] == seen_until(scorer).isoformat()
    assert registry.register(version.run_id).number == school.good


def test_what_learnt_nothing_is_refused_and_the_look_is_written(school: School) -> None:
    made = go(school, school.fool)
    assert "better than the prior" in names(made)
    assert alias(school) is None
    assert alias(school, "challenger") == school.fool
    told = made.refusal()
    assert "ES_MODEL version 3 is not promoted" in told
    assert "short" in told
    assert "look 1 at test sessions" in told
    (row,) = looks(Lake(school.root), ES)
    assert row["verdict"] == "refused"
    assert any(reason.startswith("better than the prior") for reason in row["reasons"])


def test_the_champion_must_be_beaten_on_sessions_that_it_has_not_seen(school: School) -> None:
    go(school, school.good)
    made = go(school, school.rival)
    assert "better than champion 1" in names(made)
    assert (made.look, made.alpha) == (2, 0.05 / 6)
    assert alias(school) == school.good
    assert ledger(school, "gold.test_looks")[-1]["champion"] == school.good


def test_test_sessions_begin_after_what_the_champion_has_seen(school: School) -> None:
    go(school, school.good)
    made = go(school, school.fool)  # its own card ends in January, the champion's does not
    assert made.sessions == tuple(lakes.sessions(SESSIONS)[-12:])


def test_what_fails_without_test_sessions_costs_no_look_and_all_of_it_is_told(
    school: School, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(school.root, root)
    lake, day = Lake(root), lakes.sessions(SESSIONS)[-1]
    schools.certify(lake, day, equal=False, at=2)
    other = {"underlier": {"ES": {"approach": {"barrier_ticks": 30}}}}
    chosen = lakes.settings(root, ml=settings(root, latency_ms=1e-6).ml.model_dump(), **other)
    made = promote(_same_store(chosen, school), ES, now, version=school.good)
    assert names(made) == ["feature contract", "parity", "latency"]
    assert made.look == 0
    assert "not looked at" in made.refusal()
    assert "DIFFERS" in made.refusal()
    assert looks(lake, ES) == []


def test_too_few_test_sessions_are_refused_without_a_look(school: School) -> None:
    made = go(school, school.good, min_sessions=13)
    assert names(made) == ["enough"]
    assert "12 test sessions with 240 episodes; at least 13" in made.refusal()
    assert ledger(school, "gold.test_looks") == []


def test_a_parity_certificate_must_be_there_recent_of_this_contract_with_vectors(
    school: School, tmp_path: Path
) -> None:
    days = lakes.sessions(SESSIONS)
    spec = lookback_spec(settings(school.root).of("ES"))
    other = lookback_spec(_narrow(school).of("ES"))
    cases: dict[str, list[tuple[dt.date, str, dict[str, Any]]]] = {
        "has no certificate": [],
        "30 later sessions, 20 allowed": [(days[17], spec, {})],
        "has no vectors": [(days[-1], spec, {"vectors": 0})],
        "its vectors are of": [(days[-1], other, {})],
        "DIFFERS": [(days[-2], spec, {}), (days[-1], spec, {"equal": False})],
        "": [(days[-1], spec, {"equal": False}), (days[-1], spec, {"at": 2})],
    }
    for i, (told, rows) in enumerate(cases.items()):
        lake = Lake(tmp_path / str(i))
        for day, text, how in rows:
            schools.stream(lake, day, text)
            schools.certify(lake, day, **how)
        contract = Registry(settings(school.root), ES).scorer("1").feature_contract
        check = promote_file.parity_check(lake, ("ES",), contract, days, 20)
        assert check.passed == (told == ""), check.told
        assert told in check.told


def test_each_look_at_the_same_sessions_is_stricter_and_later_sessions_start_anew(
    school: School, tmp_path: Path
) -> None:
    looked = [go(school, school.fool) for _ in range(3)]
    assert [made.alpha for made in looked] == [0.05 / 2, 0.05 / 6, 0.05 / 12]
    root = tmp_path / "root"
    shutil.copytree(school.root, root)
    lake, spec = Lake(root), lookback_spec(settings(root).of("ES"))
    later = lakes.sessions(SESSIONS + 13)[SESSIONS:]
    for day in later:
        lakes.put(lake, lakes.rows_of(day, spec, episodes=20, vectors=2))
        lakes.tell(lake, day)
    freeze(lake, settings(root), ES, LATER, NOW)
    chosen = _same_store(settings(root), school)
    again = promote(chosen, ES, now, version=school.good, run_date=LATER)
    assert len(again.sessions) == 25  # the old test sessions are among them: they count
    assert again.alpha == 0.05 / 20


def test_a_look_that_breaks_off_counts(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(promote_file, "gate", broken)
        with pytest.raises(RuntimeError, match="the power went"):
            go(school, school.good)
    (row,) = looks(Lake(school.root), ES)
    assert (row["event"], row["verdict"]) == ("begun", None)
    assert go(school, school.good).look == 2


def test_rollback_goes_back_one_champion_at_a_time_and_no_further(school: School) -> None:
    champions = _champions(school)
    for version in ("1", "2", "3"):
        champions.promote(version, f"look {version}", "for the test", NOW)
    assert roll_back(settings(school.root), ES, "it drifts", now) == ("2", "3")
    assert roll_back(settings(school.root), ES, "so does this", now) == ("1", "2")
    assert alias(school) == "1"
    with pytest.raises(ModelError, match="champion is 1, and there was none before"):
        roll_back(settings(school.root), ES, "again", now)
    rows = changes(school)
    assert [r["event"] for r in rows] == ["promoted"] * 3 + ["rolled_back"] * 2
    assert rows[-1]["reason"] == "so does this"
    with pytest.raises(ModelError, match="needs a reason"):
        roll_back(settings(school.root), ES, " ", now)


def test_an_alias_that_somebody_else_set_is_taken_as_it_is(school: School) -> None:
    Registry(settings(school.root), ES).point("champion", "2")
    _champions(school).promote("1", "look", "for the test", NOW)
    assert roll_back(settings(school.root), ES, "worse", now) == ("2", "1")
    assert [r["event"] for r in changes(school)] == ["found", "promoted", "rolled_back"]


def test_an_alias_set_back_by_hand_to_the_champion_before_stays_there(school: School) -> None:
    champions = _champions(school)
    for version in ("1", "2", "3"):
        champions.promote(version, "look", "for the test", NOW)
    Registry(settings(school.root), ES).point("champion", "2")
    assert champions.settle(NOW) == "2"
    assert alias(school) == "2"
    assert changes(school)[-1]["event"] == "found"
    assert champions.settle(NOW) == "2"
    assert len(changes(school)) == 4  # found once
    assert roll_back(settings(school.root), ES, "worse still", now) == ("1", "2")


def test_a_change_killed_after_the_alias_moved_is_not_made_again_after_a_hand_moved_it_back(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(school, school.good)
    champions = _champions(school)
    with monkeypatch.context() as patch:
        patch.setattr(champions_file.Champions, "_carried_out", _killed)
        with pytest.raises(SystemExit):
            champions.promote("2", "look", "for the test", NOW)
    assert alias(school) == "2"
    assert champions.settle(NOW) == "2"  # now it is known to be carried out
    Registry(settings(school.root), ES).point("champion", "1")
    assert champions.settle(NOW) == "1"


def test_a_promotion_killed_before_the_alias_moved_is_finished_by_the_next(school: School) -> None:
    go(school, school.good)
    registry = Registry(settings(school.root), ES)
    dying = champions_file.Champions(
        Lake(school.root), ES, lambda: registry.alias("champion"), _killed
    )
    with pytest.raises(SystemExit):
        dying.promote("2", "look", "for the test", NOW)
    assert alias(school) == school.good
    assert changes(school)[-1]["version"] == school.rival
    with pytest.raises(ModelError, match="version 2 is champion already"):
        go(school, school.rival)
    assert alias(school) == school.rival
    assert roll_back(settings(school.root), ES, "it was killed", now) == ("1", "2")


def test_a_registered_model_is_what_mlflow_serves(school: School) -> None:
    import mlflow

    registry = Registry(settings(school.root), ES)
    own = registry.scorer(school.good)
    x = np.random.default_rng(0).standard_normal((3, len(own.columns)))
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    try:
        mlflow.set_tracking_uri(registry.uri)
        mlflow.set_registry_uri(registry.uri)
        served = load_scorer(f"models:/{ES}/{school.good}")
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    assert served.version == school.good
    assert np.array_equal(served.probabilities(x), own.probabilities(x))


def test_a_version_or_a_model_that_is_not_there_names_those_that_are(school: School) -> None:
    with pytest.raises(ModelError, match=r"no version 9 in .*there are: 1, 2, 3\."):
        go(school, "9")
    with pytest.raises(ModelError, match="'NQ_MODEL' is no model of these settings"):
        promote(settings(school.root), "NQ_MODEL", now)
    with pytest.raises(ModelError, match=r"no model in .*Make one with: spymaster ml sweep"):
        Registry(settings(school.root), "TSLA_MODEL").newest_run()
    assert Registry(settings(school.root), ES).newest_run() == (
        Registry(settings(school.root), ES).version(school.fool).run_id
    )


def test_of_two_that_change_the_champion_at_once_only_one_does(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = _champions(school), _champions(school)
    slow.promote("1", "look", "for the test", NOW)
    seen = slow.changes()
    quick.promote("2", "look", "for the test", NOW)
    monkeypatch.setattr(champions_file.Champions, "changes", lambda _: seen)
    with pytest.raises(ModelError, match="change 3 of its champion was made by somebody else"):
        slow._note("promoted", "3", "1", "look", "for the test", NOW)
    assert [r["version"] for r in changes(school)] == ["1", "2"]


def test_one_promotion_at_a_time(school: School) -> None:
    held = Lease(Lake(school.root).place, "other", now, f"promotion/{ES}")
    with held, pytest.raises(LakeError, match=r"another promotion of ES_MODEL is at work"):
        go(school, school.good)


def test_a_champion_of_another_contract_cannot_answer_and_is_not_in_the_way(
    school: School,
) -> None:
    registry = Registry(settings(school.root), ES)
    own, other = registry.scorer("1"), registry.scorer("2")
    contest = promote_file._contest(settings(school.root), own, None, None)
    assert set(contest.others("2", other)) == {"the prior", "the baseline", "champion 2"}
    other.model.feature_contract = "another"
    assert set(contest.others("2", other)) == {"the prior", "the baseline"}


def test_prior_and_baseline_have_learnt_from_all_that_the_challenger_has_seen(
    school: School,
) -> None:
    scorer = Registry(settings(school.root), ES).scorer("1")
    contest = promote_file._contest(settings(school.root), scorer, None, None)
    assert contest.seen.sessions[-1] == seen_until(scorer)
    assert contest.seen.sessions[0] == lakes.sessions(1)[0]
    assert not set(contest.seen.sessions) & set(contest.test.sessions)
    prior = contest.others(None, None)["the prior"]
    shares = np.bincount(contest.seen.label, contest.seen.weight, 3)
    assert prior[0] == pytest.approx(shares / shares.sum())


def test_the_command_line_promotes_refuses_lists_and_rolls_back(
    school: School, tmp_path: Path
) -> None:
    config = tmp_path / "spymaster.toml"
    config.write_text("[ml.gate]\nlatency_ms = 1000.0\ndraws = 2000\n")

    def run(*words: str) -> tuple[int, str, BaseException | None]:
        said = CliRunner().invoke(
            app, ["ml", *words, "--config", str(config), "--root", str(school.root)]
        )
        return said.exit_code, said.output, said.exception

    code, said, _ = run("promote", "--model", ES, "--version", "1")
    assert code == 0, said
    assert "ES_MODEL version 1 is champion (before: none): 12 test sessions" in said
    code, said, error = run("promote", "--model", ES, "--version", "3")
    assert code == 1
    assert "FAILED  better than the prior" in said
    assert isinstance(error, ModelError)
    assert "version 3 is not promoted" in str(error)
    _champions(school).promote("2", "look", "for the test", NOW)
    code, said, _ = run("rollback", "--model", ES, "--reason", "calls everything a BREAK")
    assert "ES_MODEL version 1 is champion again, in place of 2" in said
    code, said, _ = run("models")
    assert code == 0
    assert "ES_MODEL: 3 versions" in said
    assert "TSLA_MODEL: 0 versions" in said
    assert (
        "refused; better than the prior; better than the baseline; better than champion 1" in said
    )
    assert "rolled back: 1 (before: 2); calls everything a BREAK" in said


def test_without_a_store_models_makes_none(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["ml", "models", "--root", str(tmp_path)])
    assert said.exit_code == 0
    assert "ES_MODEL: 0 versions" in said.output
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_that_is_not_the_models_own_is_refused(school: School) -> None:
    scorer = Registry(settings(school.root), ES).scorer("1")
    card = {**scorer.model.card, "snapshot": "0" * 32}
    scorer.model.card.update(card)
    with pytest.raises(ModelError, match=f"under run date {FIRST} lies"):
        promote_file._contest(settings(school.root), replace(scorer), None, None)


def _killed(*_: Any) -> None:
    raise SystemExit("killed")


def _champions(school: School) -> champions_file.Champions:
    registry = Registry(settings(school.root), ES)
    return promote_file._champions(Lake(school.root), registry)


def _same_store(chosen: Any, school: School) -> Any:
    """These settings with the school's own store: another root has no models."""
    uri = Registry(settings(school.root), ES).uri
    return chosen.model_copy(update={"ml": chosen.ml.model_copy(update={"tracking_uri": uri})})


def _narrow(school: School) -> Any:
    return lakes.settings(school.root, underlier={"ES": {"approach": {"barrier_ticks": 30}}})
