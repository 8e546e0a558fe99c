"""Floor 0: what every other room may stand on, and what itself stands on torch alone."""
