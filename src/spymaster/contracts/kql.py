"""The tables and topics as an Eventhouse has them: tables, mappings, views, policies.

Times are `datetime` there: the mappings read int64 nanoseconds, and Kusto keeps ticks of 100 ns.
Prices that a contract keeps as integers of 1e-9 currency stay so (`level_price: long`): a mapping
cannot divide, integers can be joined on; tiles divide by 1e9. NaN arrives as null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from spymaster.contracts import alerts, bronze, gold
from spymaster.contracts.column import Column, Table
from spymaster.contracts.topics import MESSAGES

#: Topics whose messages an Eventhouse takes.
TOPICS = ("features_gold", "inference_scores", "inference_errors")
_BY_TOPIC = {t: tuple(m.table for m in MESSAGES.values() if m.topic == t) for t in TOPICS}
#: Rows that come from the lake, as JSON lines.
FROM_LAKE = (bronze.GAPS, gold.PARITY, alerts.ALERT)
TABLES: tuple[Table, ...] = (*(t for ts in _BY_TOPIC.values() for t in ts), *FROM_LAKE)
#: Topics with several kinds of message, whose kind travels in a header that ingestion does not see.
MIXED = tuple(topic for topic, tables in _BY_TOPIC.items() if len(tables) > 1)

_TYPES = {
    "string": "string",
    "int64": "long",
    "int32": "int",
    "float64": "real",
    "bool": "bool",
    "date": "datetime",
    "list<float64>": "dynamic",
    "list<string>": "dynamic",
}
_DAYS = {"silver.orderbook_state": 30}
_KEPT, _RAW_KEPT, _HOT = 365, 1, 7


def name(table: Table) -> str:
    """A table's name in KQL: without the layer, a stream's twin without its suffix.

    >>> from spymaster.contracts.scores import SCORE
    >>> name(SCORE), once(SCORE), mapping_name(SCORE)
    ('inference_scores', 'inference_scores_once', 'inference_scores_json')
    """
    return table.name.rpartition(".")[2].removesuffix("_stream")


#: The views' own column.
INGESTED = "ingested"


def once(table: Table) -> str:
    """The view with each row once, as it came last: topics bring a message at least once.

    It has one more column, INGESTED: when that was.
    """
    return f"{name(table)}_once"


def mapping_name(table: Table) -> str:
    """The table's ingestion mapping of JSON messages."""
    return f"{name(table)}_json"


def identity(table: Table) -> list[str]:
    """What makes two rows the same row: the key and its partition, of a certificate its time."""
    more = ("checked_at",) if table is gold.PARITY else ()
    return list(dict.fromkeys((*table.keys, *more, *table.partition)))


#: Words that KQL keeps for itself.
_RESERVED = frozenset({"first", "last", "latest", "oldest"})


def word(name: str) -> str:
    """A column's name as it is written in a text.

    >>> word("ofi"), word("first")
    ('ofi', "['first']")
    """
    return f"['{name}']" if name in _RESERVED else name


def kql_type(column: Column) -> str:
    """A column's type in KQL."""
    return "datetime" if column.unit == "ns UTC" else _TYPES[column.type]


def script() -> str:
    """Everything an empty database needs, in an order in which it can be run as a whole."""
    parts = [
        _titled("Tables", (*map(_create, TABLES), *map(_create_raw, MIXED))),
        _titled("Mappings", (*map(_mapping, TABLES), *map(_raw_mapping, MIXED))),
        _titled("Kinds of message", [_function(topic, t) for topic, t in _mixed()]),
        _titled("Each row once", map(_view, TABLES)),
        _titled("Policies", _policies()),
    ]
    return "\n".join(parts)


def _titled(title: str, commands: Iterable[str]) -> str:
    return f"// {title}\n\n" + "\n\n".join(commands) + "\n"


def _mixed() -> list[tuple[str, Table]]:
    return [(topic, table) for topic in MIXED for table in _BY_TOPIC[topic]]


def _create(table: Table) -> str:
    columns = ",\n".join(f"    {word(c.name)}: {kql_type(c)}" for c in table.columns)
    told = f"with (docstring = {_quoted(table.meaning)}, folder = '{table.layer}')"
    docs = ",\n".join(f"    {word(c.name)}: {_quoted(_meaning(c))}" for c in table.columns)
    return (
        f".create-merge table {name(table)} (\n{columns}\n) {told}\n\n"
        f".alter-merge table {name(table)} column-docstrings (\n{docs}\n)"
    )


