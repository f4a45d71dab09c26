"""The processes that delay packets of local hosts: `python3 stacks/local/wan/emulator/__main__.py --directory DIR`.

    TUN of a host --read--> route by destination --> delay line --when due--> write --> TUN of another host

It needs nothing but the standard library, and imports its own modules relatively: run by path, it never loads the rest
of `stacks`. `packets` knows the bytes, `impairments` what links do to packets, `links` the delay lines and attached
hosts, `loop` moves packets, `control` answers requests, `metrics` adds up what workers counted, `keeper` replaces a
worker that died, `__main__` starts the daemon.
"""
