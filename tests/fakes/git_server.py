"""A git server over HTTP that requires a token; runs on a host of a testbed and needs only Python and git.

usage: git_server.py FOLDER PORT SHA256_OF_TOKEN RECORD. It serves the bare repositories in FOLDER. While it handles
an authorized request, it appends the arguments and the environment of every process on this host to the file RECORD:
what any user there could have seen.
"""

import base64
import hashlib
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER, PORT, TOKEN, RECORD = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])


class Handler(BaseHTTPRequestHandler):
    """Git's own CGI program behind a check of the password."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _allowed(self) -> bool:
        kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
        password = base64.b64decode(encoded).partition(b":")[2] if kind == "Basic" else b""
        return hashlib.sha256(password).hexdigest() == TOKEN

    def _serve(self, body: bytes) -> None:
        if not self._allowed():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        record()
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": FOLDER,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + head + b"\r\n\r\n" + content)


def record() -> None:
    """Record the arguments and environment of every process on this host."""
    with RECORD.open("ab") as file:
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    file.write(process.joinpath(name).read_bytes() + b"\n")
                except OSError:  # the process has ended, or is a kernel thread
                    continue


server = ThreadingHTTPServer(("0.0.0.0", PORT), Handler)
print("ready", flush=True)
server.serve_forever()
