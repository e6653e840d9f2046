"""Microsoft's server and ours with the same model: equal, but for what docs/serving.md lists."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from spymaster.ml.model import load_scorer
from spymaster.scoring import answer
from tests.serving.conftest import Start
from tests.serving.microsoft import Server
from tests.serving.requests import REQUESTS, Asked

DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
HEAD = "| request | Microsoft's server | `spymaster serve` | why they differ |"


def ask(client: httpx.Client, asked: Asked) -> tuple[str, Any]:
    """In words what came back, and the answer."""
    got = client.request(asked.method, "/score", content=asked.content, headers=asked.headers)
    if got.status_code != 200 or asked.method != "POST":
        return str(got.status_code), None
    found = got.json()  # takes NaN, which is no JSON, as Python's own clients do
    numbers = [r[name] for r in found for name in ("p_break", "p_reject", "p_chop")]
    assert all(math.isfinite(number) for number in numbers)
    return f"200, scores of {len(found)}", found


def records(saved: Path, asked: Asked, *, exact: bool) -> Any:
    """What the model says of the numbers asked, read exactly or as Microsoft's server reads them.

    That is with pandas' read_json, whose floats may be off in the last digit.
    """
    table = json.loads(asked.content)["input_data"]
    read = pd.read_json(
        StringIO(json.dumps(table)), orient="split", dtype=False, precise_float=exact
    )
    scorer = load_scorer(saved / "a")
    p = scorer.probabilities(read[list(scorer.columns)].to_numpy(dtype=np.float64))
    return json.loads(answer.records(p))


def documented() -> dict[str, tuple[str, str, str]]:
    _, _, table = DOCS.read_text().partition(HEAD)
    rows = table.split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {cell[0]: (cell[1], cell[2], cell[3]) for cell in cells}


@pytest.mark.slow
def test_every_difference_from_microsofts_server_is_documented(
    saved: Path, start: Start, tmp_path: Path
) -> None:
    theirs = Server(tmp_path / "microsoft.log", saved / "a")
    try:
        ours = start(saved)
        theirs.ready()
        seen = {}
        with (
            httpx.Client(base_url=theirs.url, timeout=120) as them,
            httpx.Client(base_url=ours.url, timeout=120) as us,
        ):
            for name, asked in REQUESTS.items():
                (said, their), (answered, our) = ask(them, asked), ask(us, asked)
                if their is not None and our is not None:
                    assert our == records(saved, asked, exact=True), name
                    assert their == records(saved, asked, exact=False), name
                    assert [r["prediction"] for r in our] == [r["prediction"] for r in their]
                seen[name] = (said, answered)
    finally:
        theirs.stop()
    told = documented()
    shown = "\n".join(f"| {n} | {a} | {b} | |" for n, (a, b) in seen.items())
    assert {name: row[:2] for name, row in told.items()} == seen, shown
    for name, (theirs_said, ours_said, why) in told.items():
        assert bool(why) == (theirs_said != ours_said), name
