"""Damaged files of the tables that are never replaced: their rows are made again from what landed.

Silver and gold need no repair: a session with a damaged file is made anew. Of bronze and lineage
the same rows take the place of the damaged file's; what they say is in the landed files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from spymaster.engines.bronze_file import FileMade
from spymaster.engines.job import Job, make
from spymaster.engines.ledger import CONTRACT_DAY, SUMMARY
from spymaster.engines.stored import Stored
from spymaster.errors import LakeError
from spymaster.feed.deliver import DEFINITIONS, definitions_of, relanded
from spymaster.lake import Lake, read
from spymaster.lake.manifest import NAME as MANIFEST
from spymaster.lake.manifest import Manifest, utc_day
from spymaster.lake.swap import swap
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.vector_spec import lookback_spec, vector_spec_rows

log = logging.getLogger(__name__)

Row = dict[str, Any]
MBO, SPEC = "bronze.mbo", "gold.vector_spec"
#: How the names of files begin that Spark wrote.
_SPARKS = "part-"


def repair_books(lake: Lake, settings: Settings, now: Callable[[], int]) -> list[str]:
    """The tables that a run reads first, whole again; what was mended, in words.

    A lost row of lineage, of a summary or of the selected contracts makes its session be made
    anew. Of gold.vector_spec the specs of the settings in force come back.
    """
    mended = []
    stored = Stored(lake, deep=True)
    for name in (MANIFEST, DEFINITIONS, "lineage", SUMMARY, CONTRACT_DAY, SPEC):
        bad = stored.bad(name)
        if not bad:
            continue
        swap(lake, name, list(bad), [], now())
        if name == MANIFEST:
            manifest = Manifest(lake)
            for row in relanded(lake, settings, now()):
                manifest.add(row)
        if name == DEFINITIONS:
            rows = definitions_of(lake, settings, Manifest(lake).rows().values())
            if rows:
                lake.append_rows(DEFINITIONS, rows)
        if name == SPEC:
            made = {str(p["underlier"]) for p in lake.partitions("gold.setup_vectors")}
            specs = {lookback_spec(settings.of(u)) for u in made & set(settings.underlier)}
            lake.append_rows(
                SPEC, [row for spec in sorted(specs) for row in vector_spec_rows(spec)]
            )
        mended += [f"{name}: {fault}" for fault in bad.values()]
    return mended


def repair_bronze(
    lake: Lake,
    settings: Settings,
    instruments: Instruments,
    files: Sequence[Row],
    stored: Stored,
    now: Callable[[], int] = time.time_ns,
) -> list[str]:
    """Decode again the landed files whose rows in bronze.mbo are damaged."""
    bad = stored.bad(MBO)
    if strange := _of(bad, _SPARKS):
        raise LakeError(
            f"{MBO}: {bad[strange[0]]}. Spark wrote it, and its name does not tell which landed "
            "file it is of. Land that day's file again in a new root."
        )
    for row in files if bad else ():
        mine = _of(bad, row["batch_id"])
        if mine and row["status"] != "landed":
            old = _of(read.files(lake.open(MBO))["path"].to_pylist(), row["batch_id"])
            swap(lake, MBO, old, decode_again(lake, settings, instruments, row, now).parts, now())
    return [f"{MBO}: {fault}" for fault in bad.values()]


def _of(paths: Any, batch_id: str) -> list[str]:
    return [p for p in paths if p.rpartition("/")[2].startswith(batch_id)]


def decode_again(
    lake: Lake,
    settings: Settings,
    instruments: Instruments,
    row: Row,
    now: Callable[[], int],
) -> FileMade:
    """A file that is in bronze, decoded once more; its Parquet files are named by no commit."""
    job = Job(row["underlier"], None, ((utc_day(row), ({**row, "status": "landed"},)),))
    made = make(job, lake, settings, instruments, now)
    if made.error is not None or made.files[0].read.records != row["records"]:
        made.abandon(lake)
        raise LakeError(
            f"{row['path']}: its rows in bronze are damaged, and the landed file cannot be decoded "
            f"as it was ({made.error or 'other records'}). Land it again in a new root."
        )
    return made.files[0]
