"""A tile: a title, a query, and how its columns are shown, declared once for here and Fabric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from typing import Literal as OneOf

from spymaster.dashboard.tiles.expression import picks_in
from spymaster.dashboard.tiles.query import Anomaly, Decompose, Query, Rows, Sort, Take, walk
from spymaster.errors import ContractError

if TYPE_CHECKING:
    import polars as pl

#: How a tile is drawn. `segments`: horizontal lines from x to until; `spans`: shaded stretches;
#: `markers`: a line whose rows with flag != 0 are marked; `curve`: y over x, no time.
Kind = OneOf[
    "candles",
    "segments",
    "spans",
    "bars",
    "lines",
    "markers",
    "heatmap",
    "ladder",
    "table",
    "curve",
]


@dataclass(frozen=True)
class View:
    """What is looked at: [start, end) in ns UTC, an underlier (None: all), contracts (empty: all),
    and the values of tiles' own parameters by name (absent: the parameter's default)."""

    start: int
    end: int
    underlier: str | None = None
    contracts: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """A column that is shown: its label and unit, and a hint of how it is drawn."""

    column: str
    label: str
    unit: str = ""
    mark: OneOf["line", "bar", "open", "high", "low", "close", "until", "text", "value"] = "value"


@dataclass(frozen=True)
class Parameter:
    """What a viewer may choose of a tile: values with their labels."""

    name: str
    label: str
    choices: Mapping[str, str]
    default: str


@dataclass(frozen=True)
class Tile:
    """A tile as declared; `x`: its axis (None: a table), `split`: one series per value of it.

    Tiles of one `pane` are drawn over one another, with one x axis. `empty` is said when there
    are no rows. ContractError where the declaration contradicts itself.
    """

    id: str
    title: str
    pane: str
    kind: Kind
    query: Query
    series: tuple[Shown, ...]
    x: str | None = None
    split: str | None = None
    parameters: tuple[Parameter, ...] = ()
    empty: str = "Nothing in this window."

    def __post_init__(self) -> None:
        named = {s.column for s in self.series} | ({self.x, self.split} - {None})
        if absent := named - self.query.columns.keys():
            raise self._wrong(f"{', '.join(map(str, absent))} is shown", "the query's columns")
        if not isinstance(self.query, Sort | Take):
            raise self._wrong("rows in no order", "a query that ends with .sort or .top")
        mine = {p.name: p for p in self.parameters}
        for p in mine.values():
            if p.default not in p.choices:
                raise self._wrong(f"{p.name} is {p.default}", f"one of {', '.join(p.choices)}")
        chosen = {c for q in walk(self.query) for e in q.expressions for c in picks_in(e)}
        for c in chosen | {
            a.threshold for a in self.anomalies if not isinstance(a.threshold, float)
        }:
            have = mine[c.parameter].choices.keys() if c.parameter in mine else set()
            if have != {option for option, _ in c.options}:
                raise self._wrong(f"options of {c.parameter}", "those of the tile's parameter")

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it reads."""
        return tuple(dict.fromkeys(q.table for q in walk(self.query) if isinstance(q, Rows)))

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """How its anomalies are found; such a tile's rows have flag, score and baseline."""
        return tuple(q.anomaly for q in walk(self.query) if isinstance(q, Decompose))

    @property
    def anomaly(self) -> Anomaly | None:
        """The first of them, or None."""
        return self.anomalies[0] if self.anomalies else None

    def values(self, view: View) -> dict[str, str]:
        """The chosen value of each parameter. ContractError for one that is no choice."""
        chosen = {p.name: view.values.get(p.name, p.default) for p in self.parameters}
        for p in self.parameters:
            if chosen[p.name] not in p.choices:
                raise self._wrong(f"{p.name}={chosen[p.name]}", f"one of {', '.join(p.choices)}")
        return chosen

    def _wrong(self, found: str, allowed: str) -> ContractError:
        return ContractError(f"tile {self.id}: {found}. Allowed: {allowed}")


class Source(Protocol):
    """Where the page's rows come from.

    `once`: no row of it has the key of another; else the tiles look.
    """

    @property
    def once(self) -> bool: ...

    def rows(self, table: str, view: View, columns: Sequence[str]) -> pl.DataFrame:
        """Rows of a table, such as `gold.feature_series`, with at least these columns.

        Rows whose time (`times.TIME`, int64 ns UTC) is in the view must be there, all rows where
        the table has none; more rows and columns, rows twice unless `once`, other encodings of
        strings and integers do no harm. Types are the contract's: prices as there, `session_date`
        a date. A table that the source does not have gives no rows: `nothing(table)`.
        """
        ...


def run(tile: Tile, source: Source, view: View) -> pl.DataFrame:
    """The tile's rows, as the local page shows them: times int64 ns UTC, NaN as null."""
    from spymaster.dashboard.tiles.local import evaluate

    return evaluate(tile, source, view)


def nothing(table: str) -> pl.DataFrame:
    """No rows of a table, with its columns: what a source says that does not have it."""
    from spymaster.dashboard.tiles.local import nothing as without_rows

    return without_rows(table)


def kql(tile: Tile) -> str:
    """The tile's text for Fabric: of _startTime, _endTime, _underlier, _contract and its own."""
    from spymaster.dashboard.tiles.kusto import compiled

    return compiled(tile.query)
