"""The generators: what the contracts declare is what every form of a table says."""

import datetime as dt
import json
import subprocess
import sys

import jsonschema
import numpy as np
import pyarrow as pa
import pytest

from spymaster.contracts import TABLES, markdown
from spymaster.contracts.arrow import arrow_schema, to_arrow, to_numpy
from spymaster.contracts.column import INT_NULL, Table, fact, key, session_columns, trace
from spymaster.contracts.json_schema import json_schema
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.contracts.topics import ENVELOPE, MESSAGES, TOPICS
from spymaster.errors import ContractError
from tests.users_event import EVENT

BAR = Table(
    "test.bar",
    "A bar of every column type.",
    (
        key("contract_id", "string", "contract"),
        key("bar_end", "int64", "end", "ns UTC"),
        fact("open_px", "int64", "first trade", "1e-9 currency", null=True),
        fact("spread", "float64", "ask - bid", null=True),
        fact("weight", "float64", "never missing"),
        fact("n", "int32", "records"),
        fact("valid", "bool", "good"),
        fact("side", "string", "side", null=True, values=("B", "A")),
        fact("vector", "list<float64>", "numbers"),
        fact("types", "list<string>", "names"),
        trace("made_at", "int64", "when", "ns UTC"),
        *session_columns(),
    ),
    ("session_date", "underlier", "instrument_type"),
)
DAY = dt.date(2023, 12, 26)
CONSTANTS = {
    "contract_id": "ES.FUT.202403",
    "side": ["B", None, "A"],
    "vector": np.array([[1.0, np.nan], [3.0, 4.0], [5.0, 6.0]]),
    "types": [["PD_HIGH"], [], ["OR_LOW", "PM_LOW"]],
    "made_at": None,
    "session_date": DAY,
    "underlier": "ES",
    "instrument_type": "FUT",
}


def records() -> np.ndarray:
    out = np.zeros(3, numpy_dtype(BAR, ["bar_end", "open_px", "spread", "weight", "n", "valid"]))
    out["bar_end"] = [5, 10, 15]
    out["open_px"] = [4800, INT_NULL, 4801]
    out["spread"] = [0.25, np.nan, 0.5]
    out["valid"] = [True, False, True]
    return out


def test_arrow_schema_follows_the_contract_in_names_types_and_nulls():
    schema = arrow_schema(BAR)
    assert schema.names == BAR.names
    assert schema.field("session_date").type == pa.date32()
    assert schema.field("vector").type == pa.list_(pa.float64())
    assert schema.field("n").type == pa.int32()
    assert [f.name for f in schema if f.nullable] == ["open_px", "spread", "side", "made_at"]


def test_numpy_dtype_has_the_fixed_width_columns_only():
    assert numpy_dtype(BAR).names == (
        "bar_end",
        "open_px",
        "spread",
        "weight",
        "n",
        "valid",
        "made_at",
    )
    assert numpy_dtype(BAR, ["valid", "bar_end"]) == np.dtype([("bar_end", "<i8"), ("valid", "?")])
    with pytest.raises(ContractError, match="contract_id cannot be a numpy field"):
        numpy_dtype(BAR, ["contract_id"])


def test_missing_integers_and_floats_become_nulls_and_come_back():
    batch = to_arrow(BAR, records(), CONSTANTS)
    assert batch.schema == arrow_schema(BAR)
    assert batch.column("open_px").to_pylist() == [4800, None, 4801]
    assert batch.column("spread").to_pylist() == [0.25, None, 0.5]
    assert batch.column("types").to_pylist() == CONSTANTS["types"]
    assert batch.column("side").to_pylist() == ["B", None, "A"]
    vectors = batch.column("vector")
    assert vectors.null_count == vectors.flatten().null_count == 0  # NaN stays NaN in a vector
    assert batch.column("session_date").to_pylist() == [DAY] * 3
    for data in (batch, pa.Table.from_batches([batch, batch.slice(0, 1)]).slice(0, 3)):
        back = to_numpy(BAR, data, records().dtype.names)
        assert back.tobytes() == records().tobytes()


def test_strings_may_stay_codes_and_columns_may_be_left_out():
    stored = [c.name for c in BAR.stored]
    batch = to_arrow(BAR, records(), CONSTANTS, columns=stored, dictionary=True)
    assert batch.schema.names == stored
    assert pa.types.is_dictionary(batch.schema.field("contract_id").type)
    coded = pa.DictionaryArray.from_arrays(np.array([1, 0, 1], np.int32), ["B", "A"])
    again = to_arrow(BAR, records(), {**CONSTANTS, "side": coded})
    assert again.column("side").to_pylist() == ["A", "B", "A"]


