"""A stand-in for Grafana's server: it follows the settings of a testbed, and shows nothing.

As Grafana does it, a setting comes from `GF_<SECTION>_<KEY>`, or else from the command line's `cfg:default.` arguments;
the administrator's password counts only when the database is created. Stricter than Grafana, which logs a broken
dashboard and continues, it starts only if it can read everything that is provisioned.
https://grafana.com/docs/grafana/latest/setup-grafana/configure-grafana/
https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

PROXY = "/api/datasources/proxy/uid/"


def setting(section: str, key: str, default: str) -> str:
    """Return a setting from the environment, the command line, or the default, in this order."""
    name = f"cfg:default.{section}.{key}="
    told = [text.removeprefix(name) for text in sys.argv if text.startswith(name)]
    return os.environ.get(f"GF_{section}_{key}".upper(), told[-1] if told else default)


def documents(kind: str) -> list[dict[str, Any]]:
    """Read the files of a folder of provisioning, `datasources` or `dashboards`."""
    folder = Path(setting("paths", "provisioning", "conf/provisioning"), kind)
    found = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(folder.iterdir())]
    assert all(document["apiVersion"] == 1 for document in found), f"{folder}: expected apiVersion 1"
    return found


class Grafana:
    """The provisioned content, and who may see it."""

    def __init__(self) -> None:
        self.sources = {entry["uid"]: entry for found in documents("datasources") for entry in found["datasources"]}
        folders = [Path(entry["options"]["path"]) for found in documents("dashboards") for entry in found["providers"]]
        files = [json.loads(path.read_text("utf-8")) for folder in folders for path in sorted(folder.glob("*.json"))]
        self.dashboards = {dashboard["uid"]: dashboard for dashboard in files}
        home = setting("dashboards", "default_home_dashboard_path", "")
        self.home = json.loads(Path(home).read_text("utf-8")) if home else {}
        self.anonymous = setting("auth_anonymous", "enabled", "false") == "true"
        self.login = self._administrator()

    def _administrator(self) -> str:
        database = Path(setting("paths", "data", "data"), "grafana.db")
        if not database.exists():
            wanted = setting("security", "disable_initial_admin_creation", "false") != "true"
            login = f"admin:{setting('security', 'admin_password', 'admin')}" if wanted else ""
            database.touch(0o640)
            database.write_text(login, encoding="utf-8")
        return database.read_text(encoding="utf-8")

    def role(self, authorization: str) -> str | None:
        """Return the role of who sent this header: Admin, Viewer, None for nobody."""
        if not authorization:
            return "Viewer" if self.anonymous else None
        try:
            given = base64.b64decode(authorization.removeprefix("Basic "), validate=True)
        except binascii.Error:
            return None
        return "Admin" if self.login and hmac.compare_digest(given, self.login.encode()) else None

    def answer(self, path: str, role: str | None) -> tuple[int, Any]:
        """Return status and body for a path."""
        if path == "/api/health":
            return 200, {"database": "ok", "version": "13.0.0"}
        if role is None:
            return 401, {"message": "Unauthorized"}
        if path == "/api/dashboards/home":
            return 200, {"dashboard": self.home}
        if path == "/api/search":
            return 200, [{"uid": uid, "title": found["title"]} for uid, found in self.dashboards.items()]
        if path.startswith(PROXY):
            uid, _, rest = path.removeprefix(PROXY).partition("/")
            with urllib.request.urlopen(f"{self.sources[uid]['url']}/{rest}", timeout=10) as reply:
                return reply.status, json.load(reply)
        if path == "/api/datasources":
            return (200, list(self.sources.values())) if role == "Admin" else (403, {"message": "Forbidden"})
        return 404, {"message": "Not found"}


def main() -> None:
    grafana = Grafana()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = grafana.answer(self.path, grafana.role(self.headers.get("Authorization", "")))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    address = setting("server", "http_addr", ""), int(setting("server", "http_port", "3000"))
    ThreadingHTTPServer(address, Handler).serve_forever()


if __name__ == "__main__":
    main()
