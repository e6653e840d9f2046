"""Primitives on numbers that one can follow by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spymaster.contracts import TABLES
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel.primitives import Primitives
from spymaster.stages.contract_session import ContractSession
from tests.scenarios import random_scenario
from tests.session_tables import SPEC, contract_day, run, tables_of

BAR = numpy_dtype(TABLES["silver.bar_5s"])
TICK = 250_000_000


def bars(mids: list[float], buys: list[int], sells: list[int]) -> np.ndarray:
    """Valid bars one tick wide; mids in ticks."""
    out = np.zeros(len(mids), BAR)
    out["mid"] = np.array(mids) * 0.25
    out["spread"], out["valid"] = 0.25, True
    out["buy_volume"], out["sell_volume"] = buys, sells
    out["volume"] = out["buy_volume"] + out["sell_volume"]
    out["tw_bid_depth_10"] = out["tw_ask_depth_10"] = 100.0
    out["bid_depth_10"] = out["ask_depth_10"] = 100
    return out


def test_kyles_lambda_is_the_slope_of_price_on_signed_volume() -> None:
    signed = [(7 * k) % 11 - 5 for k in range(80)]
    mids = (np.cumsum(signed) * 0.5 + 0.5 * np.arange(80)).tolist()
    given = bars(mids, [max(x, 0) for x in signed], [max(-x, 0) for x in signed])
    found = Primitives(TICK, 1).advance(given)["kyle_lambda"]
    assert np.isnan(found[:54]).all()
    assert found[54:] == pytest.approx(np.full(26, 0.5), rel=1e-12)


def test_volume_that_never_varies_has_no_impact() -> None:
    given = bars([float(k % 3) for k in range(80)], [4] * 80, [1] * 80)
    assert np.isnan(Primitives(TICK, 1).advance(given)["kyle_lambda"]).all()


def test_realized_volatility_is_the_root_of_the_sum_of_squares() -> None:
    given = bars([float(3 * (k % 2)) for k in range(13)], [0] * 13, [0] * 13)
    found = Primitives(TICK, 1).advance(given)
    assert found["return_ticks"].tolist()[1:4] == [3.0, -3.0, 3.0]
    assert found["realized_vol_12"][12] == math.sqrt(12 * 9.0)
    given["valid"][5] = False
    holed = Primitives(TICK, 1).advance(given)
    # Two returns are lost with the bar: ten of twelve are enough.
    assert holed["realized_vol_12"][12] == math.sqrt(10 * 9.0)
    names = [n for n in holed.dtype.names if not n.startswith("bar_")]
    assert all(np.isnan(holed[n][5]) for n in names)


def test_an_empty_book_beside_usual_ones_is_a_vacuum() -> None:
    given = bars([0.0] * 80, [1] * 80, [1] * 80)
    given["bid_depth_10"][79] = given["ask_depth_10"][79] = 25
    found = Primitives(TICK, 1).advance(given)["liquidity_vacuum"]
    assert np.isnan(found[:71]).all()
    assert (found[71:79] == 0.0).all()
    assert found[79] == 0.75


def test_one_sided_trading_has_vpin_1_and_balanced_0() -> None:
    one_sided = Primitives(TICK, 1, 500).advance(bars([0.0] * 9, [10] * 9, [0] * 9))["vpin"]
    balanced = Primitives(TICK, 1, 500).advance(bars([0.0] * 9, [5] * 9, [5] * 9))["vpin"]
    assert np.isnan(one_sided[:4]).all()
    assert (one_sided[4:] == 1.0).all()
    assert (balanced[4:] == 0.0).all()


def test_vpin_counts_a_bucket_only_when_it_is_full_and_hidden_volume_as_neutral() -> None:
    given = bars([0.0] * 6, [10, 10, 10, 10, 9, 0], [0] * 6)
    given["volume"][5] = 1  # hidden: it fills the fifth bucket, and leans to neither side
    found = Primitives(TICK, 1, 500).advance(given)["vpin"]
    assert np.isnan(found[:5]).all()
    assert found[5] == 49.0 / 50.0


@pytest.mark.parametrize("volume", [None, 0])
def test_without_a_session_before_there_is_no_vpin(volume: int | None) -> None:
    found = Primitives(TICK, 1, volume).advance(bars([0.0] * 9, [10] * 9, [0] * 9))
    assert np.isnan(found["vpin"]).all()


def test_a_contract_that_is_not_selected_has_primitives_and_no_levels() -> None:
    s = random_scenario(3, "cme")
    selected = tables_of(run(s))
    session = ContractSession(replace(contract_day(s), selected=False), SPEC)
    other = tables_of(session.advance(s.events) + session.close(s.last_mark))
    assert len(selected["silver.level_book"]) > 0
    assert "silver.level_book" not in other
    for table in ("silver.bar_5s", "silver.feature_primitives"):
        assert len(other[table]) == len(selected[table]) > 0
    assert other["silver.feature_primitives"] == selected["silver.feature_primitives"]
