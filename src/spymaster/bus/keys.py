"""Which partition a key belongs to: the same for every bus, and for Kafka's Java clients."""

from __future__ import annotations

from functools import lru_cache

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_WORD = 0xFFFFFFFF


@lru_cache(maxsize=1 << 16)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a key.

    Murmur 2 (Appleby, 2008) of its UTF-8 bytes without the sign bit, modulo the count: what
    Kafka's own partitioner does, so that a contract stays in one partition whoever publishes it.

    >>> [partition_of(key, 4) for key in ("ESH4", "ESM4", "TSLA")]
    [3, 2, 3]
    """
    return (_murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    whole = len(data) & ~3
    h = _SEED ^ len(data)
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _MIX & _WORD
        k = (k ^ k >> 24) * _MIX & _WORD
        h = h * _MIX & _WORD ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _MIX & _WORD
    h = (h ^ h >> 13) * _MIX & _WORD
    return h ^ h >> 15
