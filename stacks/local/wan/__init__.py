"""The emulated wide area network of a local testbed."""
