"""Lines that end, and pipelines that begin anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from spymaster.bus import open_bus
from spymaster.cli.app import app
from spymaster.engines.lease import Lease
from spymaster.engines.stream.anew import begin_anew
from spymaster.engines.stream.live import LiveEngine
from spymaster.errors import BusError, LakeError, ScoringError
from spymaster.lake import Lake
from spymaster.lake.place import Place
from spymaster.scoring.endpoint import Endpoint
from spymaster.scoring.line import Line, LineName
from spymaster.scoring.loop import ScoringLoop
from spymaster.scoring.retire import retire
from spymaster.settings import Settings
from tests.live.endpoint import Service
from tests.live.scored import SCORES, copy_topic, same, score, topic_of

SHADOW = LineName("ES_MODEL", "shadow")
TOPIC = "features_gold"


def score_as(settings: Settings, url: str, role: str) -> None:
    with open_bus(settings) as bus, Endpoint(url, "", None, 2.0) as endpoint:
        ScoringLoop(settings, bus, Line("ES_MODEL", role, endpoint), quiet_s=0.3).run()


def test_a_retired_line_lets_go_of_the_topic_and_may_come_back(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    settings = fresh("root")
    score_as(settings, served.url, "shadow")
    score(settings, served.url)
    copy_topic(published, settings)
    small = narrow(settings)
    with open_bus(small) as bus:
        assert bus.groups(TOPIC) == ["score/ES_MODEL/champion", "score/ES_MODEL/shadow"]
        with pytest.raises(BusError, match="features_gold is full"):
            copy_topic(published, small)
        bus.report("score/ES_MODEL/champion", TOPIC, bus.ends(TOPIC))
        with pytest.raises(BusError, match="score/ES_MODEL/shadow"):
            copy_topic(published, small)
        begins, behind = (
            bus.begins(TOPIC),
            bus.ends(TOPIC)[0] - bus.reported(SHADOW.pipeline, TOPIC)[0],
        )
        done = retire(small, bus, SHADOW, time.time_ns)
        assert (done.behind, done.named) == (behind, False)
        assert behind > 100
        assert bus.groups(TOPIC) == ["score/ES_MODEL/champion"]
        copy_topic(published, small)
        assert bus.begins(TOPIC)[0] > begins[0]
        with pytest.raises(ScoringError, match=r"those that do: ES_MODEL\.champion"):
            retire(small, bus, SHADOW, time.time_ns)
    # Its rows and its state are there: it goes on, if the topic still has what comes next.
    n = Lake(settings.root).count(SCORES)
    with pytest.raises(BusError, match="begin anew: spymaster score --fresh"):
        score_as(settings, served.url, "shadow")
    assert Lake(settings.root).count(SCORES) == n


def narrow(settings: Settings) -> Settings:
    """The same with room for a little more than half of what the topic holds, kept for no time."""
    held = sum(len(orjson.dumps(told)) for told in topic_of(settings, TOPIC))
    sizes = {"max_bytes": int(0.6 * held), "keep_bytes": 1, "keep_hours": 1e-9}
    embedded = settings.bus.embedded.model_copy(update=sizes)
    bus = settings.bus.model_copy(update={"embedded": embedded, "wait_s": 0.05})
    return settings.model_copy(update={"bus": bus})


def test_a_line_at_work_is_not_retired_and_the_command_says_what_it_did(
    served: Service, fresh: Callable[[str], Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = fresh("root")
    config = Path(settings.root) / "spymaster.toml"
    config.write_text(
        settings.to_toml() + f'\n[scoring.endpoint.ES_MODEL.champion]\nurl = "{served.url}"\n'
    )
    ask = ["score", "--config", str(config)]
    app([*ask, "--quiet", "0.3"], standalone_mode=False)
    status = Path(settings.root) / "run/score-es_model-champion.json"
    assert json.loads(status.read_text())["state"] == "stopped"
    with (
        Lease(Place(settings.root), "other", time.time_ns, "score/ES_MODEL/champion"),
        pytest.raises(LakeError, match="another score of ES_MODEL/champion is at work"),
    ):
        app([*ask, "--retire", "ES_MODEL.champion"], standalone_mode=False)
    with open_bus(settings) as bus:
        assert bus.groups(TOPIC) == ["score/ES_MODEL/champion"]
    assert status.exists()
    for wrong in ("ES_MODEL", "ES_MODEL.king", ".champion"):
        with pytest.raises(ScoringError, match=r"allowed is MODEL\.role"):
            app([*ask, "--retire", wrong], standalone_mode=False)
    capsys.readouterr()
    app([*ask, "--retire", "ES_MODEL.champion"], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "ES_MODEL champion is retired: features_gold is not kept for it any more" in said
    assert "[scoring.endpoint.ES_MODEL.champion] is still in the settings" in said
    assert not status.exists()
    # Nothing was lost meanwhile: it goes on behind what it had scored.
    capsys.readouterr()
    app([*ask, "--quiet", "0.3"], standalone_mode=False)
    assert "ES_MODEL champion: 0 scored" in " ".join(capsys.readouterr().out.split())


def test_fresh_means_every_pipeline_of_the_command_or_none(
    published: Path, served: Service, fresh: Callable[[str], Settings]
) -> None:
    settings, calm = fresh("root"), fresh("calm")
    score(settings, served.url)
    score(calm, served.url)
    starts = [
        Path(settings.root) / "lake/checkpoints" / name / "start.json"
        for name in ("live", "score/ES_MODEL/champion")
    ]
    with open_bus(settings) as bus, Endpoint(served.url, "", None, 2.0) as endpoint:
        engine = LiveEngine(settings, bus)
        loop = ScoringLoop(settings, bus, Line("ES_MODEL", "champion", endpoint))
        with (
            Lease(Place(settings.root), "other", time.time_ns, "score/ES_MODEL/champion"),
            pytest.raises(LakeError, match="another score of ES_MODEL/champion is at work"),
        ):
            begin_anew([engine, loop])
        assert not any(path.exists() for path in starts)
        begin_anew([engine, loop])
    assert [json.loads(path.read_text())["times"] for path in starts] == [1, 1]
    copy_topic(published, settings)
    counters = score(settings, served.url)
    assert (counters.scored, counters.repeated > 100) == (0, True)
    same(calm, settings)
