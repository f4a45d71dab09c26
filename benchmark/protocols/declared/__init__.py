"""Protocols described in a YAML file."""
