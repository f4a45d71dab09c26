"""Regions on Amazon Web Services."""
