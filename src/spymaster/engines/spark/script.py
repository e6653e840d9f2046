"""What a task must know of a session to do one contract of it: no lake, no clock, no look-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spymaster.contracts.event import LATENESS_NS
from spymaster.engines.captured_gaps import CapturedGaps
from spymaster.engines.inputs import Inputs
from spymaster.engines.job import Job
from spymaster.errors import SourceError
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.settings import Settings

Row = dict[str, Any]


@dataclass(frozen=True)
class Script:
    """A session's job with what its files stand behind (`gaps`, by path) and its instruments.

    `files`: batch_id -> the file's place in the session's reading order.
    """

    job: Job
    settings: Settings
    gaps: Mapping[str, Sequence[Row]]
    files: Mapping[str, int]
    instruments: Mapping[str, Instrument]

    @property
    def inputs(self) -> Inputs:
        assert self.job.inputs is not None
        return self.job.inputs

    def before(self, row: Row) -> Sequence[Row]:
        """The gaps that stand before a manifest row's file."""
        return self.gaps.get(row["path"], ())

    def reads(self) -> Iterator[dict[str, Any]]:
        """Which events of bronze.mbo the session needs, file by file."""
        s = self.inputs.session
        for batch, place in self.files.items():
            yield {
                "batch_id": batch,
                "underlier": s.underlier,
                "job": self.job.name,
                "file": place,
                "from_ts": s.input_start,
                "to_ts": s.hull.end + LATENESS_NS,
            }


def script_of(
    job: Job, lake: Lake, settings: Settings, instruments: Mapping[str, Instrument]
) -> Script:
    """The script of a session whose files are all in bronze; SourceError names one that is not."""
    rows = [r for _, of_day in job.days for r in sorted(of_day, key=_reading_order)]
    for row in rows:
        if row["status"] == "landed":
            raise SourceError(
                f"{row['path']} has landed and is not in bronze. Run: hist__dbn_to_bronze"
            )
    assert job.inputs is not None
    known, gaps = job.inputs.earlier.contracts, CapturedGaps(lake)
    light = replace(job.inputs.earlier, contracts=known[:0])  # hashed already, and long
    return Script(
        replace(job, inputs=replace(job.inputs, earlier=light)),
        settings,
        {r["path"]: gaps.before(r) for r in rows},
        {r["batch_id"]: i for i, r in enumerate(rows)},
        {k: v for k, v in instruments.items() if v.underlier == job.underlier},
    )


def _reading_order(row: Row) -> tuple[int, str]:
    return row["start"], row["path"]
