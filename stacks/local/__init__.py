"""The local provider: hosts on this machine, joined by an emulated wide area network."""
