"""The hosts of a testbed: reachable, provisioned and ready for runs."""
