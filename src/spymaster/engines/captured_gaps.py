"""What a connection did not get before it began: history must know it as the stream did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spymaster.feed.capture_name import captured_batch
from spymaster.lake import Lake


class CapturedGaps:
    """The rows of bronze.gaps that stand before a capture's first record."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def before(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Of a manifest row's file, in order; none where it is no capture.

        The gap where the file itself is damaged is not among them.
        """
        batch = captured_batch(row["path"])
        if batch is None:
            return []
        filters = {"batch_id": batch}
        found = self._lake.scan("bronze.gaps", filters=filters, missing_ok=True).to_pylist()
        before = [gap for gap in found if not gap["reason"].startswith(row["path"])]
        return sorted(before, key=lambda gap: int(gap["from_ts"]))