def test_order_ids_above_two_to_the_63_keep_their_bits():
    table = Table("test.ids", "Ids.", (key("order_id", "int64", "id"),))
    ids = np.array([1, 2**64 - 1], np.uint64)
    assert to_arrow(table, None, {"order_id": ids}).column(0).to_pylist() == [1, -1]


def _weights(values):
    out = records()
    out["weight"] = values
    return out


def _ends(values):
    out = records()
    out["bar_end"] = values
    return out


@pytest.mark.parametrize(
    ("rows", "constants", "message"),
    [
        (_weights([1, 2, np.nan]), {}, "test.bar.weight row 2 is missing"),
        (_ends([5, INT_NULL, 9]), {}, "test.bar.bar_end row 1 is missing"),
        (records(), {"contract_id": ["a", None, "b"]}, "test.bar.contract_id row 1 is missing"),
        (records(), {"underlier": None}, "test.bar.underlier row 0 is missing"),
        (records(), {"side": ["B", "X", "A"]}, r"test.bar.side holds \['X'\]; allowed"),
        (records(), {"side": ["B"]}, "1 values for 3 rows"),
        (records(), {"session_date": "soon"}, "test.bar.session_date is date"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named(rows, constants, message):
    with pytest.raises(ContractError, match=message):
        to_arrow(BAR, rows, {**CONSTANTS, **constants})


def test_a_forgotten_column_is_named():
    with pytest.raises(ContractError, match=r"test.bar.made_at was not given"):
        to_arrow(BAR, records(), {k: v for k, v in CONSTANTS.items() if k != "made_at"})


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_every_form(name):
    table = TABLES[name]
    assert arrow_schema(table).names == table.names
    assert set(numpy_dtype(table).names or ()) <= set(table.names)
    jsonschema.Draft202012Validator.check_schema(json_schema(table))


def test_no_rows_are_a_batch_too():
    assert (
        to_arrow(BAR, records()[:0], {**CONSTANTS, "side": [], "types": [], "vector": []}).num_rows
        == 0
    )


def test_the_users_own_event_is_valid_on_mbo_raw():
    schema = json_schema(MESSAGES["mbo_raw"])
    assert schema["required"] == list(ENVELOPE) == list(EVENT)
    check = jsonschema.Draft202012Validator(schema)
    assert check.is_valid(EVENT)
    assert check.is_valid({**EVENT, "price": None, "order_id": 2**64 - 1, "ts_recv": 1})
    assert not check.is_valid({**EVENT, "action": "X"})
    assert not check.is_valid({**EVENT, "price": "5000"})
    assert not check.is_valid({**EVENT, "surprise": 1})
    assert not check.is_valid({k: v for k, v in EVENT.items() if k != "size"})


def test_the_topics_are_the_four_of_the_contract():
    assert TOPICS == ("mbo_raw", "features_gold", "inference_scores", "inference_errors")


def test_markdown_tells_type_unit_null_key_kind_and_meaning():
    page = markdown.tables_md([BAR])
    assert "| `open_px` | int64 | 1e-9 currency | null |  | fact | first trade |" in page
    assert "| `bar_end` | int64 | ns UTC |  | key | fact | end |" in page
    assert "| `made_at` | int64 | ns UTC | null |  | trace | when |" in page
    assert "One of B, A." in page
    assert "Partition: `session_date`, `underlier`, `instrument_type`." in page
    assert "replaced by whole partition. Version 1." in page


def test_stale_documents_are_detected_and_written_again(tmp_path):
    assert markdown.main(["--docs", str(tmp_path)]) == 0
    assert markdown.main(["--check", "--docs", str(tmp_path)]) == 0
    json.loads((tmp_path / "schemas/inference_scores.json").read_text())
    (tmp_path / "schemas/left_over.json").write_text("{}")
    (tmp_path / "tables.md").write_text("old")
    (tmp_path / "schemas/mbo_raw.json").unlink()
    assert markdown.main(["--check", "--docs", str(tmp_path)]) == 1
    with pytest.raises(ContractError, match=r"left_over\.json, schemas/mbo_raw\.json, tables\.md"):
        markdown.check(tmp_path)
    assert markdown.write(tmp_path) == [
        "schemas/left_over.json",
        "schemas/mbo_raw.json",
        "tables.md",
    ]
    markdown.check(tmp_path)


def test_contracts_import_nothing_but_numpy():
    names = [f"spymaster.contracts.{n}" for n in ("arrow", "numpy_dtype", "json_schema", "topics")]
    code = (
        f"import sys, {', '.join(names)}\n"
        "heavy = {'pyarrow', 'pandas', 'deltalake', 'numba', 'polars'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
