"""Import moved modules under their former names.

The state of a stack names the modules of its dynamic providers, so a testbed that an earlier release created can be
updated and destroyed only if they are found.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from types import ModuleType

FORMER_MODULES = {
    "stacks.vultr_power": "stacks.vultr.power",
    "stacks.local.resource": "stacks.local.host.resource",
    "stacks.local.network_resource": "stacks.local.wan.resource",
}


class FormerModules(MetaPathFinder):
    """Finds a former module in the file of its successor."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        successor = find_spec(FORMER_MODULES[fullname]) if fullname in FORMER_MODULES else None
        return spec_from_file_location(fullname, successor.origin) if successor else None


sys.meta_path.append(FormerModules())
