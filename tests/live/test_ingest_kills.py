"""The ingestor's process killed at drawn moments, stopped by signals, and watched."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from spymaster.feed.capture_name import captured_batch
from spymaster.feed.gateway import Gateway
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.lake.manifest import Manifest
from spymaster.settings import Settings
from tests.e2e.scenes import SHORT, market, mbo, records, rewrite, rows, run, short
from tests.live.scenes_live import (
    KEY,
    assert_same,
    config,
    expected,
    live_settings,
    read_topic,
    start,
    status_of,
)

CME = "GLBX.MDP3"
HOUR_NS = 3_600_000_000_000
Process = subprocess.Popen[str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Definitions, the market snapshot, and one busy hour of two futures right behind it."""
    folder = tmp_path_factory.mktemp("m")
    made = market(
        folder, sessions=1, events=40_000, windows=SHORT, first=date(2024, 1, 9), contracts=2
    )
    day = mbo("mbo", made)[-1]
    whole = records(day)
    first = int(whole["ts_recv"][whole["flags"] & 32 == 0][1500])
    busy = (whole["ts_recv"] > first) & (whole["ts_recv"] < first + HOUR_NS)
    assert busy.sum() > 20_000
    snapshot = whole[whole["flags"] & 32 != 0]
    snapshot["ts_recv"] = first
    hour = rewrite(day, folder / "hour.mbo.dbn.zst", np.concatenate([snapshot, whole[busy]]))
    return [*mbo("definition", made), hour]


def wait(what: Callable[[], bool], process: Process, seconds: float = 90) -> None:
    """Until it is so; the process must not end before."""
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it takes for ever"
        time.sleep(0.02)


def is_live(settings: Settings, process: Process) -> bool:
    try:
        told = status_of(settings, CME)
    except (FileNotFoundError, ValueError):
        return False
    return bool(told["pid"] == process.pid and told["state"] == "live")


def end(process: Process) -> None:
    """Whatever happened, nothing stays behind."""
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_killed_at_any_moment_it_loses_nothing_and_publishes_nothing_twice(
    files: list[Path], tmp_path: Path
) -> None:
    seed = int(os.environ.get("SPYMASTER_KILL_SEED") or random.SystemRandom().getrandbits(32))
    print("seed", seed)
    chance = random.Random(seed)
    with Gateway(files, speed=HOUR_NS / 40e9, at_end="close", key=KEY) as gateway:
        settings = live_settings(tmp_path / "root", short(tmp_path / "root"), gateway.port)
        settings = live_settings(tmp_path / "root", settings, gateway.port, partitions=3)
        toml = config(tmp_path / "s.toml", settings)
        for _ in range(3):
            process = start("ingest", "--config", toml, "--dataset", CME)
            try:
                wait(lambda p=process: is_live(settings, p), process)
                time.sleep(chance.random() * 2)
                os.kill(process.pid, signal.SIGKILL)
            finally:
                end(process)
        process = start("ingest", "--config", toml, "--dataset", CME, "--once")
        try:
            said, _ = process.communicate(timeout=120)
        finally:
            end(process)
    print(said)
    assert process.returncode == 0
    read = read_topic(settings)
    count = assert_same(read.rows, expected(settings, CME, mbo("mbo", files), files[:-1]))
    published: Counter[str] = Counter()
    for _, batch in read.batches:
        published[batch.batch_id] += len(batch.columns.ts_recv)
    landed = Manifest(Lake(settings.root)).rows()
    captured = {str(captured_batch(p)): len(records(Path(settings.root) / p)) for p in landed}
    print(count, read.dropped, captured, dict(published))
    assert dict(published) == captured
    assert len(captured) == 4
    assert list((Path(settings.root) / "raw-dbn/.capture" / CME).iterdir()) == []
    assert read.gaps == {}
    assert rows(Path(settings.root), "bronze.quarantine") == []
    run(short(tmp_path / "root"))
    run(short(tmp_path / "files"), files)
    for table in ("silver.bar_5s", "silver.mbo_normalized", "silver.feature_primitives"):
        found = diff(tmp_path / "root", tmp_path / "files", table)
        print(found)
        assert found.equal, table


def test_sigterm_ends_it_in_order_and_the_health_page_tells_of_it(
    files: list[Path], tmp_path: Path
) -> None:
    with Gateway(files, speed=500, key=KEY) as gateway:
        settings = live_settings(tmp_path / "root", short(tmp_path / "root"), gateway.port)
        toml = config(tmp_path / "s.toml", settings)
        process = start("ingest", "--config", toml, "--dataset", CME, "--health", 0)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[2].removesuffix("/healthz")
            wait(lambda: is_live(settings, process), process)
            with urllib.request.urlopen(f"{url}/readyz") as answer:
                told = json.load(answer)
            print(told)
            assert told["ok"]
            assert told["feeds"][0]["records"] > 0
            with pytest.raises(urllib.error.HTTPError, match="404") as caught:
                urllib.request.urlopen(f"{url}/other")
            caught.value.close()
            second = start("ingest", "--config", toml, "--dataset", CME)
            refused, _ = second.communicate(timeout=60)
            print(refused)
            assert second.returncode == 1
            assert "another ingestor of GLBX.MDP3 is at work" in refused
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
        finally:
            end(process)
    print(said)
    assert process.returncode == 0
    assert KEY not in said
    assert "Traceback" not in said
    state = status_of(settings, CME)
    assert state["state"] == "stopped"
    (row,) = Manifest(Lake(settings.root)).rows().values()
    captured = len(records(Path(settings.root) / row["path"]))
    read = read_topic(settings)
    assert read.records == captured == state["records"] > 0


def test_wrong_key_ends_the_process_with_one_line(files: list[Path], tmp_path: Path) -> None:
    with Gateway(files, key="db-quite-another") as gateway:
        settings = live_settings(tmp_path / "root", short(tmp_path / "root"), gateway.port)
        toml = config(tmp_path / "s.toml", settings)
        process = start("ingest", "--config", toml, "--dataset", CME)
        said, _ = process.communicate(timeout=60)
    print(said)
    assert process.returncode == 1
    assert "does not let this key in" in said
    assert KEY not in said
    assert "Traceback" not in said
