"""Regions of machines that the user already has."""
