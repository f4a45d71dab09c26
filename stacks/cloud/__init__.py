"""What regions of all clouds share: their arguments and the first boot of their hosts."""
