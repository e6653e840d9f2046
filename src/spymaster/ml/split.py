"""Sessions in order become train, validation and test, with sessions between that belong to none.

A session is never cut, and a later one never teaches about an earlier one. What a session passes
on to the next (yesterday's high, the range of five days) is what the embargo keeps apart.
Purging and embargo after Lopez de Prado (2018), chapter 7; expanding folds: Tashman (2000).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor

from spymaster.errors import ModelError
from spymaster.settings import SplitSettings


@dataclass(frozen=True)
class Fold:
    """Fit on the first sessions of train, judge on those that follow, after an embargo."""

    fit: tuple[dt.date, ...]
    judge: tuple[dt.date, ...]


@dataclass(frozen=True)
class Split:
    """Which session serves for what."""

    train: tuple[dt.date, ...]
    validation: tuple[dt.date, ...]
    test: tuple[dt.date, ...]
    embargo: tuple[dt.date, ...]  #: dropped between the parts
    folds: tuple[Fold, ...]  #: expanding, inside train


def split(sessions: Iterable[dt.date], settings: SplitSettings | None = None) -> Split:
    """Cut the sessions (those that have rows) by the settings' shares.

    Of n sessions, n - 2 embargo are shared out, validation and test rounded half up, train takes
    the rest. Raises ModelError with how many sessions there are and how many are needed.

    >>> days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(42)]
    >>> cut = split(days)
    >>> len(cut.train), len(cut.validation), len(cut.test), len(cut.embargo)
    (22, 8, 10, 2)
    >>> [(len(fold.fit), len(fold.judge)) for fold in cut.folds]
    [(6, 5), (11, 5), (16, 5)]
    """
    how = settings or SplitSettings()
    days = tuple(sorted(set(sessions)))
    shares = _sizes(len(days), how)
    if shares is None:
        raise ModelError(
            f"{len(days)} sessions have rows, and {needed(how, len(days))} are needed: at least "
            f"{how.min_train} to train on in {how.folds} folds, {how.min_validation} to validate, "
            f"{how.min_test} to test, {how.embargo} between the parts. Make more sessions, or "
            "lower [ml.split] in the configuration."
        )
    train, validation, _ = shares
    second = train + how.embargo
    third = second + validation + how.embargo
    return Split(
        train=days[:train],
        validation=days[second : second + validation],
        test=days[third:],
        embargo=days[train:second] + days[second + validation : third],
        folds=_folds(days[:train], how),
    )


def needed(settings: SplitSettings, at_least: int = 0) -> int:
    """The least number of sessions, from `at_least` on, that can be split."""
    n = at_least
    while _sizes(n, settings) is None:
        n += 1
    return n


def _sizes(n: int, how: SplitSettings) -> tuple[int, int, int] | None:
    """Sessions to train on, validate and test; None when they are too few."""
    shared = n - 2 * how.embargo
    validation, test = (floor(shared * s + 0.5) for s in (how.validation, how.test))
    train = shared - validation - test
    enough = (
        train >= max(how.min_train, how.folds + 1 + how.embargo)
        and validation >= how.min_validation
        and test >= how.min_test
    )
    return (train, validation, test) if enough else None


def _folds(train: tuple[dt.date, ...], how: SplitSettings) -> tuple[Fold, ...]:
    """Judged blocks are as long as each other and end with train; the first fit takes the rest."""
    judged = (len(train) - how.embargo) // (how.folds + 1)
    first = len(train) - how.embargo - how.folds * judged
    ends = [first + i * judged for i in range(how.folds)]
    return tuple(
        Fold(train[:end], train[end + how.embargo : end + how.embargo + judged]) for end in ends
    )
