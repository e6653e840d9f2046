"""What readers may see of a table: only sessions whose tables are all committed."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any

import pyarrow.compute as pc

from spymaster.lake import read
from spymaster.lake.lineage import complete
from spymaster.lake.tables import Lake


def visible(
    lake: Lake,
    name: str,
    session: dt.date | str | None = None,
    underlier: str | None = None,
) -> Any:
    """A filter, or None where all may be seen: of silver and gold, the sessions that lineage calls
    complete (silver may be read before gold is made of it), each of its underlier.

    `session` and `underlier` narrow it further.
    """
    table = lake.table(name)
    if "session_date" not in table.partition:
        return None
    wanted: dict[str, Any] = {}
    if session is not None:
        wanted["session_date"] = str(session)
    if underlier is not None:
        wanted["underlier"] = underlier
    asked = read.expression(table, wanted)
    if table.layer not in ("silver", "gold"):
        return asked
    days: dict[str, list[str]] = defaultdict(list)
    for date, root in complete(lake, underlier, table.layer):
        days[root].append(date)
    seen = None
    for root, dates in sorted(days.items()):
        mine = read.expression(table, {"underlier": root, "session_date": dates})
        seen = mine if seen is None else seen | mine
    if seen is None:
        return pc.scalar(False)
    return seen if asked is None else seen & asked
