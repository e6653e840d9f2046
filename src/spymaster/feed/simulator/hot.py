"""How the market's inner loops are compiled: no allocation, so no counting of references.

The market is a bundle of a dozen arrays that every function is handed; counting references to
them would take two thirds of the time.
"""

from __future__ import annotations

from numba import njit

hot = njit(error_model="numpy", _nrt=False)
