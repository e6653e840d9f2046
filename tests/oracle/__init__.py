"""The second opinion: bars, levels and episodes by dicts and plain ints, slow and obvious.

Imports nothing of the kernel. Where both agree bit for bit, neither is likely to be wrong.
"""

from tests.oracle.approach import oracle_episodes
from tests.oracle.bars import Oracle, oracle_bars
from tests.oracle.levels import oracle_levels
from tests.oracle.params import ApproachParams, Params, PreviousSession

__all__ = [
    "ApproachParams",
    "Oracle",
    "Params",
    "PreviousSession",
    "oracle_bars",
    "oracle_episodes",
    "oracle_levels",
]
