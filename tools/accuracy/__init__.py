"""Check the accuracy of the emulated network and of a run's statistics."""
