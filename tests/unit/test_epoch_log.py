"""What a log of intents keeps when the power is cut between two lines."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from spymaster.engines.epoch import EpochLog, State
from spymaster.errors import LakeError


def opened(folder: Path) -> EpochLog:
    return EpochLog(folder, lambda: None)


def written(folder: Path) -> bytes:
    """Two intents, not for good, and what each came to."""
    log = opened(folder)
    for n in (1, 2):
        assert log.intent({0: (n, n + 1)}, {"version": str(n)}, for_good=False).n == n
        log.result(n, [n])
    log.close()
    return (folder / "log").read_bytes()


def test_a_log_cut_anywhere_opens_with_what_was_whole(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    for cut in range(len(whole) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "log").write_bytes(whole[:cut])
        log = opened(folder)
        lines = whole[:cut].count(b"\n")
        loose = [i for _, intents in log.replay() for i in intents]
        assert [i.n for i in loose] == [1, 2][: (lines + 1) // 2]
        assert [log.came_to(n) for n in (1, 2)] == [[n] if lines >= 2 * n else None for n in (1, 2)]
        assert log.intent({}, {}).n == len(loose) + 1
        log.close()


def test_an_intent_lost_before_its_result_is_lost_with_it(tmp_path: Path) -> None:
    """The disk may have kept the later of the two lines that were not for good."""
    lines = written(tmp_path).splitlines(keepends=True)
    torn = b"\0" * (len(lines[2]) - 1) + b"\n"
    (tmp_path / "log").write_bytes(b"".join(lines[:2]) + torn + lines[3])
    log = opened(tmp_path)
    assert [i.n for _, intents in log.replay() for i in intents] == [1]
    assert log.came_to(2) is None
    assert log.intent({0: (2, 3)}, {}).n == 2
    log.close()
    # More than that is no cut, but damage.
    (tmp_path / "log").write_bytes(torn + b"".join(lines[1:]))
    with pytest.raises(LakeError, match="damaged at byte 0, and more follows"):
        opened(tmp_path)


def test_one_line_at_a_time_is_not_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, synced = os.fdatasync, []

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    log, sizes = opened(tmp_path), []
    for for_good in (True, False, False, False, True):
        log.intent({0: (0, 1)}, {}, for_good=for_good)
        sizes.append((tmp_path / "log").stat().st_size)
    log.close()
    assert synced == [0, sizes[0], sizes[2], sizes[4]]


def test_what_a_killed_process_left_is_on_disk_before_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last line may not have been; neither is it known that a cut line is gone."""
    whole = written(tmp_path)
    (tmp_path / "log").write_bytes(whole[:-1])
    real, synced = os.fdatasync, []

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    log = opened(tmp_path)
    kept = whole[: whole[:-1].rindex(b"\n") + 1]
    assert synced == [len(kept)]
    log.intent({0: (2, 3)}, {}, for_good=False)
    assert synced == [len(kept)]
    log.close()


def test_nothing_written_meanwhile_is_lost_when_the_log_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committer keeps a state, and shortens the log, while the loop writes intents."""
    monkeypatch.setattr("spymaster.engines.epoch._LONG", 1)
    log = opened(tmp_path)
    behind = log.intent({0: (0, 1)}, {})
    failed: list[BaseException] = []

    def commit() -> None:
        try:
            for e in range(1, 60):
                log.save(State(e, behind.n, {}, b""))
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=commit)
    thread.start()
    n = behind.n
    while thread.is_alive() or n < behind.n + 50:
        intent = log.intent({0: (n, n + 1)}, {}, for_good=False)
        log.result(intent.n, [intent.n])
        n = intent.n
    thread.join()
    log.close()
    assert not failed
    again = opened(tmp_path)
    loose = [i.n for _, intents in again.replay() for i in intents]
    assert loose == list(range(behind.n + 1, n + 1))
    assert [again.came_to(i) for i in loose] == [[i] for i in loose]
    again.close()
