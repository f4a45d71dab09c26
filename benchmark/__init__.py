"""The benchmark runner: benchmarks of distributed systems on geo-distributed testbeds."""

__version__ = "0.1.0"
