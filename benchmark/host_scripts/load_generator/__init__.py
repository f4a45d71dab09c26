"""Send HTTP requests when they are due and export their outcome as Prometheus metrics.

    python3 load_generator.pyz --config FILE

The loop is open: only the schedule decides when request n is due. It is sent then, whatever happened to earlier
requests, and its latency counts from the due time, so waiting for a connection is part of it.

Sending starts at a line `go` or `go UNIX_TIME` on standard input and ends at SIGTERM. The class `Config` lists the
fields of the configuration. Exit codes: 0 stopped on request, 1 the metrics port is in use or the latency log cannot be
written, 2 wrong configuration.

The package is copied to hosts as one zip file, in which it is called `load_generator`, so its imports are relative. It
needs Python >= 3.10 and only the standard library, of which it imports little: many generators start at once on few
cores.
"""
