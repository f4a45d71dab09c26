"""Measure the overhead of the runner: time, memory, previews."""
