"""Gateway, ingestor, engine and broker, each killed while a market plays: nothing comes of it.

The feed's time goes on whatever dies, as a market's does; what was missed is asked for again.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spymaster.bus import open_bus
from spymaster.engines.lease import lease_file
from spymaster.engines.parity import Certificate, certify
from spymaster.engines.stream.live import LiveEngine
from spymaster.feed.gateway import Gateway
from spymaster.feed.ingest.process import ingest
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.bus.broker import CONNECTION, VARIABLE, Broker, free_ports
from tests.e2e.runner import Runner, loose
from tests.e2e.scenes import NS, rows
from tests.live.chain import BEGIN, KEY, NIGHT, UNTIL, a_night, ended, night, on_bus
from tests.live.scenes_live import live_settings, status_of
from tests.live.streamed import once, streams_differ

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("SPYMASTER_SOAK_SEED") or random.SystemRandom().getrandbits(32))
FAULTS = int(os.environ.get("SPYMASTER_SOAK", "6"))
CME = "GLBX.MDP3"
#: Times the market's speed: a case's feed lasts some ten seconds.
SPEED = 90
#: Faults in a case, and the most seconds that anything is waited for.
AT_ONCE, PATIENCE_S = 10, 180
KINDS = ("kill gateway", "kill ingest", "kill live", "reset", "stall", "zombie")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABENTO_API_KEY", KEY)
        patch.setenv(VARIABLE, CONNECTION)
        running = Runner(tmp_path_factory.mktemp("said"))
        yield running
        running.close()


class Calm:
    """The same market streamed undisturbed, and its certificate."""

    def __init__(self, folder: Path) -> None:
        self.files = a_night(folder / "market")
        with Gateway(self.files, at_end="close", key=KEY) as gateway:
            settings = patient(folder / "root", gateway.port)
            ingest(settings, once=True)
        with open_bus(settings) as bus:
            LiveEngine(settings, bus, quiet_s=0.3).run()
        self.root = folder / "root"
        self.certificate = certified(settings)
        assert self.certificate.row["vectors"] > 50


def patient(root: Path, port: int) -> Settings:
    """Settings of a feed whose gateway may be gone for a while."""
    return live_settings(root, night(root), port, symbols={"ES": {"parent": ["ES.FUT"]}})


def certified(settings: Settings) -> Certificate:
    certificate = certify(settings, "ES", NIGHT)
    assert certificate.equal, "\n".join(certificate.lines())
    return certificate


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calm]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABENTO_API_KEY", KEY)
        yield Calm(tmp_path_factory.mktemp("calm"))


class Case:
    """The three processes over a root of their own, kept alive; what is done to them."""

    def __init__(
        self, runner: Runner, calm: Calm, folder: Path, rng: random.Random, broker: Broker | None
    ) -> None:
        self.runner, self.calm, self.rng, self.broker = runner, calm, rng, broker
        (self.port,) = free_ports(1)
        self.root = folder / "root"
        plain = patient(self.root, self.port)
        bus = on_bus(plain, rng.randint(1, 3), broker)
        self.settings = bus
        self.config = folder / "spymaster.toml"
        self.config.write_text(bus.to_toml())
        self.hit: Counter[str] = Counter()
        self.told: list[str] = []  # by gateways that are no more
        self.pids: dict[str, int] = {}
        self.others: list[int] = []  # that must end by themselves
        self.began = time.monotonic()
        self.script: list[str] = []

    # The processes

    def start(self, name: str) -> None:
        config: list[str | Path] = ["--config", self.config]
        self.pids[name] = self.runner.begin(
            *{
                "gateway": self._gateway,
                "ingest": lambda: ["ingest", *config, "--dataset", CME],
                "live": lambda: [
                    "live", *config, "--commit", f"{self.rng.uniform(0.1, 0.6):.2f}",
                    "--intent", str(self.rng.choice([100, 1_000])),
                ],
            }[name]()
        )  # fmt: skip

    def _gateway(self) -> list[str | Path]:
        """Its clock stands where the market's does by now."""
        now = min(BEGIN + int((time.monotonic() - self.began) * SPEED * NS), UNTIL - 40 * NS)
        since = dt.datetime.fromtimestamp(now / NS, dt.UTC).replace(tzinfo=None).isoformat()
        script = [part for text in self.script for part in ("--fault", text)]
        told: list[str | Path] = ["--from", since] if now > BEGIN + NS else []
        return [
            "replay", *self.calm.files, "--speed", f"{SPEED}x", "--port", str(self.port),
            *told, *script,
        ]  # fmt: skip

    def begin(self) -> None:
        """All three, until the feed is past its market snapshot."""
        self.start("gateway")
        self.until(lambda: "listening on" in self.runner.said(self.pids["gateway"]))
        self.began = time.monotonic()
        for name in ("live", "ingest"):
            self.start(name)
        self.until(lambda: self.seen() > BEGIN)

    def seen(self) -> int:
        """The feed's time at the ingestor, ns UTC."""
        try:
            return int(status_of(self.settings, CME)["last_ts_recv"] or 0)
        except (OSError, ValueError):
            return 0

    def until(self, what: Callable[[], bool]) -> None:
        """Until it is so; none of the three may end by itself."""
        end = time.monotonic() + PATIENCE_S
        while not what():
            for name, pid in self.pids.items():
                assert alive(pid), f"{name}: {self.runner.reap(pid)}"
            assert time.monotonic() < end, {n: self.runner.said(p) for n, p in self.pids.items()}
            time.sleep(0.02)

    # What is done to them

    def kill(self, name: str) -> None:
        """`kill -9`, and at once another."""
        pid = self.pids.pop(name)
        os.kill(pid, signal.SIGKILL)
        done = self.runner.reap(pid)
        assert done.code == -signal.SIGKILL, done.said
        if name == "gateway":
            self.told.append(done.said)
        self.start(name)
        self.hit[f"kill {name}"] += 1

    def scripted(self, kind: str) -> None:
        """Another gateway, whose next connection breaks after a drawn number of records."""
        self.script = [f"{kind}:{self.rng.randint(0, 400)}@{self.rng.randint(1, 2)}"]
        self.kill("gateway")
        self.script = []

    def zombie(self) -> None:
        """The engine is paused, its lease is another's; it comes back and must write no more."""
        lease = self.root / lease_file("live")
        self.until(lambda: holder(lease) == self.pids["live"])
        time.sleep(self.rng.uniform(0, 0.5))
        paused = self.pids.pop("live")
        os.kill(paused, signal.SIGSTOP)
        # The lock of a machine that is gone is no more.
        shutil.copy(lease, lease.with_suffix(".new"))
        lease.with_suffix(".new").replace(lease)
        self.start("live")
        self.until(lambda: holder(lease) == self.pids["live"])
        time.sleep(self.rng.uniform(0, 1.5))
        os.kill(paused, signal.SIGCONT)
        self.others.append(paused)
        self.hit["zombie"] += 1

    def restart_broker(self) -> None:
        assert self.broker is not None
        self.broker.kill()
        time.sleep(self.rng.uniform(0, 1))
        self.broker.start()
        self.hit["broker restart"] += 1

    def do(self, kind: str) -> None:
        verb, _, name = kind.partition(" ")
        if kind in ("reset", "stall"):
            self.scripted(kind)
        elif kind == "broker restart":
            self.restart_broker()
        elif verb == "kill":
            self.kill(name)
        else:
            self.zombie()

    def over(self) -> None:
        """The session has ended; all three end in order."""
        self.until(lambda: bool(ended(self.root)))
        for pid in self.others:
            done = self.runner.reap(pid)
            assert done.code == 1, done.said
            assert "this process held fence" in done.said
        for name in ("ingest", "live", "gateway"):
            pid = self.pids.pop(name)
            os.kill(pid, signal.SIGTERM)
            done = self.runner.reap(pid)
            assert done.code == 0, done.said
            assert "Traceback" not in done.said
            self.told += [done.said] * (name == "gateway")
        for kind in ("reset", "stall"):
            self.hit[kind] += sum(said.count(f"fault {kind}:") for said in self.told)

    def give_up(self) -> None:
        """Nothing stays behind, whatever happened."""
        for pid in [*self.pids.values(), *self.others]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)

    def equal(self) -> Certificate:
        """What an undisturbed run has, is there, and once."""
        found = streams_differ(self.calm.root, self.root)
        assert found.equal, str(found)
        assert diff(once(self.calm.root)[0], once(self.root)[0], "bronze.stream").equal
        assert not rows(self.root, "bronze.gaps")
        assert not rows(self.root, "bronze.quarantine")
        assert loose(self.root) == []
        mine, calms = certified(self.settings), self.calm.certificate
        assert made(mine) == made(calms)
        return mine


