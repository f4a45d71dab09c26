"""Metric names, scrape targets, the Prometheus client and stored samples."""
