"""Market-by-order feed to book features and vectors, the same numbers live as in training."""

__version__ = "0.1.0"
