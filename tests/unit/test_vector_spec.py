"""The vector's spec and hashes: one text, one layout, one name for each vector."""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from spymaster.contracts import TABLES
from spymaster.kernel.features import FEATURES, NAMES
from spymaster.settings import Settings, UnderlierSettings
from spymaster.stages.hashes import episode_id, feature_hash
from spymaster.stages.vector_spec import lookback_spec, spec_hash, vector_spec_rows
from tests.laws.markets import run, settings, simulated

ES = Settings().of("ES")
NAN = struct.pack("<d", float("nan"))


def changed(path: tuple[str, ...], value: Any) -> UnderlierSettings:
    values = ES.model_dump()
    at = values
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return UnderlierSettings.model_validate(values)


def test_the_spec_is_canonical_json() -> None:
    spec = lookback_spec(ES)
    again = json.dumps(json.loads(spec), sort_keys=True, separators=(",", ":"))
    assert spec == again
    assert spec.isascii()
    assert lookback_spec(UnderlierSettings.model_validate(ES.model_dump())) == spec


def test_the_order_of_keys_in_the_settings_does_not_change_the_spec() -> None:
    values = ES.model_dump()
    backwards = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(values.items())
    }
    assert list(backwards) != list(values)
    assert lookback_spec(UnderlierSettings.model_validate(backwards)) == lookback_spec(ES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("approach", "scale"), "fixed"),
        (("approach", "touch_ticks"), 5),
        (("approach", "barrier_ticks"), 25),
        (("approach", "approach_bars"), 23),
        (("approach", "timeout_bars"), 145),
        (("approach", "max_episodes"), 9),
        (("windows", "bars"), "08:25-16:00"),
        (("windows", "premarket"), "05:05-09:30"),
        (("windows", "opening_range"), "09:30-09:40"),
        (("windows", "focus"), "08:30-12:35"),
        (("windows", "trigger"), "09:30-12:25"),
        (("windows", "regular"), "09:30-15:55"),
        (("calendar",), "NASDAQ"),
        (("boundary",), "16:00"),
    ],
)
def test_every_knob_changes_the_hash(path: tuple[str, ...], value: Any) -> None:
    assert spec_hash(lookback_spec(changed(path, value))) != spec_hash(lookback_spec(ES))


def test_what_does_not_change_a_vector_does_not_change_the_hash() -> None:
    for path, value in ((("model_id",), "OTHER"), (("venue",), "OTHER.FEED")):
        assert lookback_spec(changed(path, value)) == lookback_spec(ES)


def test_one_spelling_of_a_window_is_as_good_as_another() -> None:
    assert lookback_spec(changed(("windows", "premarket"), "05:00:00 - 09:30:00")) == lookback_spec(
        ES
    )


def test_the_hash_of_the_spec_is_blake2b_of_its_text() -> None:
    spec = lookback_spec(ES)
    assert spec_hash(spec) == blake2b(spec.encode("utf-8"), digest_size=16).hexdigest()
    assert len(bytes.fromhex(spec_hash(spec))) == 16


def test_names_are_unique_and_150_to_300() -> None:
    assert 150 <= len(NAMES) <= 300
    assert [name for name, n in Counter(NAMES).items() if n > 1] == []
    assert all(name.isascii() and name.islower() and name.isidentifier() for name in NAMES)
    assert all(f.meaning and f.unit and f.block in ("now", "lookback", "context") for f in FEATURES)


def test_the_layout_in_the_spec_tells_the_names_in_order() -> None:
    vector = json.loads(lookback_spec(ES))["vector"]
    lookback = vector["lookback"]
    names = [
        *vector["now"],
        *(
            f"{series}_{statistic}_{window}"
            for series in lookback["series"]
            for window in lookback["windows"]
            for statistic in lookback["statistics"]
        ),
        *vector["context"],
    ]
    assert tuple(names) == NAMES
    assert vector["size"] == len(NAMES)


def test_the_rows_of_the_vector_spec_are_the_contracts() -> None:
    spec = lookback_spec(ES)
    rows = vector_spec_rows(spec)
    assert [row["name"] for row in rows] == list(NAMES)
    assert [row["position"] for row in rows] == list(range(len(NAMES)))
    columns = {c.name for c in TABLES["gold.vector_spec"].columns}
    assert all(set(row) == columns for row in rows)
    assert {(row["spec_hash"], row["lookback_spec"]) for row in rows} == {(spec_hash(spec), spec)}


