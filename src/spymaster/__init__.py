"""Market-by-order feed to book features and vectors, the same numbers live as in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spymaster.query import scan

__version__ = "0.1.0"
__all__ = ["__version__", "scan"]


def __getattr__(name: str) -> Any:
    # The kernel imports this package too, and must bring nothing but numpy and numba with it.
    if name == "scan":
        from spymaster.query import scan

        return scan
    raise AttributeError(f"module 'spymaster' has no attribute {name!r}")
