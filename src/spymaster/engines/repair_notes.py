"""Damaged files of bronze.quarantine and bronze.gaps: what they said is found out once more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spymaster.engines.bronze_file import gap_of
from spymaster.engines.job import missing_day
from spymaster.engines.repair import decode_again
from spymaster.engines.stored import Stored
from spymaster.lake import Lake, lineage
from spymaster.lake.swap import swap
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import session
from spymaster.settings import Settings

Row = dict[str, Any]
QUARANTINE, GAPS = "bronze.quarantine", "bronze.gaps"


def repair_notes(
    lake: Lake,
    settings: Settings,
    instruments: Instruments,
    files: Iterable[Row],
    stored: Stored,
    now: Callable[[], int],
) -> list[str]:
    """Read the landed files again whose notes are damaged; `files`: all MBO rows of the manifest.

    Which notes there were is known from the commits: each carries its file or day.
    """
    mended = []
    for name, remade in ((QUARANTINE, _quarantined), (GAPS, _gaps)):
        bad = stored.bad(name)
        if not bad:
            continue
        swap(lake, name, list(bad), [], now())
        held = lake.scan(name).to_pylist()
        lost = [
            row
            for row in files
            if row["batch_id"] not in {r["batch_id"] for r in held}
            and lake.transaction_version(name, f"{name}/{row['batch_id']}") is not None
        ]
        rows = [r for row in lost for r in remade(lake, settings, instruments, row, now)]
        if name == GAPS:
            rows += _days(lake, settings, held)
        if rows:
            lake.append_rows(name, rows)
        mended += [f"{name}: {fault}" for fault in bad.values()]
    return mended


def _quarantined(lake: Lake, *given: Any) -> list[Row]:
    made = decode_again(lake, *given)
    lake.discard("bronze.mbo", made.parts)
    return made.refused


def _gaps(lake: Lake, *given: Any) -> list[Row]:
    made = decode_again(lake, *given)
    lake.discard("bronze.mbo", made.parts)
    return [gap_of(made.row, made.read)] if made.read.damage else []


def _days(lake: Lake, settings: Settings, held: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The days without a file that a session was made without."""
    known = {(r["underlier"], r["reason"]) for r in held}
    rows = []
    for date, underlier in lineage.latest(lake):
        if underlier not in settings.underlier:
            continue
        s = session(settings.of(underlier), underlier, dt.date.fromisoformat(date))
        for day in s.utc_days():
            gap, app = missing_day(settings, s, f"{day:%Y%m%d}")
            noted = lake.transaction_version(GAPS, app) is not None
            if noted and (underlier, gap["reason"]) not in known:
                rows.append(gap)
    return rows
