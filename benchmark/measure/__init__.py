"""Compute the statistics of one run from its samples."""