def made(certificate: Certificate) -> dict[str, Any]:
    """Rows compared of each table, but the topic's, to which records may come again."""
    told = json.loads(certificate.row["rows"])
    return {name: n for name, n in told.items() if "bronze" not in name}


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def holder(lease: Path) -> int:
    """The process that holds a lease."""
    try:
        return int(json.loads(lease.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return 0


def test_whatever_dies_and_whenever_the_stream_is_what_it_would_have_been(
    runner: Runner, calm: Calm, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    print("seed", SEED, "faults", FAULTS)
    rng = random.Random(SEED)
    hit: Counter[str] = Counter()
    case, began = 0, time.monotonic()
    while hit.total() < FAULTS:
        assert case < FAULTS + 5, hit
        # A soak's every third case is on Kafka, whose broker falls, too.
        kafka = case % 3 == 2 and shutil.which("java") and shutil.which("mvn")
        broker: Broker | None = request.getfixturevalue("broker") if kafka else None
        folder = tmp_path / f"{case}"
        folder.mkdir()
        one = Case(runner, calm, folder, rng, broker)
        every = (*KINDS, *["broker restart"] * bool(kafka))
        kinds = [*every, *rng.choices(every, k=AT_ONCE - len(every))] if case else list(every)
        rng.shuffle(kinds)
        try:
            one.begin()
            left = UNTIL / NS - BEGIN / NS - (time.monotonic() - one.began) * SPEED
            times = sorted(rng.uniform(0, left / SPEED) for _ in kinds)
            for after, kind in zip(times, kinds, strict=True):
                due = one.began + after
                one.until(lambda due=due: time.monotonic() >= due)
                one.do(kind)
            one.over()
        finally:
            one.give_up()
        certificate = one.equal()
        hit += one.hit
        print(f"case {case}: {dict(one.hit)}, {certificate.row['vectors']} vectors equal, "
              f"{time.monotonic() - one.began:.0f} s")  # fmt: skip
        shutil.rmtree(folder)
        case += 1
    assert all(hit[kind] for kind in KINDS) or FAULTS < 30
    print(f"{hit.total()} faults in {case} cases, {time.monotonic() - began:.0f} s: {dict(hit)}")
