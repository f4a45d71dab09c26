"""Systems under test, described as data."""
