"""The live verbs as a person meets them: what they say, how they end, what they refuse."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from spymaster.bus import open_bus
from spymaster.contracts.stream import SUFFIX
from spymaster.engines.epoch import EpochLog, newest_state
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.e2e.runner import Ended, Runner
from tests.e2e.scenes import SHORT, market, mbo, rows, run, short
from tests.live.posting import post
from tests.live.streamed import TABLES, partitioned, whole_sessions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Runner]]:
    """Two commands can run at once."""
    made = [Runner(tmp_path_factory.mktemp("said")) for _ in range(2)]
    yield made
    for runner in made:
        runner.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return market(tmp_path_factory.mktemp("market"), 2, 2_000, SHORT, contracts=1)


@pytest.fixture(scope="module")
def posted(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose topic holds two sessions, and that no stream has seen."""
    root = tmp_path_factory.mktemp("posted") / "root"
    with open_bus(short(root)) as bus:
        post(bus, short(root), files, 200)
    return root


@pytest.fixture(scope="module")
def streamed(posted: Path, runners: list[Runner], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same root after a stream, without the landed files of history."""
    root = tmp_path_factory.mktemp("streamed") / "root"
    shutil.copytree(posted, root)
    done = runners[0].run("live", *given(root), "--quiet", "0.3")
    assert done.code == 0, done.said
    assert "2024-01-09 ended; its certificate: spymaster parity --session 2024-01-09" in done.said
    return root


def given(root: Path, settings: Settings | None = None) -> list[str | Path]:
    config = root.with_suffix(".toml")
    config.write_text((settings or short(root)).to_toml())
    return ["--config", config]


def copied(root: Path, tmp_path: Path) -> Path:
    shutil.copytree(root, tmp_path / "root")
    return tmp_path / "root"


def refused(done: Ended, *parts: str) -> None:
    """One clear line, exit code 1."""
    assert done.code == 1, done.said
    assert "Traceback" not in done.said
    lines = [line for line in done.said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.said
    for part in parts:
        assert part in lines[0], done.said


def until(runner: Runner, pattern: str) -> str:
    """What a running command says, once it says this."""
    while (found := re.search(pattern, said(runner))) is None:
        assert alive(runner.pid), said(runner)
        time.sleep(0.02)
    return found[1]


def said(runner: Runner) -> str:
    return runner._out.read_text() if runner._out.exists() else ""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def get(port: str, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def status(runner: Runner, root: Path) -> dict[str, Any]:
    done = runner.run("status", *given(root), "--json")
    assert done.code == 0, done.said
    (told,) = json.loads(done.said)["processes"]
    return dict(told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_running_stream_tells_how_it_is_and_a_signal_drains_it(
    number: int, posted: Path, runners: list[Runner], tmp_path: Path
) -> None:
    root, (mine, other) = copied(posted, tmp_path), runners
    # Seconds between commits enough that what was read waits for the end.
    pid = mine.start("live", *given(root), "--health", "0", "--commit", "600")
    port = until(mine, r"health: http://127\.0\.0\.1:(\d+)/healthz")
    while get(port, "readyz")[0] != 200 or not get(port, "readyz")[1]["feeds"][0]["records"]:
        assert alive(pid), said(mine)
        time.sleep(0.05)
    code, told = get(port, "healthz")
    assert (code, told["ok"]) == (200, True)
    assert get(port, "elsewhere")[0] == 404
    while status(other, root).get("records", 0) < 4_000:
        assert alive(pid), said(mine)
    told = status(other, root)
    assert (told["process"], told["state"], told["runs"]) == ("live", "live", True)
    refused(
        other.run("live", *given(root)),
        "another stream engine is at work on this root", f"process {pid} on", "stop it",
    )  # fmt: skip
    again = status(other, root)
    assert (again["pid"], again["runs"], again["state"]) == (pid, True, "live")
    table = other.run("status", *given(root))
    assert re.search(r"live +live +\d", table.said), table.said
    os.kill(pid, number)
    done = mine.wait()
    assert done.code == 0, done.said
    assert "draining" in done.said
    assert "Traceback" not in done.said
    assert [s["session_date"] for s in whole_sessions(root)] == ["2024-01-08", "2024-01-09"]
    assert status(other, root)["state"] == "stopped"
    assert "stopped" in other.run("status", *given(root)).said


def test_a_stream_that_was_killed_is_told_to_be_gone(
    posted: Path, runners: list[Runner], tmp_path: Path
) -> None:
    root, (mine, other) = copied(posted, tmp_path), runners
    mark = {"point": "state-before", "nth": 2, "mark": str(tmp_path / "mark")}
    done = mine.run("live", *given(root), "--commit", "0.1", "--intent", "100", fault=mark)
    assert done.code == -signal.SIGKILL
    assert not status(other, root)["runs"]
    table = other.run("status", *given(root)).said
    assert re.search(r"live +gone \(\d+ s silent\)", table), table


def test_status_of_a_root_without_processes(runners: list[Runner], tmp_path: Path) -> None:
    done = runners[0].run("status", *given(tmp_path / "root"))
    assert done.code == 0
    assert "no process has run here yet" in done.said
    done = runners[0].run("status", *given(tmp_path / "root"), "--json")
    assert json.loads(done.said) == {"processes": [], "gaps": []}


def test_other_settings_code_partitions_and_topics_are_refused(
    streamed: Path, runners: list[Runner], tmp_path: Path
) -> None:
    root, runner = copied(streamed, tmp_path), runners[0]
    quiet = ["--quiet", "0.3"]
    told = short(root).model_dump(mode="json")
    told["underlier"]["ES"]["approach"]["touch_ticks"] = 9
    other = Settings.model_validate(told)
    refused(
        runner.run("live", *given(root, other), *quiet),
        "the state after epoch", "was made with other settings of ES", "spymaster live --fresh",
    )  # fmt: skip
    refused(
        runner.run("live", *given(root, partitioned(short(root), 2)), *quiet),
        "topic mbo_raw has 1 partitions, not 2", "Set bus.partitions = 1",
    )  # fmt: skip
    config = root.with_suffix(".bad")
    config.write_text('[bus]\nkind = "carrier pigeon"\n')
    refused(runner.run("live", "--config", config), "bus.kind", "embedded", "kafka")
    config.write_text("[bus]\npartitons = 2\n")
    refused(runner.run("live", "--config", config), "unknown key bus.partitons", "partitions")
    refused(runner.run("live", "--config", tmp_path / "absent.toml"), "cannot be read")
    refused(
        _with_a_taken_port(runner, root),
        "--health", "allowed is a free port",
    )  # fmt: skip
    # The bus was thrown away, and the state is of a topic that is no more.
    shutil.rmtree(root / "bus")
    refused(runner.run("live", *given(root), *quiet), "made anew", "--fresh")
    done = runner.run("live", *given(root), "--fresh", *quiet)
    assert done.code == 0, done.said


def _with_a_taken_port(runner: Runner, root: Path) -> Ended:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return runner.run("live", *given(root), "--health", str(taken.getsockname()[1]))


def test_state_of_other_code_is_refused(
    streamed: Path, runners: list[Runner], tmp_path: Path
) -> None:
    root = copied(streamed, tmp_path)
    folder = root / "lake/checkpoints/live/0"
    state = newest_state(folder)
    assert state is not None
    made_by = {**state.facts["made_by"], "code_version": "0.0.1"}
    log = EpochLog(folder, lambda: None)
    log.save(replace(state, e=state.e, facts={**state.facts, "made_by": made_by}))
    log.close()
    refused(
        runners[0].run("live", *given(root), "--quiet", "0.3"),
        "was made with other code_version", "spymaster live --fresh",
    )  # fmt: skip
    log = EpochLog(folder, lambda: None)
    log.save(replace(state, data=state.data[:16] + b"\x09" + state.data[17:]))
    log.close()
    refused(
        runners[0].run("live", *given(root), "--quiet", "0.3"),
        "is of another version of this program", "spymaster live --fresh",
    )  # fmt: skip


def test_begun_anew_writes_no_row_twice_and_the_sessions_after_are_whole(
    files: list[Path], runners: list[Runner], tmp_path: Path
) -> None:
    root, runner = tmp_path / "root", runners[0]
    days = sorted(mbo("mbo", files))
    told = [f for f in files if ".definition." in f.name]
    middle = 1_704_724_500 * 10**9  # 2024-01-08 14:35 UTC, in the first session's windows
    with open_bus(short(root)) as bus:
        post(bus, short(root), [*told, *days], 200, land=False, until=middle)
    assert runner.run("live", *given(root), "--quiet", "0.3").code == 0
    before = {name: rows(root, name + SUFFIX) for name in TABLES}
    assert before["silver.bar_5s"]
    # A log that is damaged in its midst stands in nobody's way.
    log = root / "lake/checkpoints/live/0/log"
    kept = log.read_bytes()
    log.write_bytes(bytes([kept[0] ^ 1]) + kept[1:] + b"x\ny\nz\n")
    refused(runner.run("live", *given(root), "--quiet", "0.3"), "damaged at byte 0", "--fresh")
    with open_bus(short(root)) as bus:
        post(bus, short(root), days, 200, land=False, since=middle + 1)
    done = runner.run("live", *given(root), "--fresh", "--quiet", "0.3")
    assert done.code == 0, done.said
    # Monday was not seen whole: Tuesday is what history makes of it without the day before.
    run(short(tmp_path / "history"), [f for f in files if "20240109" in f.name])
    where = {"session_date": date(2024, 1, 9)}
    for name in TABLES:
        found = diff(Lake(tmp_path / "history"), Lake(root), (name, name + SUFFIX), where=where)
        assert found.equal, str(found)
        assert found.rows[f"{name} / {name}{SUFFIX}"][0] > 0, name
    monday = {"session_date": date(2024, 1, 8)}
    for name, found_before in before.items():
        kept = Lake(root).scan(name + SUFFIX, filters=monday, missing_ok=True).to_pylist()
        mine = [r for r in found_before if str(r.get("session_date")) == "2024-01-08"]
        assert len(kept) == len(mine), name
    topic = rows(root, "bronze.stream", "topic_partition", "topic_offset", "event_index",
                 "contract_id", "ts_recv", "is_snapshot", "action")  # fmt: skip
    records = [tuple(r.values()) for r in topic if r["action"] is not None]
    assert len(records) == len(set(records)) > 4_000


def test_explain_of_streamed_and_historical_vectors(
    streamed: Path, files: list[Path], runners: list[Runner], tmp_path: Path
) -> None:
    root, runner = copied(streamed, tmp_path), runners[0]
    found = rows(root, "gold.setup_vectors_stream", "feature_hash", "contract_id")
    one = found[len(found) // 2]["feature_hash"]
    done = runner.run("explain", one, *given(root))
    assert done.code == 0, done.said
    assert f"vector {one} (gold.setup_vectors_stream)" in done.said
    assert "bars (silver.bar_5s_stream), the last three" in done.said
    shown = re.search(
        r"records of its last bar \(bronze\.stream\): (\d+), the last (\d+)", done.said
    )
    assert shown, done.said
    assert len(re.findall(r" order -?\d+$", done.said, re.M)) == int(shown[2])
    ends = re.findall(r"^    to \S+  .* (\d+) records$", done.said, re.M)
    assert len(ends) == 3
    assert int(ends[-1]) == int(shown[1]) > 0
    refused(runner.run("explain", "", *given(root)), "vectors begin so; give more")
    refused(runner.run("explain", "zz", *given(root)), "zz: no vector of", "spymaster show")
    refused(runner.run("explain", one, *given(tmp_path / "empty")), "no lake lies here yet")
    past = tmp_path / "history"
    run(short(past), files)
    done = runner.run("explain", one[:16], *given(past), "--records", "0")
    assert done.code == 0, done.said
    assert f"vector {one} (gold.setup_vectors)" in done.said
    assert "records of its last bar" not in done.said


def test_parity_tells_what_there_is_no_certificate_for(
    streamed: Path, posted: Path, runners: list[Runner], tmp_path: Path
) -> None:
    root, runner = copied(streamed, tmp_path), runners[0]
    session = ["--session", "2024-01-09"]
    refused(runner.run("parity", *given(root), *session), "no file captured of", "A capture lands")
    refused(
        runner.run("parity", *given(root), "--session", "2024-02-01"),
        "no stream has ended this session", "Ended are: ES 2024-01-08, ES 2024-01-09",
    )  # fmt: skip
    refused(runner.run("parity", *given(root), "--session", "soon"), "soon")
    refused(runner.run("parity", *given(root), "-u", "NQ", *session), "'NQ' is not configured")
    refused(runner.run("parity", *given(posted), *session), "no stream has ended")
    refused(runner.run("parity", *given(tmp_path / "empty")), "no lake lies here yet")
    done = runner.run("parity", *given(root), *session, "--vendor")
    assert done.code == 0, done.said
    assert "ES 2024-01-09 against the vendor: equal" in done.said
