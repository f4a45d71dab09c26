"""Compare runs and sweeps statistically."""
