"""What a captured connection's file is called: its rows' batch_id is known before its checksum."""

from __future__ import annotations

import re
from pathlib import PurePath

from spymaster.market.clock import utc_date

_NAME = re.compile(r"-capture-([0-9a-f]{16})\.dbn(\.zst)?$")


def capture_name(dataset: str, start: int, batch_id: str) -> str:
    """The name of a capture that begins at `start`, ns UTC.

    >>> capture_name("GLBX.MDP3", 1703545200_000000000, "00d1e2f30405a6b7")
    'glbx-mdp3-20231225-capture-00d1e2f30405a6b7.dbn'
    """
    stem = dataset.lower().replace(".", "-")
    return f"{stem}-{utc_date(start):%Y%m%d}-capture-{batch_id}.dbn"


def captured_batch(path: str | PurePath) -> str | None:
    """The batch_id of a capture, by its file's name; None for any other file.

    >>> captured_batch("raw-dbn/ES/glbx-mdp3-20231225-capture-00d1e2f30405a6b7.dbn.zst")
    '00d1e2f30405a6b7'
    """
    found = _NAME.search(PurePath(path).name)
    return found.group(1) if found else None
