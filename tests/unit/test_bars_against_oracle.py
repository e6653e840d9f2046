"""The kernel's bars, states and notes against a slow and obvious second opinion."""
