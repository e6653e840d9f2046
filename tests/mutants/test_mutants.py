"""Errors put into the kernel on purpose: each must be noticed, and nothing else.

The sources are run by the interpreter (`uncompiled.py`), which takes seconds where compiling
each mutant would take half an hour.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import spymaster
from tests.oracle.tables import oracle_tables
from tests.scenarios import late_event_scenario, random_scenario, walk_scenario

PACKAGE = Path(spymaster.__file__).parent


class Mutant(NamedTuple):
    """A file of the kernel, a text that occurs in it exactly once, and what replaces it."""

    file: str
    old: str
    new: str


MUTANTS = {
    "a record acts on the wrong side": Mutant(
        "book",
        "side = BID if record.side == SIDE_BID else ASK\n    at",
        "side = ASK if record.side == SIDE_BID else BID\n    at",
    ),
    "F takes size off the book": Mutant(
        "book",
        "        row[O_PENDING] += record.size\n",
        "        row[O_PENDING] += record.size\n"
        "        at = orders.place(b.table, b.s, record.order_id)\n"
        "        shrink(b, at, min(record.size, row[O_SZ]))\n",
    ),
    "T acts on the book": Mutant(
        "book",
        "if action != ACTION_ADD and action != ACTION_CANCEL and action != ACTION_MODIFY:",
        "if action != ACTION_ADD and action not in (ACTION_CANCEL, ACTION_MODIFY, 84):",
    ),
    "a fill is not used up": Mutant("book", "    row[O_PENDING] = 0\n    executed", "    executed"),
    "a fill outlives its ts_event": Mutant(
        "book",
        "pending = row[O_PENDING] if row[O_PENDING_TS] == ts_event else 0",
        "pending = row[O_PENDING]",
    ),
    "a refill counts as an add": Mutant(
        "book", "flow(b, REFILLED, side, key, sz - left)", "flow(b, ADDED, side, key, sz - left)"
    ),
    "a larger M keeps its place": Mutant(
        "book",
        "rest(b, slot, side, key, sz, micros(b.p, t), 0)\n    elif old > sz:",
        "rest(b, slot, side, key, sz, row[O_ENTRY] if key == row[O_KEY] else micros(b.p, t), 0)\n"
        "    elif old > sz:",
    ),
    "flow is counted within 9 ticks": Mutant("book", "NEAR_TICKS = 10", "NEAR_TICKS = 9"),
    "old means older than 3 s": Mutant("book", "OLD_US = 1_000_000", "OLD_US = 3_000_000"),
    "ages in a market snapshot are known": Mutant("book", "entry, AGE_UNKNOWN)", "entry, 0)"),
    "drift overlooks a changed size": Mutant("book", " and old[O_SZ] == new[N_SZ]:", ":"),
    "R leaves the orders": Mutant(
        "book", "            clear(b)\n        return\n", "            pass\n        return\n"
    ),
    "the hash table deletes without shifting": Mutant(
        "orders", "if distance >= ((probe - hole) & mask):", "if distance < 0:"
    ),
    "a price is given a level twice": Mutant(
        "ladder", "if keys[side, middle] < key:", "if keys[side, middle] <= key:"
    ),
    "a queue loses those behind the one that left": Mutant(
        "ladder", "orders[U(before - 1), O_NEXT] = behind", "orders[U(before - 1), O_NEXT] = 0"
    ),
    "depth counts one level too many": Mutant(
        "ladder", "first = n - depth\n", "first = n - depth - 1\n"
    ),
    "a queue's age forgets who left": Mutant(
        "ladder", "    level[L_AGE] -= sz * order[O_ENTRY]\n", ""
    ),
    "a level forgets that its largest order left": Mutant(
        "ladder", "        level[L_MOST] = UNTOLD\n", "        pass\n"
    ),
    "an order that grows is not the largest": Mutant(
        "ladder", "max(level[L_MOST], sz) if", "max(level[L_MOST], 1) if"
    ),
    "a level that is used again keeps its numbers": Mutant(
        "ladder", "        level[c] = 0\n", "        level[c] = level[c] if c == 3 else 0\n"
    ),
    "a change of the best price goes unseen": Mutant(
        "sample", "if s[S_CHANGED + side]:", "if s[S_CHANGED + side] and s[S_TENTH + side] != NONE:"
    ),
    "an unchanged best price is no order flow": Mutant(
        "sample", "gained = sz if key >= key_before", "gained = sz if key > key_before"
    ),
    "a change at the tenth level goes unseen": Mutant(
        "ladder", "if key >= s[S_TENTH + side]", "if key > s[S_TENTH + side]"
    ),
    "mlofi is shifted by a level": Mutant(
        "sample", "b.acc[A_MLOFI + m] +=", "b.acc[A_MLOFI + (m + 1) % TOP_LEVELS] +="
    ),
    "time weights forget the state carried in": Mutant(
        "sample",
        "    ns = t - start\n",
        "    ns = t - start if b.s[S_SAMPLE_T] >= b.s[S_BAR] * BAR_NS else 0\n",
    ),
    "a market snapshot counts as flow": Mutant(
        "sample", "counts = live and both and before", "counts = both and before"
    ),
    "crossed states are not counted": Mutant(
        "sample", "b.acc[A_CROSSED] += 1", "b.acc[A_CROSSED] += 0"
    ),
    "crossed states of an auction are counted": Mutant(
        "sample", "s[S_COUNTS] == 1 and trading(b, t):", "s[S_COUNTS] == 1:"
    ),
    "imbalance has the wrong sign": Mutant(
        "bars", "return (bid - ask) / (bid + ask)", "return (ask - bid) / (bid + ask)"
    ),
    "vwap is divided in integers": Mutant(
        "bars", "acc[A_PX_SZ] / acc[A_VOLUME] * step", "acc[A_PX_SZ] // acc[A_VOLUME] * step"
    ),
    "microprice leans to the wrong side": Mutant(
        "bars", "(bid * q_a + ask * q_b)", "(bid * q_b + ask * q_a)"
    ),
    "high_time is the last trade at the high": Mutant(
        "bars", "price > acc[A_HIGH]", "price >= acc[A_HIGH]"
    ),
    "trades without aggressor are buys": Mutant(
        "bars", "if record.side == SIDE_BID:", "if record.side != SIDE_ASK:"
    ),
    "of equally large orders the farthest wins": Mutant(
        "bars", "if most > largest:", "if most >= largest:"
    ),
    "depth within 4 ticks stops before the fourth": Mutant(
        "bars", "- mid2) > reach:", "- mid2) >= reach:"
    ),
    "a bar in which the book became good is valid": Mutant(
        "bars", "s[S_INIT_T] <= start and", "s[S_INIT_T] <= start + BAR_NS and"
    ),
    "t is ts_event": Mutant(
        "clock",
        "t = max(min(record.ts_event, record.ts_recv), record.ts_recv - LATENESS_NS)",
        "t = record.ts_event",
    ),
    "a mark does not wait for late records": Mutant(
        "clock", "close_up_to(b, mark - LATENESS_NS,", "close_up_to(b, mark,"
    ),
    "a mark closes bars under an open event": Mutant(
        "clock", "if s[S_SNAP_OPEN] or s[S_EVENT_OPEN]:", "if s[S_SNAP_OPEN]:"
    ),
    "a bar includes its end": Mutant(
        "clock", "(s[S_BAR] + 1) * BAR_NS <= t:", "(s[S_BAR] + 2) * BAR_NS <= t:"
    ),
    "an event goes on although it lost its F_LAST": Mutant(
        "clock", "            or record.ts_event != s[S_EVENT_TS]\n", ""
    ),
    "a market snapshot takes effect when it is received": Mutant(
        "clock", "t = record.ts_recv - LATENESS_NS", "t = record.ts_recv"
    ),
    "a market snapshot is not ended by silence": Mutant(
        "clock", "record.ts_recv - s[S_SNAP_LAST] >= SNAPSHOT_SILENCE_NS", "False"
    ),
    "a snapshot onto a good book starts anew": Mutant(
        "clock", "if b.s[S_GOOD] == 0:", "if b.s[S_GOOD] >= 0:"
    ),
    "a gap is nothing": Mutant(
        "clock", "if gap:\n            s[S_GOOD] = 0", "if gap:\n            pass"
    ),
    "F_MAYBE_BAD_BOOK is nothing": Mutant(
        "clock",
        "if record.flags & F_MAYBE_BAD_BOOK:\n        s[S_GOOD] = 0",
        "if record.flags & F_MAYBE_BAD_BOOK:\n        pass",
    ),
    "R in trading hours leaves the book good": Mutant(
        "clock",
        "if trading(b, t):\n        b.s[S_GOOD] = 0",
        "if trading(b, t):\n        pass",
    ),
    "the low is the high": Mutant(
        "levels", "price < windows[w, W_LOW]", "price > windows[w, W_LOW]"
    ),
    "a level is told before its window ends": Mutant(
        "levels", "watermark >= row[W_END]", "watermark >= row[W_START]"
    ),
    "known_at is ignored": Mutant(
        "approach",
        "if levels[j].known_at // BAR_NS <= bar and levels[j].type >= 0:",
        "if levels[j].type >= 0:",
    ),
    "a touch must be nearer than touch": Mutant(
        "approach", "if beyond < -p[_P_TOUCH]:", "if beyond <= -p[_P_TOUCH]:"
    ),
    "a break must be beyond the barrier": Mutant(
        "approach", "if beyond >= p[_P_BARRIER] or", "if beyond > p[_P_BARRIER] or"
    ),
    "the timeout is a bar late": Mutant(
        "approach", "bar == slot[_TAU] + p[_P_TIMEOUT]:", "bar == slot[_TAU] + p[_P_TIMEOUT] + 1:"
    ),
    "an approach needs a bar more": Mutant(
        "approach", "slot[_RUN] >= p[_P_APPROACH]", "slot[_RUN] > p[_P_APPROACH]"
    ),
    "an approach may overlap the last episode": Mutant(
        "approach",
        "(slot[_LAST_BAR] == NONE or bar - p[_P_APPROACH] > slot[_LAST_BAR])",
        "bar > slot[_LAST_BAR]",
    ),
    "an invalid bar does not censor": Mutant("approach", "elif slot[_ACTIVE]:", "elif False:"),
    "an invalid bar leaves the side": Mutant(
        "approach", "if has == _INVALID:\n        side = 0", "if has == _INVALID:\n        pass"
    ),
    "a straddling bar leaves the side": Mutant(
        "approach", "elif has == _TRADED:\n        side = 0\n", "elif has == _TRADED:\n"
    ),
    "an episode begins before the trigger window": Mutant(
        "approach", "p[_P_TRIGGER0] <= bar < p[_P_TRIGGER1]", "bar < p[_P_TRIGGER1]"
    ),
    "types known later name the episode": Mutant(
        "approach", "row.types = slot[_TAU_TYPES]", "row.types = slot[_TYPES]"
    ),
    "adverse never goes below zero": Mutant(
        "approach", "slot[_ADVERSE] = -beyond\n", "slot[_ADVERSE] = max(0, -beyond)\n"
    ),
    "what happens at exactly touch is not at the level": Mutant(
        "level_book",
        "<= b.watch[WATCH_TOUCH]:\n",
        "< b.watch[WATCH_TOUCH]:\n",
    ),
    "trades beyond touch are at the level": Mutant(
        "level_book",
        "<= b.watch[WATCH_TOUCH]:\n",
        "<= b.watch[WATCH_TOUCH] + (what == V_TRADED):\n",
    ),
    "at a level bids are asks": Mutant(
        "level_book",
        "_count(b, V_FLOW + 2 * kind + side, price, sz)",
        "_count(b, V_FLOW + 2 * kind + 1 - side, price, sz)",
    ),
    "a level is followed before its window has ended": Mutant(
        "level_book",
        "if window[W_END] > t:",
        "if window[W_END] > t + 20_000_000_000:",
    ),
    "a price that is two levels is followed twice": Mutant(
        "level_book",
        "V_PRICE] == price:\n            return",
        "V_PRICE] == price:\n            pass",
    ),
    "a low is not followed": Mutant(
        "level_book",
        "            _watch(b, window[W_LOW])\n",
        "",
    ),
    "what happened at a level stays for the next bar": Mutant(
        "level_book", "            row[c] = 0\n", ""
    ),
    "what is near the highest level is taken for far": Mutant(
        "level_book",
        "max(watch[WATCH_HIGH], price + watch[WATCH_TOUCH])",
        "max(watch[WATCH_HIGH], price - 1)",
    ),
    "a second window's end is never noticed": Mutant(
        "level_book",
        "b.watch[WATCH_NEXT] = min(b.watch[WATCH_NEXT], window[W_END])",
        "b.watch[WATCH_NEXT] = _NEVER",
    ),
    "resting orders end before touch": Mutant(
        "level_book",
        "b.keys[side, i] <= centre + touch:",
        "b.keys[side, i] < centre + touch:",
    ),
    "a bar after an invalid one has a return": Mutant(
        "primitives", "    if not bar.valid:\n        return\n", ""
    ),
    "volatility is a mean": Mutant(
        "primitives", "return np.sqrt(total) if", "return np.sqrt(total / count) if"
    ),
    "the line of impact goes through the origin": Mutant(
        "primitives",
        "(signed[i] - mean_x) * (returns[i] - mean_y)",
        "(signed[i]) * (returns[i])",
    ),
    "pressure is not clipped": Mutant(
        "primitives", "clipped(ofi) + clipped(imbalance)", "ofi + clipped(imbalance)"
    ),
    "a vacuum is plenty": Mutant(
        "primitives", "1.0 - last[DEPTH] / usual", "last[DEPTH] / usual - 1.0"
    ),
    "a bucket that is filling counts": Mutant(
        "vpin", "    for i in range(v[V_FULL]):", "    for i in range(v[V_FULL] + 1):"
    ),
    "a bar goes into one bucket": Mutant(
        "vpin", "taken = min(left, v[V_BUCKET] - v[V_FILLED])", "taken = left"
    ),
    "the oldest bucket stays": Mutant("vpin", "buckets[i] = buckets[i + 1]", "pass"),
    "episodes of a price have no limit": Mutant(
        "approach", "and slot[_EPISODES] < p[_P_MAX]", "and slot[_EPISODES] < 1000"
    ),
}
CONTROL = "nothing changed"


def _kernel_copy(folder: Path, mutant: Mutant | None) -> Path:
    """A package `spymaster` with the kernel, changed or not, and the contracts."""
    package = folder / "spymaster"
    skip = shutil.ignore_patterns("__pycache__")
    for part in ("kernel", "contracts"):
        shutil.copytree(PACKAGE / part, package / part, ignore=skip)
    for file in ("__init__.py", "errors.py"):
        shutil.copy(PACKAGE / file, package / file)
    if mutant is not None:
        path = package / "kernel" / f"{mutant.file}.py"
        text = path.read_text()
        assert text.count(mutant.old) == 1, f"{mutant.file}.py has changed: look for {mutant.old!r}"
        path.write_text(text.replace(mutant.old, mutant.new))
    return folder


@pytest.fixture(scope="module")
def differences(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Where the rows of each mutant first differ from the oracle's; None where they do not."""
    root = tmp_path_factory.mktemp("mutants")
    scenarios = [late_event_scenario(), walk_scenario(2, 400)]
    scenarios += [walk_scenario(seed, 600) for seed in (0, 1, 2, 3, 9)]
    scenarios += [random_scenario(seed, "cme", n=350) for seed in range(4)]
    scenarios += [random_scenario(seed, "nasdaq", "STK", n=250) for seed in range(2)]
    expected = [(s, oracle_tables(s)) for s in scenarios]
    (root / "scenarios.pkl").write_bytes(pickle.dumps(expected))
    names = {CONTROL: None, **MUTANTS}
    folders = [str(_kernel_copy(root / str(i), mutant)) for i, mutant in enumerate(names.values())]
    script = Path(__file__).with_name("uncompiled.py")
    done = subprocess.run(
        [sys.executable, str(script), str(root / "scenarios.pkl"), *folders],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    return {name: found[folder] for name, folder in zip(names, folders, strict=True)}


def test_the_unchanged_kernel_run_by_the_interpreter_equals_the_oracle(
    differences: dict[str, str | None],
) -> None:
    assert differences[CONTROL] is None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, differences: dict[str, str | None]) -> None:
    assert differences[name] is not None, f"nobody noticed that {name}"


def test_mutants_are_caught_by_their_rows_and_not_by_a_crash(
    differences: dict[str, str | None],
) -> None:
    wrong = [name for name, where in differences.items() if where and "silver." in where]
    print(f"{len(wrong)} of {len(MUTANTS)} mutants caught by a row")
    assert len(wrong) >= 0.85 * len(MUTANTS), differences
