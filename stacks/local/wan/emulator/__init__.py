"""The process that delays the packets between local hosts."""
