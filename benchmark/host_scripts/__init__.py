"""Scripts that are copied to hosts and run there; nothing in this package runs on the operator's machine."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from importlib.resources import files

# zipimport compiles each module twice, once only to find its file name, which costs a fifth of the start-up time.
_ENTRY_POINT = """\
import sys
from zipimport import zipimporter


class Importer(zipimporter):
    def get_filename(self, fullname):
        path = f"{{self.archive}}/{{self.prefix}}{{fullname.rpartition('.')[2]}}"
        return path + ("/__init__.py" if self.is_package(fullname) else ".py")


sys.path_hooks.insert(0, Importer)
sys.path_importer_cache.clear()
from {package}.__main__ import main

sys.exit(main(sys.argv[1:]))
"""


@cache
def read_script(name: str) -> str:
    """Return the text of the script called `name`, such as `probe.sh`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


@cache
def build_archive(package: str) -> bytes:
    """Return a package of this one, such as `load_generator`, as one file that `python3 -I -S FILE ARGUMENTS` runs.

    The file is a zip archive of the package and an entry point, which calls `main` of the package's `__main__`. Equal
    sources give equal bytes: entries are sorted, have a fixed date and are not compressed.
    """
    folder = files(__name__).joinpath(package)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".py"))
    modules = {f"{package}/{name}": folder.joinpath(name).read_text(encoding="utf-8") for name in names}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {"__main__.py": _ENTRY_POINT.format(package=package), **modules}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return buffer.getvalue()
