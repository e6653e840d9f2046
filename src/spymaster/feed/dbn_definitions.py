"""What each instrument is: definition records of any DBN version, as those of version 3."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from databento_dbn import DBNDecoder, InstrumentDefMsg, Metadata, VersionUpgradePolicy

from spymaster.feed.dbn import DbnReader, Other
from spymaster.feed.dbn_records import RTYPE_DEFINITION

#: DBN version 3's InstrumentDefMsg; versions 1 and 2 are upgraded to it.
DEFINITION: np.dtype[Any] = np.dtype(InstrumentDefMsg._dtypes)
_AT_ONCE = 10_000
log = logging.getLogger(__name__)


def read_definitions(source: str | Path | DbnReader) -> npt.NDArray[Any]:
    """The instruments of a definition file, or of a live capture, in its order (DEFINITION).

    What stands before a damage is returned; the damage is logged, and told by an open
    reader's `damage`.
    """
    if not isinstance(source, DbnReader):
        with DbnReader(source) as reader:
            return read_definitions(reader)
    chunks = source.chunks(_AT_ONCE)
    found = [definitions(source.metadata, chunk.others) for chunk in chunks]
    if source.damage:
        end = source.damage
        log.warning("%s: definitions end at record %d: %s", source.path, end.record, end.reason)
    return np.concatenate([np.empty(0, DEFINITION), *found])


def definitions(metadata: Metadata, others: Iterable[Other]) -> npt.NDArray[Any]:
    """The definitions among a chunk's other records, in order (DEFINITION)."""
    decoder = DBNDecoder(
        has_metadata=False,
        ts_out=bool(metadata.ts_out),
        input_version=metadata.version,
        upgrade_policy=VersionUpgradePolicy.UPGRADE_TO_V3,  # type: ignore[arg-type]
    )
    for other in others:
        if other.rtype == RTYPE_DEFINITION:
            decoder.write(other.raw)
    size = DEFINITION.itemsize
    return np.frombuffer(b"".join(bytes(r)[:size] for r in decoder.decode()), DEFINITION)
