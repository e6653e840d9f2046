"""Measuring honestly: a fresh process per run, its own peak memory, the best of some, ratios."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Line:
    """One measured thing; `cpu` seconds over all threads, `peak` MB of the process."""

    what: str
    records: int
    seconds: float
    cpu: float | None = None
    peak: float | None = None

    @property
    def rate(self) -> float:
        """Million records a second."""
        return self.records / self.seconds / 1e6


def timed(what: str, work: Callable[[], int], repeat: int = 3) -> Line:
    """The best of some runs in this process; `work` returns how many records it saw."""
    best = Line(what, 0, float("inf"))
    for _ in range(repeat):
        started, cpu = time.perf_counter(), time.process_time()
        records = work()
        seconds = time.perf_counter() - started
        if seconds < best.seconds:
            best = Line(what, records, seconds, time.process_time() - cpu)
    return best


_WHOLE = """
import json, resource, sys, time
from pathlib import Path
from spymaster.engines.local import LocalEngine
from spymaster.engines.warm import warm_up
from spymaster.settings import Settings
compile_seconds = warm_up()
settings = Settings.load(root=sys.argv[1])
started, cpu = time.perf_counter(), time.process_time()
report = LocalEngine(settings).run([Path(p) for p in sys.argv[2:]])
seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
assert not report.failed, report.failed
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rows = {}
for made in report.sessions:
    for table, n in made.rows.items():
        rows[table] = rows.get(table, 0) + n
print(json.dumps(dict(records=report.records, seconds=seconds, cpu=cpu, peak=peak, rows=rows,
                      steps=dict(report.seconds), compile=compile_seconds)))
"""


def whole_way(what: str, files: list[Path], root: Path) -> tuple[Line, dict[str, Any]]:
    """`.dbn.zst` to gold, all Delta layers written, in a fresh process; also its own account."""
    done = subprocess.run(
        [sys.executable, "-c", _WHOLE, str(root), *map(str, files)],
        check=True,
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    line = Line(what, told["records"], told["seconds"], told["cpu"], told["peak"])
    return line, told


def table(lines: list[Line], floor: float, beside: str = "decoding alone") -> str:
    """Markdown; `floor`: the rate that others are told beside, in words `beside`."""
    head = f"| what | records | seconds | million/s | of {beside} | peak MB |\n"
    body = "".join(
        f"| {x.what} | {x.records:,} | {x.seconds:.2f} | {x.rate:.2f} | {x.rate / floor:.2f} | "
        f"{'' if x.peak is None else f'{x.peak:,.0f}'} |\n"
        for x in lines
    )
    return head + "|---|---:|---:|---:|---:|---:|\n" + body
