"""Pulumi program: create the testbed that the settings describe, and export its inventory."""

from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG

import stacks
from benchmark.errors import TestbedError
from benchmark.settings import configured_settings

stacks.set_up_process()
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
