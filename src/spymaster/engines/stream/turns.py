"""How threads of one process take turns."""

from __future__ import annotations

import sys

#: What a thread that computes may keep the interpreter when another wants it, in seconds.
_TURN_S = 0.0005


def short_turns() -> None:
    """Let threads wait little for each other.

    From a bar to its score a dozen steps wait for disk or network, and each of them must get the
    interpreter back afterwards: by default up to 5 ms later while an epoch is being committed.
    """
    sys.setswitchinterval(_TURN_S)
