"""Benchmarks of distributed systems on geo-distributed testbeds: `python -m benchmark`."""

__version__ = "0.1.0"
