"""Measure what the runner itself costs: time, memory, previews."""
