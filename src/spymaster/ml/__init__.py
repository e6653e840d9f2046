"""Learning: a frozen snapshot, its split, the sweep, the model and how it is judged."""
