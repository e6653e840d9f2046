"""Backtest: a model's calls traded at the quotes of the book, net of spread, fees and latency."""
