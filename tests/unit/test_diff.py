"""`spymaster diff`: equal facts are equal, whatever the files; the first difference is named."""

import math
import struct

import numpy as np
import pyarrow as pa
import pytest

from spymaster.contracts.arrow import arrow_schema
from spymaster.contracts.column import Table, fact, key, trace
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake.diff import diff

COLUMNS = (
    key("contract_id", "string", "contract"),
    key("bar_end", "int64", "end", "ns UTC"),
    fact("mid", "float64", "mid", null=True),
    fact("n", "int64", "count", null=True),
    fact("valid", "bool", "good", null=True),
    fact("vector", "list<float64>", "numbers", null=True),
    fact("types", "list<string>", "names", null=True),
    fact("label", "string", "outcome", null=True),
    trace("made_at", "int64", "when", "ns UTC"),
    fact("session_date", "date", "session"),
)
BAR = Table("silver.bar", "Bars.", COLUMNS, ("session_date",))
TWIN = Table("silver.bar_stream", "Bars, live.", COLUMNS, ("session_date",), append=True)
EVENTS = Table(
    "bronze.stream",
    "Records and control records.",
    (
        key("bar_end", "int64", "time", "ns UTC"),
        key("place", "int64", "place"),
        fact("action", "string", "null: a clock mark", null=True),
    ),
    append=True,
)
TABLES = {t.name: t for t in (BAR, TWIN, EVENTS)}


def bars(n: int = 6) -> list[dict]:
    return [
        {
            "contract_id": f"C{i % 2}",
            "bar_end": 5 * i,
            "mid": 0.1 * i,
            "n": i if i % 3 else None,
            "valid": i % 2 == 0,
            "vector": [float(i), math.nan, -0.0],
            "types": ["PD_HIGH", "OR_LOW"][: i % 3],
            "label": None,
            "made_at": i,
            "session_date": f"2024-01-0{1 + i % 3}",
        }
        for i in range(n)
    ]


def arrow(rows: list[dict], table: Table = BAR) -> pa.Table:
    import datetime as dt

    fixed = [
        {**r, "session_date": dt.date.fromisoformat(r["session_date"])}
        if "session_date" in r
        else r
        for r in rows
    ]
    return pa.Table.from_pylist(fixed, arrow_schema(table))


def compare(a: list[dict], b: list[dict], **options):
    return diff(arrow(a), arrow(b), BAR, **options)


def changed(row: int, **values) -> list[dict]:
    rows = bars()
    rows[row] = {**rows[row], **values}
    return rows


def test_rows_in_another_order_are_equal():
    result = compare(bars(), bars()[::-1])
    assert result.equal
    assert result.rows == {"silver.bar": (6, 6)}
    assert str(result) == "silver.bar: 6 rows, equal\nequal"


def test_one_bit_of_a_float_is_found():
    up = np.nextafter(0.30000000000000004, 1.0)
    result = compare(bars(), changed(3, mid=up))
    assert not result.equal
    found = result.tables["silver.bar"]
    assert (found.changed, found.only_a, found.only_b) == (1, 0, 0)
    assert found.first is not None
    assert found.first.column == "mid"
    assert (found.first.a, found.first.b) == (0.30000000000000004, up)
    assert found.first.key == {"bar_end": 15, "contract_id": "C1"}
    assert (
        "first: [bar_end=15, contract_id=C1] mid: A 0.30000000000000004, B 0.3000000000000001"
        in str(result)
    )


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("mid", None, math.nan),
        ("mid", 0.0, -0.0),
        ("mid", None, 0.0),
        ("n", None, 0),
        ("n", None, 1),
        ("valid", None, False),
        ("label", None, ""),
        ("types", None, []),
        ("types", [None], [""]),
        ("types", ["a", "b"], ["ab"]),
        ("types", ["a", "b"], ["b", "a"]),
        ("vector", None, []),
        ("vector", [math.nan], [None]),
        ("vector", [0.0], [-0.0]),
        ("vector", [1.0], [1.0, 1.0]),
    ],
)
def test_values_that_look_alike_are_not_the_same(column, one, other):
    result = compare(changed(2, **{column: one}), changed(2, **{column: other}))
    first = result.tables["silver.bar"].first
    assert first is not None
    assert first.column is not None
    assert first.column.startswith(column)
    assert first.key["bar_end"] == 10


def test_all_nans_are_one():
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0]
    rows = changed(2, mid=math.nan, vector=[2.0, math.nan, -0.0])
    other = changed(2, mid=odd, vector=[2.0, odd, -0.0])
    assert compare(rows, other).equal


