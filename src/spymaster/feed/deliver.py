"""A file comes in: what it holds, where it lies, and what it says of instruments."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spymaster.errors import SourceError
from spymaster.feed.capture_name import captured_batch
from spymaster.feed.control import Control, mapped
from spymaster.feed.dbn import DbnReader, file_day
from spymaster.feed.dbn_definitions import read_definitions
from spymaster.lake.landing import Delivery, Landed, land, landed_row
from spymaster.lake.manifest import Manifest
from spymaster.lake.tables import Lake
from spymaster.market.identify import Instrument, from_definition
from spymaster.settings import Settings

log = logging.getLogger(__name__)

DEFINITIONS = "bronze.definitions"
#: A file of several kinds lies under its underlier's main one.
_MAIN_FIRST = ("FUT", "STK", "OPT")


@dataclass(frozen=True)
class Contents:
    """What a DBN file holds, before it lands."""

    delivery: Delivery
    instruments: tuple[Instrument, ...]
    unidentified: tuple[str, ...]
    damage: str | None = None


def inspect(path: Path, settings: Settings) -> Contents:
    """Read a file's head, and its definitions; SourceError when no table takes it.

    A file that brings nothing of a configured underlier is refused.
    """
    with DbnReader(path) as reader:
        meta = reader.metadata
        schema = "mixed" if meta.schema is None else str(meta.schema)
        day = file_day(meta, path)
        instruments, unidentified = _named(reader, schema, settings)
        start, end = int(meta.start), _defined_end(meta.end)
        damage = f"record {reader.damage.record}: {reader.damage.reason}" if reader.damage else None
    underlier, kinds = _main(path, instruments, str(meta.dataset), settings)
    delivery = Delivery(
        dataset=str(meta.dataset),
        schema=schema,
        underlier=underlier,
        instrument_type=kinds[0],
        instrument_types=tuple(kinds),
        yyyymmdd=day.strftime("%Y%m%d"),
        start=start,
        end=end,
        batch_id=captured_batch(path),
    )
    return Contents(delivery, tuple(instruments), tuple(unidentified), damage)


def deliver(lake: Lake, path: Path, settings: Settings, now: int) -> Landed:
    """Land a file and write down what it says of instruments, once. `now` ns UTC."""
    contents = inspect(path, settings)
    landed = land(lake, path, contents.delivery, now)
    _note(lake, landed.row, contents, now)
    for reason in contents.unidentified[:5]:
        log.warning("%s: %s", path.name, reason)
    return landed


def settle(lake: Lake, settings: Settings, now: int) -> None:
    """Write down the instruments of files whose delivery was stopped before it came to that."""
    for row in Manifest(lake).rows().values():
        if row["status"] != "landed" or lake.place.local is None:
            continue
        noted = lake.transaction_version(DEFINITIONS, _app(row)[0]) is not None
        # A definition file may be noted and its row of the manifest lost (it was damaged).
        if not noted or row["schema"] == "definition":
            _note(lake, row, inspect(lake.place.local / row["path"], settings), now)


def relanded(lake: Lake, settings: Settings, now: int) -> list[dict[str, Any]]:
    """Manifest rows for the files under raw-dbn that the manifest does not know (it was damaged).

    They begin as landed; what bronze holds of them already is found when they are decoded.
    """
    root = lake.place.local
    if root is None:
        return []
    known = Manifest(lake).rows()
    paths = sorted(p.relative_to(root).as_posix() for p in root.glob("raw-dbn/*/*/*/[!.]*"))
    return [
        landed_row(root / path, path, inspect(root / path, settings).delivery, now)
        for path in paths
        if path not in known
    ]


def definitions_of(
    lake: Lake, settings: Settings, files: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows that bronze.definitions lacks of these landed files (it was damaged)."""
    root = lake.place.local
    held = lake.scan(DEFINITIONS, ["batch_id"], missing_ok=True)["batch_id"].unique().to_pylist()
    rows: list[dict[str, Any]] = []
    for row in files:
        if root is not None and row["batch_id"] not in held:
            contents = inspect(root / row["path"], settings)
            rows += _rows(contents, row["batch_id"])
    return rows


def _rows(contents: Contents, batch_id: str) -> list[dict[str, Any]]:
    return [replace(i, batch_id=batch_id).to_row() for i in _distinct(contents.instruments)]


def _note(lake: Lake, row: dict[str, Any], contents: Contents, now: int) -> None:
    """Append a file's instruments, at most once. Of a definition file there is no more to take.

    Of a capture some were written down while it was live.
    """
    rows = _rows(contents, row["batch_id"])
    if contents.delivery.batch_id is not None:
        filters = {"batch_id": row["batch_id"]}
        held = lake.scan(DEFINITIONS, filters=filters, missing_ok=True).to_pylist()
        rows = [r for r in rows if r not in held]
    if rows:
        lake.append_rows(DEFINITIONS, rows, app=_app(row))
    if contents.delivery.schema == "definition" and row["status"] == "landed":
        status = "damaged" if contents.damage else "ingested"
        records = len(contents.instruments)
        row.update(Manifest(lake).set_status(row["path"], status, now, records=records))


def _app(row: dict[str, Any]) -> tuple[str, int]:
    return f"{DEFINITIONS}/{row['batch_id']}", 1


def _distinct(instruments: Iterable[Instrument]) -> list[Instrument]:
    return list(dict.fromkeys(instruments))


def _named(
    reader: DbnReader, schema: str, settings: Settings
) -> tuple[list[Instrument], list[str]]:
    """What a file says of instruments; a mixed one says it on the way."""
    meta = reader.metadata
    if schema == "mixed":
        control = Control(meta, settings.underlier)
        rows = [row for c in reader.chunks() for _, some in control.take(c) for row in some]
        return [*rows, *control.rest(int(meta.start))], control.unidentified
    found, unidentified = mapped(meta.mappings, str(meta.dataset), settings.underlier)
    if schema == "definition":
        records = read_definitions(reader)
        defined = [from_definition(r, str(meta.dataset), settings.underlier) for r in records]
        return defined or found, unidentified
    return found, unidentified


def _defined_end(end: Any) -> int | None:
    return None if end is None or int(end) >= 2**63 - 1 else int(end)


def _main(
    path: Path, instruments: list[Instrument], dataset: str, settings: Settings
) -> tuple[str, list[str]]:
    """The underlier that most of the file belongs to, and its kinds of contract."""
    wanted = [i for i in instruments if i.underlier is not None]
    if not wanted:
        here = [name for name, u in settings.underlier.items() if u.venue == dataset]
        symbols = ", ".join(sorted({i.raw_symbol for i in instruments})[:5]) or "no symbol at all"
        raise SourceError(
            f"{path}: dataset {dataset} with {symbols}: nothing in it belongs to a configured "
            f"underlier; of {dataset} there are: {', '.join(here) or 'none'}. "
            "Add [underlier.NAME] to spymaster.toml, or land the definitions of that day first."
        )
    underlier = Counter(str(i.underlier) for i in wanted).most_common(1)[0][0]
    kinds = {str(i.instrument_type) for i in wanted if i.underlier == underlier}
    return underlier, sorted(kinds, key=_MAIN_FIRST.index)
