"""The split: in order, apart, whole sessions; enough of them or none."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster.errors import ContractError, ModelError
from spymaster.lake import Lake
from spymaster.ml.freeze import freeze
from spymaster.ml.split import needed, split
from spymaster.ml.split_file import freeze_split, load_split
from spymaster.settings import Settings, SplitSettings
from tests.ml import lakes

SMALL = SplitSettings(min_train=5, min_validation=1, min_test=1)
RUN_DATE = dt.date(2024, 2, 1)
NOW = int(dt.datetime(2024, 6, 1, tzinfo=dt.UTC).timestamp()) * 10**9


@st.composite
def rules(draw: st.DrawFn) -> SplitSettings:
    validation, test = draw(st.integers(5, 40)), draw(st.integers(5, 40))
    return SplitSettings(
        train=(100 - validation - test) / 100,
        validation=validation / 100,
        test=test / 100,
        embargo=draw(st.integers(0, 3)),
        folds=draw(st.integers(1, 5)),
        min_train=draw(st.integers(1, 12)),
        min_validation=draw(st.integers(1, 5)),
        min_test=draw(st.integers(1, 12)),
    )


@given(rules(), st.integers(0, 60))
def test_parts_are_in_order_apart_and_all_there_is(how: SplitSettings, more: int) -> None:
    n = needed(how, more)
    days = lakes.sessions(n)
    made = split(reversed(days), how)
    laid = [*made.train, *made.validation, *made.test]
    assert sorted([*laid, *made.embargo]) == days
    assert laid == sorted(laid)
    assert len(made.embargo) == 2 * how.embargo
    at = days.index
    assert at(made.validation[0]) - at(made.train[-1]) == how.embargo + 1
    assert at(made.test[0]) - at(made.validation[-1]) == how.embargo + 1
    assert len(made.train) >= how.min_train
    assert len(made.validation) >= how.min_validation
    assert len(made.test) >= how.min_test


@given(rules(), st.integers(0, 60))
def test_folds_expand_inside_train_and_end_with_it(how: SplitSettings, more: int) -> None:
    made = split(lakes.sessions(needed(how, more)), how)
    assert len(made.folds) == how.folds
    for before, after in zip(made.folds, made.folds[1:], strict=False):
        assert after.fit[: len(before.fit)] == before.fit
        assert len(after.fit) > len(before.fit)
        assert len(after.judge) == len(before.judge)
        assert not set(before.judge) & set(after.judge)
    for fold in made.folds:
        at = made.train.index
        assert made.train[: len(fold.fit)] == fold.fit
        assert at(fold.judge[0]) == len(fold.fit) + how.embargo
        assert at(fold.judge[-1]) == len(fold.fit) + how.embargo + len(fold.judge) - 1
    assert made.folds[-1].judge[-1] == made.train[-1]


@given(rules())
def test_one_session_less_than_needed_is_refused_with_both_numbers(how: SplitSettings) -> None:
    n = needed(how)
    with pytest.raises(ModelError, match=rf"^{n - 1} sessions have rows, and {n} are needed"):
        split(lakes.sessions(n - 1), how)


def test_by_default_20_sessions_are_needed() -> None:
    with pytest.raises(ModelError, match="19 sessions have rows, and 20 are needed: at least 8"):
        split(lakes.sessions(19))
    made = split(lakes.sessions(20))
    assert [len(p) for p in (made.train, made.validation, made.test)] == [9, 4, 5]
    with pytest.raises(ModelError, match=r"^0 sessions have rows"):
        split([])


def test_shares_must_make_one() -> None:
    with pytest.raises(ContractError, match=r"ml\.split: train, validation and test make 1\.25"):
        Settings.load(None, ml={"split": {"train": 0.8}})
    assert Settings.load(None, ml={"split": {"embargo": 2}}).ml.split.embargo == 2


def test_a_split_is_written_beside_its_snapshot_once(root: Path) -> None:
    freeze(Lake(root), lakes.settings(root), "ES_MODEL", RUN_DATE, NOW)
    with pytest.raises(ModelError, match=r"has no split\.json\. Make it with: spymaster ml split"):
        load_split(root, "ES_MODEL", RUN_DATE)
    made, new = freeze_split(root, "ES_MODEL", RUN_DATE, SMALL)
    assert new
    assert load_split(root, "ES_MODEL", RUN_DATE) == made == split(lakes.sessions(12), SMALL)
    assert freeze_split(root, "ES_MODEL", RUN_DATE, SMALL) == (made, False)
    with pytest.raises(ModelError, match="is there already with other embargo"):
        freeze_split(root, "ES_MODEL", RUN_DATE, SMALL.model_copy(update={"embargo": 0}))
    assert load_split(root, "ES_MODEL", RUN_DATE) == made
    assert not freeze(Lake(root), lakes.settings(root), "ES_MODEL", RUN_DATE, NOW).made
    with pytest.raises(ModelError, match="12 sessions have rows, and 20 are needed"):
        freeze_split(root, "ES_MODEL", RUN_DATE)


def test_a_split_of_another_snapshot_is_refused(root: Path) -> None:
    path = freeze(Lake(root), lakes.settings(root), "ES_MODEL", RUN_DATE, NOW).path
    freeze_split(root, "ES_MODEL", RUN_DATE, SMALL)
    values = json.loads((path / "split.json").read_text())
    (path / "split.json").write_text(json.dumps(values | {"checksum": "0" * 32}))
    with pytest.raises(ModelError, match="is version 1 of the snapshot 00000"):
        load_split(root, "ES_MODEL", RUN_DATE)
    (path / "split.json").write_text(json.dumps(values)[:-20])
    with pytest.raises(ModelError, match="cannot be read"):
        load_split(root, "ES_MODEL", RUN_DATE)
