"""Rows of a table as a person reads them: a few across, many columns down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from rich.table import Table as Grid

from spymaster.cli.console import out, tell
from spymaster.contracts.column import Column
from spymaster.lake import Lake
from spymaster.lake.visible import visible

_ACROSS = 8  #: columns beside each other
_DOWN = 4  #: rows beside each other, where columns stand below each other


def show_rows(
    root: str, name: str, rows: int, columns: Sequence[str] | None, session: dt.date | None
) -> None:
    """Print the first rows of a table that readers may see; a wide table stands on its side."""
    lake = Lake(root)
    contract = lake.table(name)
    lake.check_exists()
    lake.open(name)
    filters = visible(lake, name, session)
    found: list[dict[str, Any]] = []
    for batch in lake.batches(name, filters, columns, batch_rows=max(rows, 1024)):
        found += batch.slice(0, rows - len(found)).to_pylist()
        if len(found) >= rows:
            break
    names = list(columns) if columns else contract.names
    cells = [[text(contract.by_name[n], row[n]) for n in names] for row in found]
    if len(names) <= _ACROSS:
        grid = Grid(*names, box=None, header_style="bold")
        for row in cells:
            grid.add_row(*row)
        out.print(grid)
    else:
        for first in range(0, len(cells), _DOWN):
            some = cells[first : first + _DOWN]
            heads = [f"row {first + i}" for i in range(len(some))]
            grid = Grid("column", *heads, "unit", box=None)
            for i, n in enumerate(names):
                grid.add_row(n, *[row[i] for row in some], contract.by_name[n].unit)
            out.print(grid)
    tell(f"{len(found)} of {lake.count(name, filters):,} rows of {name} under {lake.root}")


def text(column: Column, value: Any) -> str:
    """A value as it is read: times as times, long lists by their length."""
    if value is None:
        return "-"
    if column.unit == "ns UTC" and isinstance(value, int):
        seconds, ns = divmod(value, 10**9)
        stamp = dt.datetime.fromtimestamp(seconds, dt.UTC)
        return f"{stamp:%Y-%m-%d %H:%M:%S}.{ns:09d}".rstrip("0").rstrip(".")
    if isinstance(value, list) and len(value) > 8:
        return f"[{len(value)} numbers]"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1000 else f"{value:,.2f}"
    shown = str(value)
    return shown if len(shown) <= 48 else shown[:45] + "..."
