"""What a person sees while work goes on: one line per layer, progress, errors on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from spymaster.engines.local import LocalEngine, Report
from spymaster.engines.warm import warm_up
from spymaster.settings import Settings

out = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def engine(settings: Settings) -> Iterator[LocalEngine]:
    """A local engine whose progress is shown; the kernel's compile time is told apart."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = errors.is_terminal
    with Progress(*columns, console=errors, transient=True, disable=not shown) as bar:
        task = bar.add_task("landing")
        seconds: list[float] = []

        def prepare() -> None:
            if not seconds:
                bar.update(task, description="compiling (once on this machine, about a minute)")
                seconds.append(warm_up())

        started = time.perf_counter()

        def progress(day: str, records: int) -> None:
            rate = records / max(1e-9, time.perf_counter() - started)
            bar.update(task, description=f"{day}  {records:,} records  {rate:,.0f}/s")

        run = LocalEngine(settings, progress=progress, prepare=prepare)
        try:
            yield run
        except KeyboardInterrupt:
            bar.stop()
            errors.print("interrupted; nothing half-written counts. Run the command again.")
            raise typer.Exit(130) from None
    run.report.seconds["compile"] = sum(seconds)
    if sum(seconds) > 2:
        out.print(f"compile   the kernel took {sum(seconds):.1f} s, once on this machine")


def summary(report: Report, layers: tuple[str, ...]) -> None:
    """One line per layer."""
    s = report.seconds
    if report.landed or report.known:
        out.print(f"landing   {report.landed} new, {report.known} known files, {s['land']:.1f} s")
    for line in report.mended:
        out.print(f"mended    {line}", markup=False)
    if report.files and "bronze" in layers:
        new, skipped, refused = (
            sum(getattr(f, name) for f in report.files) for name in ("new", "skipped", "refused")
        )
        out.print(
            f"bronze    {report.records:,} records read, {new:,} new, {skipped:,} of spreads "
            f"skipped, {refused:,} quarantined, {s['bronze']:.1f} s"
        )
    for layer in ("silver", "gold"):
        if layer in layers:
            out.print(f"{layer:<9} {_rows(report, layer)}")
    if report.sessions or report.current:
        skipped = f", {len(report.current)} current: skipped" if report.current else ""
        seconds = f"{s['silver and gold']:.1f} s"
        out.print(f"          {len(report.sessions)} sessions made{skipped}, {seconds}")
    for o in report.sessions:
        if o.absent:
            out.print(
                f"  note: {o.underlier} {o.session_date}: {o.selected or 'no contract'} is "
                "selected and not in these files; no levels, episodes or vectors"
            )
        if o.missing:
            out.print(f"  note: {o.underlier} {o.session_date} is not complete: {o.missing}")
    if not (report.sessions or report.current or report.failed) and "silver" in layers:
        out.print("  note: no session's windows lie in these files; nothing to compute")


def _rows(report: Report, layer: str) -> str:
    totals: dict[str, int] = {}
    for o in report.sessions:
        for table, n in o.rows.items():
            if table.startswith(layer):
                totals[table.split(".")[1]] = totals.get(table.split(".")[1], 0) + n
    return ", ".join(f"{n:,} {table}" for table, n in totals.items()) or "0 rows"


def tell(value: Any) -> None:
    """A plain line on stdout."""
    out.print(str(value), markup=False)


def tell_table(listing: Table) -> None:
    """On a terminal folded to its width; to a pipe or a file one line a row, however long."""
    if out.is_terminal:
        out.print(listing)
        return
    unbounded = out.options.update(max_width=100_000)
    needed = Measurement.get(out, unbounded, listing).maximum
    Console(file=out.file, width=needed, highlight=False).print(listing)
