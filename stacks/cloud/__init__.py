"""Code shared by the regions of all clouds: arguments, and the first boot of hosts."""
