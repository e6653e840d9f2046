"""The names of an episode and of a vector: hashes of what makes them what they are."""

from __future__ import annotations

import datetime as dt
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def episode_id(
    contract_id: str, session_date: dt.date, level_price: int, direction: str, trigger_bar: int
) -> str:
    """BLAKE2b-128 of an episode's identity, in hexadecimal. Price 1e-9, trigger bar ns UTC."""
    text = f"{contract_id}|{session_date.isoformat()}|{level_price}|{direction}|{trigger_bar}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def feature_hash(
    contract_id: str,
    vector_time: int,
    episode: str,
    spec_hash: str,
    vector: NDArray[np.float64],
) -> str:
    """BLAKE2b-128 of a vector's identity and its little-endian float64 bytes, in hexadecimal.

    The vector comes with one NaN and without -0.0, as the kernel leaves it.
    """
    head = f"{contract_id}|{vector_time}|{episode}|{spec_hash}|".encode()
    return blake2b(head + vector.astype("<f8").tobytes(), digest_size=16).hexdigest()