IDENTITY = ("ES.FUT.202403", 1_703_546_410_000_000_000, "ab" * 16, "cd" * 16)


def by_recipe(contract: str, vector_time: int, episode: str, spec: str, vector: Any) -> str:
    """BLAKE2b-128 of contract|vector_time|episode_id|spec_hash| and the doubles, low byte first."""
    h = blake2b(digest_size=16)
    h.update("|".join((contract, str(vector_time), episode, spec, "")).encode())
    for number in vector:
        h.update(struct.pack("<d", number))
    return h.hexdigest()


def test_the_hash_is_its_recipe_and_stays_what_it_was() -> None:
    vector = np.array([1.5, float("nan"), 0.0, -2.25])
    assert feature_hash(*IDENTITY, vector) == by_recipe(*IDENTITY, vector.tolist())
    assert feature_hash(*IDENTITY, vector) == feature_hash(*IDENTITY, vector.astype(">f8"))
    assert feature_hash(*IDENTITY, vector) == "266d00aefe8f44ceb527292729892079"


@given(st.integers(0, len(NAMES) - 1), st.integers(0, 63), st.integers(0, 2**32 - 1))
@hypothesis_settings(max_examples=300, deadline=None)
def test_any_one_bit_of_any_number_changes_the_hash(at: int, bit: int, seed: int) -> None:
    vector = np.random.default_rng(seed).normal(size=len(NAMES))
    flipped = vector.copy()
    flipped.view(np.uint64)[at] ^= np.uint64(1 << bit)
    assert feature_hash(*IDENTITY, flipped) != feature_hash(*IDENTITY, vector)


def test_contract_time_episode_and_spec_change_the_hash() -> None:
    vector = np.zeros(3)
    others = ("ES.FUT.202406", IDENTITY[1] + 1, "ba" * 16, "dc" * 16)
    hashes = {feature_hash(*IDENTITY, vector)}
    for i, other in enumerate(others):
        hashes.add(feature_hash(*IDENTITY[:i], other, *IDENTITY[i + 1 :], vector))
    hashes.add(feature_hash(*IDENTITY, np.zeros(4)))
    assert len(hashes) == 6


def test_what_makes_an_episode_changes_its_id() -> None:
    one = ("ES.FUT.202403", dt.date(2023, 12, 26), 4_807_750_000_000, "FROM_ABOVE", 5)
    others = ("ES.FUT.202406", dt.date(2023, 12, 27), 4_807_500_000_000, "FROM_BELOW", 10)
    ids = {episode_id(*one)} | {
        episode_id(*one[:i], other, *one[i + 1 :]) for i, other in enumerate(others)
    }
    assert len(ids) == 6
    text = "ES.FUT.202403|2023-12-26|4807750000000|FROM_ABOVE|5"
    assert episode_id(*one) == blake2b(text.encode(), digest_size=16).hexdigest()


def test_vectors_of_a_market_have_one_nan_no_minus_zero_and_the_hash_of_the_recipe(
    tmp_path: Path,
) -> None:
    market = simulated(tmp_path, 3, settings())
    tables = run(market)
    vectors = tables["gold.setup_vectors"]
    bits: Counter[str] = Counter()
    for v in vectors:
        vector = v["feature_vector"]
        assert len(vector) == len(NAMES)
        assert vector.dtype == np.float64
        for number in vector.tolist():
            data = struct.pack("<d", number)
            if number != number:
                assert data == NAN
            else:
                assert abs(number) != float("inf")
                assert data != struct.pack("<d", -0.0)
            bits["NaN" if number != number else "zero" if number == 0 else "number"] += 1
        assert v["lookback_spec"] == market.spec
        assert v["feature_hash"] == by_recipe(
            market.day.contract_id,
            v["vector_time"],
            v["episode_id"],
            blake2b(market.spec.encode(), digest_size=16).hexdigest(),
            vector.tolist(),
        )
    print(len(vectors), dict(bits))
    assert len(vectors) >= 300
    assert min(bits[what] for what in ("NaN", "zero", "number")) > 100
    assert len({v["feature_hash"] for v in vectors}) == len(vectors)
    assert {x["feature_hash"] for x in tables["gold.labels"]} == {
        v["feature_hash"] for v in vectors
    }
