"""Faults as data: their kinds, targets and schedule, and the record of what was injected."""