def _create_raw(topic: str) -> str:
    told = f"docstring = 'The topic {topic} as it comes, all kinds of message', folder = 'topics'"
    return f".create-merge table {topic} (message: dynamic) with ({told})"


def _meaning(column: Column) -> str:
    of_time = column.unit == "ns UTC"
    unit = f" ({column.unit})" if column.unit and not of_time else ""
    return column.meaning + unit


def _mapping(table: Table) -> str:
    entries = []
    for c in table.columns:
        told = {"Path": f"$.{c.name}"}
        if c.unit == "ns UTC":
            told["Transform"] = "DateTimeFromUnixNanoseconds"
        entries.append({"column": c.name, "Properties": told})
    return _map(name(table), mapping_name(table), entries)


def _raw_mapping(topic: str) -> str:
    whole = {"column": "message", "Properties": {"Path": "$"}}
    return _map(topic, f"{topic}_json", [whole])


def _map(table: str, mapping: str, entries: Sequence[Mapping[str, object]]) -> str:
    lines = ",\n".join("  " + json.dumps(e) for e in entries)
    head = f".create-or-alter table {table} ingestion json mapping '{mapping}'"
    return f"{head}\n```\n[\n{lines}\n]\n```"


def _function(topic: str, table: Table) -> str:
    own = " and ".join(f"bag_has_key(message, '{c}')" for c in _telling(topic, table))
    columns = ",\n".join(f"        {word(c.name)} = {_from_message(c)}" for c in table.columns)
    return (
        f".create-or-alter function with (folder = 'topics') {topic}_{name(table)}() {{\n"
        f"    {topic}\n    | where {own}\n    | project\n{columns}\n}}"
    )


def _telling(topic: str, table: Table) -> tuple[str, ...]:
    """The fewest columns, never null, that only this kind of the topic's messages has."""
    own = [c.name for c in table.columns if not c.null]
    others = [set(t.names) for t in _BY_TOPIC[topic] if t is not table]
    for n in range(1, len(own)):
        for chosen in combinations(own, n):
            if not any(set(chosen) <= other for other in others):
                return chosen
    raise ValueError(f"{table.name}: no column tells it from the other kinds of {topic}")


def _from_message(column: Column) -> str:
    value = f"message.{word(column.name)}".replace(".[", "[")
    match kql_type(column):
        case "datetime":
            if column.type == "date":
                return f"todatetime({value})"
            return f"unixtime_nanoseconds_todatetime(tolong({value}))"
        case "real":
            return f"todouble({value})"
        case "dynamic":
            return value
        case other:
            return f"to{other}({value})"


def _view(table: Table) -> str:
    by = ", ".join(identity(table))
    return (
        f".create-or-alter materialized-view with (lookback = 1d, autoUpdateSchema = true) "
        f"{once(table)} on table {name(table)} {{\n"
        f"    {name(table)}\n    | summarize {INGESTED} = arg_max(ingestion_time(), *) by {by}\n}}"
    )


def _policies() -> list[str]:
    out = []
    for table in TABLES:
        kept = f"softdelete = {_DAYS.get(table.name, _KEPT)}d recoverability = enabled"
        out += [
            f".alter-merge table {name(table)} policy retention {kept}",
            f".alter table {name(table)} policy caching hot = {_HOT}d",
            f".alter-merge materialized-view {once(table)} policy retention {kept}",
            f".alter materialized-view {once(table)} policy caching hot = {_HOT}d",
        ]
    streamed = [name(t) for ts in _BY_TOPIC.values() for t in ts] + list(MIXED)
    out += [f".alter table {t} policy streamingingestion enable" for t in streamed]
    for topic in MIXED:
        out.append(
            f".alter-merge table {topic} policy retention "
            f"softdelete = {_RAW_KEPT}d recoverability = enabled"
        )
    out += [_update_policy(topic, table) for topic, table in _mixed()]
    return out


def _update_policy(topic: str, table: Table) -> str:
    policy = {
        "IsEnabled": True,
        "Source": topic,
        "Query": f"{topic}_{name(table)}()",
        "IsTransactional": True,
        "PropagateIngestionProperties": False,
    }
    return f".alter table {name(table)} policy update\n```\n{json.dumps([policy], indent=2)}\n```"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
