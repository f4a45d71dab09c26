"""What a run installs on its hosts, and how exactly it is known afterwards.

`packages` are Debian's; everything else is an artifact: a folder of files named by its content (the SHA-256 of what
`sha256sum *` prints in it). `source` finds the commit, `build` makes the artifact on one host, `brought` takes it from
the operator, `distribution` brings it from host to host, `install` does all of that for a benchmark.
"""
