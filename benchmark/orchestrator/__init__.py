"""Run benchmarks on a testbed."""
