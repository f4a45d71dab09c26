"""Set-up and generators of this checkout."""
