"""The whole live way: gateway, the vendor's own client, ingestor, bus, engine, and its certificate.

Whatever the bus, its partitions and the size of an intent: every fact is history's.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from spymaster.bus import open_bus
from spymaster.engines.parity import certify, streamed_sessions
from spymaster.engines.stream.live import LiveEngine
from spymaster.feed.gateway import Gateway
from spymaster.feed.ingest.process import ingest
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.bus.broker import Broker
from tests.e2e.scenes import SHORT, evening, market, mirrored, records, rows, run, short
from tests.live.chain import KEY, fed, on_bus
from tests.live.streamed import AT_THE_END, TABLES, compare
from tests.live.test_live_engine import stock
from tests.real_data import es_mbo

pytestmark = pytest.mark.slow

#: A partition for each bus: one, and several behind SASL_SSL.
PARTITIONS = {"embedded": 1, "kafka": 3}
#: Records an intent: each message by itself, and all that is there.
EACH, ALL = 1, 100_000


@dataclass(frozen=True)
class Played:
    """Files for the gateway, and what is asked for of it."""

    files: Callable[[Path], list[Path]]
    settings: Callable[[Path], Settings]
    symbols: Mapping[str, Mapping[str, list[str]]]
    sessions: int  #: that end
    intents: Mapping[str, tuple[int, ...]]  #: by kind of bus
    unended: str = ""


ES = {"ES": {"raw_symbol": ["ESH4"]}}
SCENES = {
    "futures": Played(
        lambda out: market(out, 2, 3_000, SHORT),
        short,
        {"ES": {"parent": ["ES.FUT"]}},
        2,
        {"embedded": (EACH, ALL), "kafka": (EACH, ALL)},
    ),
    "a stock": Played(
        lambda out: market(out, 1, 4_000, SHORT, underlier="TSLA"),
        stock,
        {"TSLA": {"raw_symbol": ["TSLA"]}},
        1,
        {"embedded": (ALL,), "kafka": (EACH,)},
    ),
    "real evening": Played(
        lambda out: [es_mbo()], evening, ES, 0, {"embedded": (EACH,), "kafka": (ALL,)}, "2023-12-26"
    ),
    "real evening in the mirror": Played(
        lambda out: [mirrored(es_mbo(), out / es_mbo().name)],
        evening,
        ES,
        0,
        {"embedded": (ALL,), "kafka": (EACH,)},
        "2023-12-26",
    ),
}


@pytest.fixture(scope="module", params=SCENES)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Played, list[Path], Path]:
    """A scene, its files, and the root of its history."""
    played, folder = SCENES[request.param], tmp_path_factory.mktemp("scene")
    files = sorted(played.files(folder))
    run(played.settings(folder / "history"), files)
    return played, files, folder / "history"


@pytest.fixture(scope="module", params=PARTITIONS)
def ingested(
    request: pytest.FixtureRequest,
    scene: tuple[Played, list[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """A root and a topic that the ingestor has filled from a gateway."""
    played, files, _ = scene
    broker: Broker | None = None
    if request.param == "kafka":
        broker = request.getfixturevalue("broker")
    root = tmp_path_factory.mktemp("fed") / "root"
    with (
        pytest.MonkeyPatch.context() as patch,
        Gateway(files, at_end="close", once=True) as gateway,
    ):
        patch.setenv("DATABENTO_API_KEY", KEY)
        settings = on_bus(played.settings(root), PARTITIONS[request.param], broker)
        settings = fed(settings, gateway.port, played.symbols)
        (told,) = ingest(settings, once=True)
    whole = sum(len(records(path)) for path in files if ".definition." not in path.name)
    assert told.counts.records >= whole > 2_000
    return settings


def test_every_fact_is_historys_and_the_certificate_is_green(
    scene: tuple[Played, list[Path], Path], ingested: Settings, tmp_path: Path
) -> None:
    played, _, history = scene
    for intent in played.intents[ingested.bus.kind]:
        root = tmp_path / f"{intent}"
        shutil.copytree(ingested.root, root)
        settings = ingested.model_copy(update={"root": str(root)})
        with open_bus(settings) as bus:
            LiveEngine(settings, bus, intent_records=intent, commit_s=0.5, quiet_s=0.5).run()
        sessions = streamed_sessions(Lake(root))
        assert len(sessions) == played.sessions
        for name, day in sessions:
            certificate = certify(settings, name, day)
            assert certificate.equal, "\n".join(certificate.lines())
            assert certificate.row["vectors"] > 50
        compared = compare(root, history, played.unended)
        left_out = AT_THE_END if played.unended else ()
        assert all(compared.get(t) for t in ("bronze.mbo", *TABLES) if t not in left_out), compared
        found = rows(root, "silver.level_approach_2m_stream", "outcome", "direction")
        outcomes = Counter(r["outcome"] for r in found)
        print(intent, dict(compared), dict(outcomes), Counter(r["direction"] for r in found))
        assert outcomes
        assert not rows(root, "bronze.quarantine")
        assert not rows(root, "bronze.gaps")
