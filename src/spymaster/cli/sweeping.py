"""A sweep, as a person sees it: how far it is, the best so far, and what it came to."""

from __future__ import annotations

import datetime as dt
import time

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from spymaster.cli.console import errors, tell, tell_table
from spymaster.ml.sweep import Swept, sweep
from spymaster.ml.trial_log import Record
from spymaster.settings import Settings

_SHOWN = 5


def run_sweep(
    settings: Settings, model_id: str, run_date: dt.date, trials: int, seed: int, jobs: int
) -> None:
    """Sweep with progress; then the best trials, and the model."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    best: list[Record] = []
    started = time.perf_counter()
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("opening MLflow's store", total=trials)

        def progress(record: Record, made: bool) -> None:
            if record["loss"] is not None and (not best or record["loss"] < best[0]["loss"]):
                best[:] = [record]
            bar.update(task, advance=1, description=_so_far(best))

        try:
            done = sweep(settings, model_id, run_date, trials, seed, time.time_ns, jobs, progress)
        except KeyboardInterrupt:
            bar.stop()
            errors.print("interrupted; the same command goes on from the trials that are made.")
            raise typer.Exit(130) from None
    _show(done, time.perf_counter() - started)


def _so_far(best: list[Record]) -> str:
    if not best:
        return "no trial could be fitted so far"
    return f"best {best[0]['loss']:.4f} ({best[0]['knobs']['kind']}, trial {best[0]['trial']})"


def _show(done: Swept, seconds: float) -> None:
    listing = Table(box=None, header_style="bold")
    for heading in ("trial", "kind", "log-loss", "AUC break", "calibration", "knobs"):
        text = heading in ("kind", "knobs")
        listing.add_column(heading, justify="left" if text else "right")
    fitted = [r for r in done.records if r["loss"] is not None]
    for r in sorted(fitted, key=lambda r: (r["loss"], r["trial"]))[:_SHOWN]:
        knobs = " ".join(f"{k}={_short(v)}" for k, v in r["knobs"].items() if k != "kind")
        metrics = [r["metrics"][f"vector_{m}"] for m in ("auc_break", "calibration_error")]
        numbers = [f"{value:.4f}" if value is not None else "-" for value in (r["loss"], *metrics)]
        listing.add_row(str(r["trial"]), r["knobs"]["kind"], *numbers, knobs)
    tell_table(listing)
    for r in done.records:
        if r["loss"] is None:
            tell(f"trial {r['trial']} ({r['knobs']['kind']}) could not be fitted: {r['reason']}")
    v = done.validation
    tell(
        f"model     {done.model_uri} of trial {done.best['trial']}, digest {done.digest[:12]}: on "
        f"validation {v['vector_log_loss']:.4f} nats per vector (prior "
        f"{v['prior_vector_log_loss']:.4f}), trust {v['trust']:.2f}"
    )
    kept = len(done.records) - done.made
    tell(
        f"{len(done.records)} trials: {done.made} made, {kept} were there, {seconds:.1f} s; best "
        f"{done.best['loss']:.4f} ({done.best['knobs']['kind']}, trial {done.best['trial']}); "
        f"runs in {done.tracking_uri}"
    )


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
