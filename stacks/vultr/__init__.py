"""Regions on Vultr."""
