"""More than a week of streaming: files, logs, states and memory stay as large as after a day."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from spymaster.bus import open_bus
from spymaster.contracts.stream import TABLES
from spymaster.engines import epoch
from spymaster.engines.epoch import EpochLog, State
from spymaster.lake import Lake, delta
from spymaster.lake import read as reading
from tests.e2e.runner import Runner
from tests.e2e.scenes import SHORT, market, mbo, run, short
from tests.live.chain import ended
from tests.live.posting import post
from tests.live.streamed import compare

SESSIONS = int(os.environ.get("SPYMASTER_WEEK", "8"))
DAYS_NS = 2 * 86_400 * 10**9


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    running = Runner(tmp_path_factory.mktemp("said"))
    yield running
    running.close()


def resident(pid: int) -> int:
    """Megabytes of a process in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def tidied(root: Path) -> str:
    """The last session whose files have become one."""
    try:
        told = json.loads((root / "lake/checkpoints/live/replaced.json").read_text())
    except FileNotFoundError:
        return ""
    return max(p["session_date"] for p in told["ended"])


def age(root: Path) -> None:
    """Two days pass for every log file: what Delta judges their age by."""
    for path in root.glob("lake/**/_delta_log/*"):
        then = path.stat().st_mtime_ns - DAYS_NS
        os.utime(path, ns=(then, then))


class Files:
    """What lies on the disk when a session has ended; raises on what is more than it should be."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions: dict[str, int] = {}

    def check(self, done: list[str]) -> Counter[str]:
        """`done`: sessions before the last that has ended."""
        lake, seen = Lake(self._root), Counter[str]()
        for name in (t.name for t in TABLES):
            opened, table = lake.open(name), lake.table(name)
            folder = self._root / delta.folder(table)
            named = reading.files(opened).to_pylist()
            if "session_date" in table.partition:
                by_session = Counter(
                    (str(f["partition.session_date"]), f["partition.instrument_type"])
                    for f in named
                    if str(f["partition.session_date"]) in done
                )
                assert not [x for x, n in by_session.items() if n > 1], (name, by_session)
                seen["settled"] += len(by_session)
            logs = list((folder / "_delta_log").glob("*.json"))
            since = opened.version() - self._versions.get(name, 0)
            self._versions[name] = opened.version()
            assert len(logs) <= since + 3, (name, len(logs), since)
            checkpoints = list((folder / "_delta_log").glob("*.checkpoint.parquet"))
            assert len(checkpoints) <= 4, (name, checkpoints)
            seen["commits"] += since
            seen["log files"] += len(logs) + len(checkpoints)
            seen["data files"] += sum(1 for _ in folder.rglob("*.parquet")) - len(checkpoints)
            seen["named"] += len(named)
        live = self._root / "lake/checkpoints/live/0"
        assert len(list(live.glob("state-*"))) == 2
        seen["epoch log"] = (live / "log").stat().st_size
        return seen


@pytest.mark.slow
def test_a_week_and_more_leaves_no_more_behind_than_a_day(runner: Runner, tmp_path: Path) -> None:
    files = market(tmp_path / "market", SESSIONS, 2_500, SHORT, contracts=1)
    root, config = tmp_path / "root", tmp_path / "spymaster.toml"
    config.write_text(short(root).to_toml())
    told = [f for f in files if ".definition." in f.name]
    pid = runner.start("live", "--config", config, "--commit", "0.1", "--intent", "50")
    looked, seen, memory = Files(root), list[Counter[str]](), list[int]()
    done: list[str] = []
    with open_bus(short(root)) as bus:
        post(bus, short(root), told)
        for day in sorted(mbo("mbo", files)):
            before = len(ended(root))
            post(bus, short(root), [day], 10)
            behind = bus.ends("mbo_raw")
            while bus.reported("live", "mbo_raw") != behind:
                assert runner_lives(pid), runner._out.read_text()
                time.sleep(0.05)
            found = sorted(str(r["session_date"]) for r in ended(root))
            if len(found) == before:
                continue
            while tidied(root) != found[-1]:
                assert runner_lives(pid), runner._out.read_text()
                time.sleep(0.05)
            seen.append(looked.check(done))
            memory.append(resident(pid))
            print(found[-1], memory[-1], "MB", dict(seen[-1]), flush=True)
            done = found
            age(root)
    os.kill(pid, signal.SIGTERM)
    ending = runner.wait()
    assert ending.code == 0, ending.said
    assert len(done) == SESSIONS
    second, last = seen[1], seen[-1]
    # Several epochs a session, so that what is small becomes one; in the log each is a file.
    assert min(s["commits"] for s in seen) > 2 * len(TABLES)
    # A settled session has a file a table, and nothing else is left of it.
    per_session = (last["settled"] - second["settled"]) / (SESSIONS - 2)
    small = [s["data files"] - s["settled"] for s in seen]
    assert max(small[2:]) <= 2 * max(small[:2]), small
    assert per_session <= len(TABLES)
    logs = [s["log files"] for s in seen]
    assert max(logs[2:]) <= 2 * max(logs[:2]), logs
    # What a process holds anew grows less and less, and stands still after some two weeks.
    assert memory[-1] - memory[SESSIONS // 2] < 40, memory
    run(short(tmp_path / "history"), files)
    assert compare(root, tmp_path / "history")["gold.setup_vectors"] > 500
    assert loose_data(root) == []


def runner_lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def loose_data(root: Path) -> list[str]:
    """Files of data that neither a table names nor the next tidying will remove."""
    told = json.loads((root / "lake/checkpoints/live/replaced.json").read_text())
    lake, found = Lake(root), []
    for table in TABLES:
        folder = root / delta.folder(table)
        named = set(reading.files(lake.open(table.name))["path"].to_pylist())
        kept = {*named, *told["replaced"].get(table.name, [])}
        paths = [p for p in folder.rglob("*.parquet") if "_delta_log" not in p.parts]
        found += [str(p) for p in paths if p.relative_to(folder).as_posix() not in kept]
    return found


def test_the_log_of_intents_and_epochs_is_cut_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch, "_LONG", 1 << 14)
    log, sizes = EpochLog(tmp_path, lambda: None), []
    for e in range(1, 301):
        first = log.intent({0: (e, e + 1)}, {"opened": {}}).n
        last = log.intent({0: (e, e + 2)}, {}).n
        log.epoch(e, first, last)
        log.save(State(e, last, {}, b"state %d" % e))
        sizes.append((tmp_path / "log").stat().st_size)
    loose_intent = log.intent({0: (7, 9)}, {})
    log.close()
    assert max(sizes) < (1 << 14) + 1_000
    assert min(sizes[100:]) < 1_000
    assert len(list(tmp_path.glob("state-*"))) == 2
    again = EpochLog(tmp_path, lambda: None)
    assert again.state is not None
    assert (again.state.e, again.state.intent, again.state.data) == (300, 600, b"state 300")
    assert list(again.replay()) == [(None, [loose_intent])]
    # The newest state is lost: the one before, and what followed it.
    again.close()
    (tmp_path / f"state-{300:012d}.bin").write_bytes(b"torn")
    older = EpochLog(tmp_path, lambda: None)
    assert older.state is not None
    assert older.state.e == 299
    (repeated, intents), rest = older.replay()
    assert repeated is not None
    assert (repeated.e, [i.n for i in intents]) == (300, [599, 600])
    assert rest == (None, [loose_intent])
    older.close()