def test_the_element_of_a_vector_is_named():
    result = compare(bars(), changed(4, vector=[4.0, math.nan, 0.0]))
    first = result.tables["silver.bar"].first
    assert first is not None
    assert (first.column, first.a, first.b) == ("vector[2]", -0.0, 0.0)


def test_a_missing_row_is_told_with_its_key():
    result = compare(bars(), bars()[:2] + bars()[3:])
    found = result.tables["silver.bar"]
    assert (found.changed, found.only_a, found.only_b) == (0, 1, 0)
    assert "[bar_end=10, contract_id=C0] only in A" in str(result)
    assert "only in B" in str(compare(bars()[1:], bars()).tables["silver.bar"].first)
    assert not compare([], bars()).equal
    assert compare([], []).equal


def test_how_often_a_row_stands_there_counts():
    twice = [*bars(), bars()[1]]
    result = compare(twice, bars())
    found = result.tables["silver.bar"]
    assert (found.rows, found.only_a, found.changed) == ((7, 6), 1, 0)
    both = compare([*bars(), bars()[1]], [*bars(), bars()[2]])
    assert (both.tables["silver.bar"].only_a, both.tables["silver.bar"].only_b) == (1, 1)


def test_a_trace_is_no_difference():
    assert compare(bars(), changed(1, made_at=99)).equal


def test_small_slices_say_what_one_slice_says():
    rows = bars(9)
    other = [*rows[:7], {**rows[7], "n": 1000}, rows[8], rows[0]]
    whole, cut = compare(rows, other), compare(rows, other, slice_rows=2)
    assert whole == cut
    assert whole.tables["silver.bar"].rows == (9, 10)
    assert (whole.tables["silver.bar"].changed, whole.tables["silver.bar"].only_b) == (1, 1)


def lake(root, rows: list[dict], *, table: Table = BAR, pieces: int = 1) -> Lake:
    made = Lake(root, tables=TABLES)
    made.create(table.name)
    for i in range(pieces):
        with made.writer(table.name) as writer:
            writer.write(arrow(rows[i::pieces], table))
        made.append(table.name, writer.parts)
    return made


def test_two_roots_with_other_files_hold_the_same_facts(tmp_path):
    a = lake(tmp_path / "a", bars())
    b = lake(tmp_path / "b", bars()[::-1], pieces=3)
    assert diff(a, b).equal
    assert diff(tmp_path / "a", tmp_path / "b", tables=TABLES).rows == {"silver.bar": (6, 6)}
    folders = [f"{tmp_path}/{x}/lake/silver/bar" for x in "ab"]
    assert diff(*folders, tables=TABLES, slice_rows=2).equal


def test_a_table_that_one_root_lacks_is_empty_there(tmp_path):
    a, b = lake(tmp_path / "a", bars()), lake(tmp_path / "b", bars())
    a.create("bronze.stream")
    assert diff(a, b).rows == {"silver.bar": (6, 6), "bronze.stream": (0, 0)}
    assert diff(a, b).equal
    a.append_rows("bronze.stream", [{"bar_end": 1, "place": 0, "action": "A"}])
    result = diff(a, b)
    assert not result.equal
    assert result.tables["silver.bar"].equal
    assert result.rows["bronze.stream"] == (1, 0)


def test_a_table_and_its_stream_are_compared_without_the_label(tmp_path):
    live = [{**r, "label": None} for r in bars()]
    past = [{**r, "label": "BREAK"} for r in bars()]
    a, b = lake(tmp_path / "a", past), lake(tmp_path / "b", live, table=TWIN)
    assert diff(a, b, ("silver.bar", "silver.bar_stream")).equal
    live[0]["n"] = 77
    c = lake(tmp_path / "c", live, table=TWIN)
    assert not diff(a, c, ("silver.bar", "silver.bar_stream")).equal


def test_control_records_are_left_out():
    records = [{"bar_end": i, "place": i, "action": "A"} for i in range(3)]
    marks = [{"bar_end": 9, "place": 9, "action": None}]
    result = diff(arrow(records, EVENTS), arrow(records + marks, EVENTS), EVENTS)
    assert result.equal
    assert result.rows == {"bronze.stream": (3, 3)}


def test_a_place_without_tables_is_no_equality(tmp_path):
    lake(tmp_path / "a", bars())
    with pytest.raises(LakeError, match="no table lies there"):
        diff(tmp_path / "a", tmp_path / "typo", tables=TABLES)
    with pytest.raises(LakeError, match="neither"):
        diff(tmp_path / "a", tmp_path / "a", "silver.bar_stream", tables=TABLES)
    with pytest.raises(LakeError, match="a root and a table's folder"):
        diff(tmp_path / "a", tmp_path / "a/lake/silver/bar", tables=TABLES)
