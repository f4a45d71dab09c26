"""Protocols: describe the processes of systems under test."""
