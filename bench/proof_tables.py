"""What `docs/learning_proof.md` says: the tables of the contests that have a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]
_PRIOR, _BASELINE = "better than the prior", "better than the baseline"


def tables(results: Mapping[str, Result], middle: float, compared: Sequence[int]) -> str:
    """Four sections, those without a result left out.

    `middle`: the strength of which all lengths are shown; `compared`: lengths at every strength.
    """
    signal = [r for n, r in results.items() if n.startswith("signal")]
    long = sorted((r for r in signal if r["strength"] == middle), key=_sessions)
    three = sorted(
        (r for r in signal if r["sessions"] in compared),
        key=lambda r: (r["sessions"], r["strength"]),
    )
    shuffled = [r for n, r in results.items() if n.startswith("shuffled")]
    off = [r for n, r in results.items() if n.startswith("off")]
    parts = [
        ("How many sessions it takes", _lengths(long)) if long else None,
        ("Three strengths", _strengths(three)) if three else None,
        ("Outcomes shuffled between episodes", _shuffled(shuffled)) if shuffled else None,
        ("No signal", _off(off)) if off else None,
    ]
    return "\n\n".join(f"## {head}\n\n{table}" for head, table in filter(None, parts)) + "\n"


def _lengths(results: Iterable[Result]) -> str:
    heads = (
        "sessions", "train / test", "episodes tested", "best", "log-loss: model / prior / baseline",
        "over the prior", "over the baseline", "told w", "gate",
    )  # fmt: skip
    rows = [
        (
            r["sessions"],
            f"{r['train_sessions']} / {r['test_sessions']}",
            r["test_episodes"],
            r["kind"],
            _losses(r),
            _gain(r, _PRIOR),
            _gain(r, _BASELINE),
            f"{r['told_w']['gain']:+.3f}",
            _verdict(r),
        )
        for r in results
    ]
    return _table(heads, rows)


def _strengths(results: Iterable[Result]) -> str:
    heads = (
        "sessions", "strength", "Bayes gain", "told w", "best", "over the prior",
        "over the baseline", "gate",
    )  # fmt: skip
    rows = [
        (
            r["sessions"],
            f"{r['strength']:g}",
            f"{r['bayes']:.3f}",
            f"{r['told_w']['gain']:+.3f}",
            r["kind"],
            _gain(r, _PRIOR),
            _gain(r, _BASELINE),
            _verdict(r),
        )
        for r in results
    ]
    return _table(heads, rows)


def _shuffled(results: Iterable[Result]) -> str:
    heads = ("shuffle", "best", "trust", "log-loss: model / prior / baseline", "over the prior",
             "standard error", "gate")  # fmt: skip
    rows = [
        (
            r["dealt"],
            r["kind"],
            f"{r['trust']:.2f}",
            _losses(r),
            _gain(r, _PRIOR),
            f"{_facts(r, _PRIOR)['error']:.4f}",
            _verdict(r),
        )
        for r in sorted(results, key=lambda r: int(r["dealt"]))
    ]
    return _table(heads, rows)


def _off(results: Iterable[Result]) -> str:
    heads = ("seed", "episodes tested", "best", "trust", "log-loss: model / prior / baseline",
             "over the prior", "over the baseline", "gate")  # fmt: skip
    rows = [
        (
            r["seed"],
            r["test_episodes"],
            r["kind"],
            f"{r['trust']:.2f}",
            _losses(r),
            _gain(r, _PRIOR),
            _gain(r, _BASELINE),
            _verdict(r),
        )
        for r in sorted(results, key=lambda r: int(r["seed"]))
    ]
    return _table(heads, rows)


def _sessions(result: Result) -> int:
    return int(result["sessions"])


def _facts(result: Result, name: str) -> Mapping[str, float]:
    return dict(result["checks"][name])


def _losses(result: Result) -> str:
    prior, baseline = _facts(result, _PRIOR), _facts(result, _BASELINE)
    return f"{prior['own']:.3f} / {prior['other']:.3f} / {baseline['other']:.3f}"


def _gain(result: Result, name: str) -> str:
    found = _facts(result, name)
    low = f"{found['lower']:+.3f}" if found["error"] else "-"
    return f"{found['gain']:+.3f}, above {low}, p {found['p']:.2g}"


def _verdict(result: Result) -> str:
    if result["promoted"]:
        return "**passed**"
    wrong = [n.removeprefix("better than ") for n, c in result["checks"].items() if not c["passed"]]
    return f"refused: {', '.join(wrong)}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
