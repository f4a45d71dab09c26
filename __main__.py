"""Pulumi program: create the testbed that the settings describe, and export its inventory."""

import gc
import os
import signal
from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG

import stacks
from benchmark.errors import TestbedError
from benchmark.settings import configured_settings

# When a resource fails, Pulumi interrupts this program; a traceback would hide the reason of the failure.
signal.signal(signal.SIGINT, lambda *_: os._exit(1))

# The program makes many small objects and lives for seconds: by default, a third of its time is garbage collection.
gc.set_threshold(200_000, 20, 100)

try:
    settings = configured_settings(Path.cwd(), CONFIG.get(), f"stack {pulumi.get_stack()}")
    testbed = stacks.create(settings)
except TestbedError as error:
    stacks.fail(error)

pulumi.export("inventory", testbed.inventory)
pulumi.export("stack", pulumi.get_stack())
pulumi.export("hourly_cost_usd", testbed.hourly_cost_usd)
if testbed.ssh_private_key is not None:
    pulumi.export("ssh_private_key", testbed.ssh_private_key)
if testbed.grafana_password is not None:
    pulumi.export("grafana_url", testbed.grafana_url)
    pulumi.export("grafana_password", testbed.grafana_password)
