"""The contracts on paper: docs/tables.md and docs/schemas, written from the declarations.

Write them with ``python -m spymaster.contracts.markdown``; ``--check`` fails when they are stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from spymaster.contracts.column import Column, Table
from spymaster.contracts.generated import Generated
from spymaster.contracts.json_schema import json_schema

DOCS = Path(__file__).resolve().parents[3] / "docs"
COMMAND = "python -m spymaster.contracts.markdown"

_HEAD = f"""# Tables

Every table, column by column. Generated from `src/spymaster/contracts` by `{COMMAND}`: do not edit.
A *fact* is what happened or was computed, and two runs agree on it bit for bit; a *trace* is when
and how we came by it. Times are int64 nanoseconds UTC.
"""


def tables_md(tables: Mapping[str, Table] | Iterable[Table]) -> str:
    """Every table's meaning, partition and columns, as one Markdown page."""
    listed = list(tables.values() if isinstance(tables, Mapping) else tables)
    index = "\n".join(f"- [`{t.name}`](#{_anchor(t.name)}): {t.meaning}" for t in listed)
    return "\n".join([_HEAD, index, "", *(_section(t) for t in listed)]).rstrip() + "\n"


def generated(tables: Mapping[str, Table] | None = None) -> dict[str, str]:
    """Every generated document: path under docs/ -> its text."""
    from spymaster.contracts import TABLES
    from spymaster.contracts.topics import MESSAGES

    schemas = {f"schemas/{m.name}.json": json_schema(m) for m in MESSAGES.values()}
    texts = {
        path: json.dumps(s, indent=2, ensure_ascii=False) + "\n" for path, s in schemas.items()
    }
    return {"tables.md": tables_md(TABLES if tables is None else tables), **texts}


def _anchor(name: str) -> str:
    return name.replace(".", "").lower()


def _section(table: Table) -> str:
    arrival = "append-only" if table.append else "replaced by whole partition"
    cut = ", ".join(f"`{p}`" for p in table.partition) or "none"
    names = ("column", "type", "unit", "null", "key", "kind", "meaning")
    head = f"| {' | '.join(names)} |\n|{' --- |' * len(names)}"
    rows = "\n".join(_row(c) for c in table.columns)
    return (
        f"## {table.name}\n\n{table.meaning}\n\n"
        f"Partition: {cut}. Rows: {arrival}. Version {table.version}.\n\n{head}\n{rows}\n"
    )


def _row(column: Column) -> str:
    values = f" One of {', '.join(column.values)}." if column.values else ""
    cells = [
        f"`{column.name}`",
        column.type,
        column.unit,
        "null" if column.null else "",
        "key" if column.key else "",
        column.kind,
        column.meaning + values,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


PAPER = Generated(DOCS, COMMAND, "contracts", generated, lambda docs: docs.glob("schemas/*.json"))
stale, write, check, main = PAPER.stale, PAPER.write, PAPER.check, PAPER.main

if __name__ == "__main__":
    sys.exit(main())
