"""What a client gets: a list of records, as Azure ML sends a data frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from spymaster.contracts.silver import OUTCOMES


def records(probabilities: NDArray[np.float64]) -> bytes:
    """JSON of probabilities [n, 3].

    >>> records(np.array([[0.5, 0.25, 0.25]]))
    b'[{"p_break":0.5,"p_reject":0.25,"p_chop":0.25,"prediction":"BREAK"}]'
    """
    best = probabilities.argmax(axis=1).tolist()
    return orjson.dumps(
        [
            {"p_break": b, "p_reject": r, "p_chop": c, "prediction": OUTCOMES[k]}
            for (b, r, c), k in zip(probabilities.tolist(), best, strict=True)
        ]
    )


def message(reason: str) -> bytes:
    """JSON of a refusal, in Microsoft's form."""
    told: dict[str, Any] = {"message": reason}
    return orjson.dumps(told)
