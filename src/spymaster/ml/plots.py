"""Small pictures of a sweep: a trial's calibration, and how the trials compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spymaster.ml.extra import needed
from spymaster.ml.outcomes import OUTCOMES

_COLOURS = {"BREAK": "#2a7f3f", "REJECT": "#b03030", "CHOP": "#1f4e8c"}
_KINDS = {"logistic": "#1f4e8c", "histogram": "#2a7f3f", "lightgbm": "#d08000"}


def draw_calibration(record: dict[str, Any], path: Path) -> None:
    """What was called against what happened, per outcome; a dot's size is its weight."""
    figure, ax = _figure(4.5, 4)
    ax.plot([0, 1], [0, 1], color="#999999", lw=1)
    for name in OUTCOMES:
        curve = record["curves"].get(name)
        if curve is not None:
            total = sum(curve["weight"])
            sizes = [8 + 120 * w / total for w in curve["weight"]]
            ax.plot(curve["called"], curve["happened"], color=_COLOURS[name], lw=1, label=name)
            ax.scatter(curve["called"], curve["happened"], s=sizes, color=_COLOURS[name])
    ax.set_xlabel("probability called")
    ax.set_ylabel("share that happened")
    title = f"trial {record['trial']}  {record['knobs']['kind']}  log-loss {record['loss']:.4f}"
    ax.set_title(title, fontsize=9)
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=80)


def draw_comparison(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Each trial's loss by its kind, and the best so far."""
    figure, ax = _figure(7, 3.5)
    done = [r for r in records if r["loss"] is not None]
    best = [min(r["loss"] for r in done[: i + 1]) for i in range(len(done))]
    ax.step([r["trial"] for r in done], best, where="post", color="#999999", label="best so far")
    for kind, colour in _KINDS.items():
        mine = [r for r in done if r["knobs"]["kind"] == kind]
        x, y = [r["trial"] for r in mine], [r["loss"] for r in mine]
        ax.plot(x, y, "o", ms=4, color=colour, label=kind)
    ax.set_xlabel("trial")
    ax.set_ylabel("log-loss, mean over folds (nats)")
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=80)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure = needed("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    ax = figure.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax
