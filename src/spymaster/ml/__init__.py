"""Learning: frozen data, its split, judges, baselines, and what comes of them."""
