"""What a challenger must show without test sessions: contract, parity, latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spymaster.lake import Lake
from spymaster.ml.check import Check
from spymaster.settings import GateSettings
from spymaster.stages.vector_spec import spec_hash

_ROUNDS, _CALLS, _WARM = 5, 400, 50


class Asked(Protocol):
    """A model's fast path: `spymaster.ml.model.Scorer`."""

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]: ...


def contract_check(model: str, dataset: str, live: str) -> Check:
    """The hash of what the model has learnt, what it is judged by, what live vectors are."""
    told = f"{live}, as live vectors"
    if model != live:
        told = f"the model has learnt {model}, live vectors are of {live}"
    elif dataset != live:
        told = f"the snapshot is of {dataset}, live vectors are of {live}"
    facts = {"model": model, "dataset": dataset, "live": live}
    return Check("feature contract", model == dataset == live, told, facts)


def parity_check(
    lake: Lake, underliers: Sequence[str], contract: str, sessions: Sequence[date], within: int
) -> Check:
    """Of every underlier: did the newest streamed session with a certificate equal its record?

    Its last certificate against its capture counts. It must hold vectors, of this feature contract,
    and at most `within` of the snapshot's `sessions` may have come after it.
    """
    found = [_parity_of(lake, name, contract, sessions, within) for name in underliers]
    return Check(
        "parity",
        all(ok for ok, _, _ in found),
        "; ".join(told for _, told, _ in found),
        {name: facts for name, (_, _, facts) in zip(underliers, found, strict=True)},
    )


def _parity_of(
    lake: Lake, underlier: str, contract: str, sessions: Sequence[date], within: int
) -> tuple[bool, str, dict[str, Any]]:
    asked = {"underlier": underlier, "against": "capture"}
    rows = lake.scan("gold.parity", filters=asked, missing_ok=True).to_pylist()
    if not rows:
        return (
            False,
            f"{underlier} has no certificate against a capture. Make one with: spymaster parity",
            {},
        )
    row = max(rows, key=lambda r: (r["session_date"], r["checked_at"]))
    later = sum(day > row["session_date"] for day in sessions)
    contracts = _contracts(lake, underlier, row["session_date"]) if row["vectors"] else set()
    told = (
        f"{underlier} {row['session_date']}, {row['vectors']:,} vectors, checked by code "
        f"{row['code_version']}"
    )
    wrong = [
        why
        for why, bad in (
            ("the session DIFFERS from its record", not row["equal"]),
            ("it has no vectors to compare", not row["vectors"]),
            (f"{later} later sessions, {within} allowed", later > within),
            (
                f"its vectors are of {', '.join(sorted(contracts)) or 'no contract'}",
                bool(row["vectors"]) and contracts != {contract},
            ),
        )
        if bad
    ]
    facts = {
        "session_date": str(row["session_date"]),
        "equal": row["equal"],
        "vectors": row["vectors"],
        "later_sessions": later,
        "code_version": row["code_version"],
    }
    return not wrong, f"{told}{': ' * bool(wrong)}{', '.join(wrong)}", facts


def _contracts(lake: Lake, underlier: str, session_date: date) -> set[str]:
    """The feature contracts of a streamed session's vectors."""
    where = {"underlier": underlier, "session_date": session_date}
    rows = lake.scan("gold.setup_vectors_stream", ["lookback_spec"], where, missing_ok=True)
    return {spec_hash(text) for text in rows["lookback_spec"].unique().to_pylist()}


def latency_check(
    scorer: Asked,
    vectors: NDArray[np.float64],
    how: GateSettings,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Check:
    """p99 of scoring one vector in this process, the least of five rounds of 400.

    What else runs on the machine adds to a round, and never takes anything away.
    """
    rows = [np.ascontiguousarray(vectors[i % len(vectors)][None]) for i in range(_CALLS)]
    for row in rows[:_WARM]:
        scorer.probabilities(row)
    found = min(_p99(scorer, rows, clock) for _ in range(_ROUNDS)) / 1e6
    told = f"p99 of one vector {found:.3f} ms; allowed {how.latency_ms:g} ms"
    over = f": {found - how.latency_ms:.3f} ms over" if found > how.latency_ms else ""
    return Check("latency", found <= how.latency_ms, told + over, {"p99_ms": found})


def _p99(scorer: Asked, rows: list[NDArray[np.float64]], clock: Callable[[], int]) -> float:
    took = []
    for row in rows:
        begun = clock()
        scorer.probabilities(row)
        took.append(clock() - begun)
    return float(np.quantile(took, 0.99, method="higher"))
