"""Build systems and install the same files on every host of a run.

An artifact is a folder of files named by its content (the SHA-256 of what `sha256sum *` prints in it). `source`
resolves the commit, `build` builds the artifact on one host, `binaries` packs files from the operator's machine,
`distribution` copies it from host to host, `install` does all of that for a run. Debian packages are installed by
`benchmark.testbed.packages`.
"""
