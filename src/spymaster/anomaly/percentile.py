"""Percentiles and medians of a few thousand numbers, without sorting all of them."""

from __future__ import annotations

from spymaster.anomaly.compiled import F64, compiled


@compiled
def select(a: F64, n: int, k: int) -> float:
    """The `k`-th smallest of a[:n], from 0 (Hoare 1961). Reorders: none behind k is smaller."""
    low, high = 0, n - 1
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return a[k]


@compiled
def least(a: F64, first: int, n: int) -> float:
    """The smallest of a[first:n]."""
    found = a[first]
    for i in range(first + 1, n):
        found = min(found, a[i])
    return found


@compiled
def between(below: float, above: float, share: float) -> float:
    """The number a `share` of the way from one to another, exact at both ends."""
    way = above - below
    return above - way * (1.0 - share) if share >= 0.5 else below + way * share


@compiled
def percentile(a: F64, n: int, share: float) -> float:
    """A percentile (share 0..1) of a[:n], linear between two neighbours as numpy's; reorders a."""
    at = (n - 1) * share
    k = int(at)
    below = select(a, n, k)
    return below if k + 1 >= n else between(below, least(a, k + 1, n), at - k)


@compiled
def median(a: F64, n: int) -> float:
    """The median of a[:n]; reorders a.

    >>> import numpy as np
    >>> median(np.array([4.0, 1.0, 2.0, 9.0]), 4)
    3.0
    """
    k = n // 2
    upper = select(a, n, k)
    if n % 2:
        return upper
    lower = a[0]
    for i in range(1, k):
        lower = max(lower, a[i])
    return (lower + upper) / 2
