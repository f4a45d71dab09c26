"""Inject and heal faults on one host.

    python3 -I -S inject.pyz serve|heal RUN_DIRECTORY MARK [SSH_CONNECTION…]

`serve` reads orders from standard input, JSON objects with `do` and `id`, and answers each with one line of JSON:
`check` (with `kinds`, names in `agent.MECHANISMS`: whether the host can do that), `prepare` (with `mechanisms`, a list
of objects whose `kind` is such a name and whose other fields the class of this kind describes), `inject` (with
`deadline_s`), `prove`, `prove_held`, `heal`, `prove_healed` (with `cut`, addresses that other faults cut off). An
answer repeats `do` and `id` and has `began` and `at` (Unix times of this host's clock), `ok` and `text`, which is the
proof or the problem.

A fault is healed on order, when its deadline has passed, and with all others when the input ends, because the runner is
gone, or at SIGTERM. What is to be undone is in the file `faults.json` before it is done: `heal` undoes that, also after
`serve` was killed, and a second process, the watchdog, when `serve` cannot. MARK distinguishes the runs' packet
filters; SSH_CONNECTION is that of the operator, which no fault affects.

The package is copied to hosts as one zip file, in which it is called `inject`, so its imports are relative. It needs
Python >= 3.8, where no generic type of the standard library can be subscripted at run time.
"""
