"""What a streaming job of Spark says of itself: from the query's own reports."""

from __future__ import annotations

import json
from typing import Any

from spymaster.engines.spark.progress import Progress, Work

SECOND = 1_000_000_000


def told(rows: int, millis: int, **source: Any) -> dict[str, Any]:
    """A progress as Spark 4.1 tells it, as far as it is looked at."""
    return {
        "name": "job", "numInputRows": rows, "durationMs": {"triggerExecution": millis},
        "sources": [source],
    }  # fmt: skip


def progress(work: Work) -> Progress:
    return Progress("job", lambda: work, lambda: 100 * SECOND)


def test_messages_of_the_topic_that_wait_are_behind() -> None:
    found = progress(Work(7, 3, mark=98 * SECOND))
    end, latest = {"mbo_raw": {"0": 5, "1": 9}}, {"mbo_raw": {"0": 15, "1": 9}}
    found.hear(told(4, 1_500, endOffset=end, latestOffset=latest))
    facts = found.facts()
    assert (facts["behind_messages"], facts["lag_s"], facts["records"]) == (10, 2.0, 7)
    assert facts["detail"] == "epoch 3, 10 behind, trigger 1.5 s (p95 1.5 s)"
    found.hear(told(4, 1_500, endOffset=json.dumps(end), latestOffset=json.dumps(end)))
    assert found.facts()["behind_messages"] == 0


def test_files_of_a_table_that_wait_are_behind() -> None:
    found = progress(Work(0, 0))
    end = {"reservoirVersion": 5, "index": -1}
    found.hear(told(1, 10, endOffset=end, metrics={"numFilesOutstanding": "3"}))
    assert found.facts()["behind_messages"] == 3
    found.hear(told(1, 10, endOffset=end, latestOffset=end))
    assert found.facts()["behind_messages"] is None


def test_triggers_without_rows_do_not_flatter_the_quantile() -> None:
    found = progress(Work(0, 0))
    assert found.trigger_s is None
    assert found.facts()["lag_s"] is None
    for millis in range(100, 2_100, 100):
        found.hear(told(1, millis))
        found.hear(told(0, 1))
    last, usual = found.trigger_s or (0, 0)
    assert (last, found.batches) == (2.0, 20)
    assert 1.9 <= usual <= 2.0
