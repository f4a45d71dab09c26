"""Grafana's repository of Debian packages: apt.grafana.com with a signature, over HTTPS, and a stand-in of its package.

Its layout is that of https://wiki.debian.org/DebianRepository/Format, as Grafana's own: `gpg-full.key` holds the key
that signs and one that did so once, `gpg.key` the former alone.
"""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import threading
from email.utils import formatdate
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from paths import FAKES

HOST = "apt.grafana.com"
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_PACKAGE = FAKES / "standin" / "grafana"
_ARCHITECTURE = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout[:-1]
_INSTALLED = {
    "server.py": ("usr/sbin/grafana-server", 0o755),
    "grafana-server.service": ("usr/lib/systemd/system/grafana-server.service", 0o644),
    "grafana-server.default": ("etc/default/grafana-server", 0o644),
    "postinst": ("DEBIAN/postinst", 0o755),
}
_CONTROL = f"""\
Package: grafana
Version: {{version}}
Architecture: {_ARCHITECTURE}
Maintainer: the tests <tests@example.com>
Depends: adduser, python3-yaml
Description: stand-in of Grafana
"""


class SigningKey:
    """An OpenPGP key in a separate keyring, `folder`; of the same type as Grafana's."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700)
        self._gpg = ["gpg", f"--homedir={folder}", "--batch", "--quiet", "--passphrase="]
        self._run("--quick-generate-key", f"{name} <{name}@example.com>", "rsa3072", "sign", "never")
        self.public = self._run("--armor", "--export")
        listed = [line.split(":") for line in self._run("--list-keys", "--with-colons").splitlines()]
        self.fingerprint = next(fields[9] for fields in listed if fields[0] == "fpr")
        self._folder = folder

    def sign(self, text: str) -> str:
        """Return the text with its signature around it."""
        return self._run("--clearsign", text=text)

    def close(self) -> None:
        """Stop the agent that gpg has started."""
        subprocess.run(["gpgconf", f"--homedir={self._folder}", "--kill", "all"], check=True)

    def _run(self, *arguments: str, text: str = "") -> str:
        command = [*self._gpg, *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


class GrafanaRepository:
    """Serves itself at `address` until closed; machines whose image has `files` resolve it and trust its certificate.

    `key` signs, `retired` is published with it. `requests` are the requested (client address, path).
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.requests: list[tuple[str, str]] = []
        self.key, self.retired = SigningKey(folder / "key", "current"), SigningKey(folder / "retired", "retired")
        self._address, self._folder, self._root = address, folder, folder / "root"
        authority = _certificate(folder)
        bundle = TRUSTED.read_text(encoding="utf-8") + authority
        hosts = f"127.0.0.1 localhost\n{address} {HOST}\n"
        # apt also queries name servers for HOST; without any, the query fails immediately.
        self.files = {"/etc/hosts": hosts, "/etc/resolv.conf": "", str(TRUSTED): bundle}
        self.publish(self.key)
        self._server = ThreadingHTTPServer((address, 443), partial(_Handler, self.requests, directory=str(self._root)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        # Each connection does its own handshake: one that hangs does not block others.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self, signer: SigningKey | None) -> None:
        """Publish the package again, signed by `signer`, or without any signature."""
        shutil.rmtree(self._root, ignore_errors=True)
        _write(self._root / "gpg.key", self.key.public)
        _write(self._root / "gpg-full.key", self.retired.public + self.key.public)
        deb = self._package()
        entry = f"{_CONTROL.format(version='13.0.0')}Filename: {deb.relative_to(self._root)}\n"
        entry += f"Size: {deb.stat().st_size}\nSHA256: {_sha256(deb)}\n"
        index = f"main/binary-{_ARCHITECTURE}/Packages"
        stable = self._root / "dists/stable"
        _write(stable / index, entry)
        release = f"Origin: tests\nSuite: stable\nCodename: stable\nArchitectures: {_ARCHITECTURE}\nComponents: main\n"
        release += f"Date: {formatdate(usegmt=True)}\nSHA256:\n {_sha256(stable / index)} {len(entry)} {index}\n"
        _write(stable / "Release", release)
        if signer:
            _write(stable / "InRelease", signer.sign(release))

    def alter_package(self) -> None:
        """Change a byte of the package, whose hash is signed."""
        deb = self._deb
        content = bytearray(deb.read_bytes())
        content[-1] ^= 1
        deb.write_bytes(content)

    def asked(self, address: str) -> set[str]:
        """Return the paths that this client has requested."""
        return {path for client, path in self.requests if client == address}

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        for key in (self.key, self.retired):
            key.close()

    @property
    def _deb(self) -> Path:
        return self._root / f"pool/main/g/grafana/grafana_13.0.0_{_ARCHITECTURE}.deb"

    def _package(self) -> Path:
        tree = self._folder / "package"
        for source, (target, mode) in _INSTALLED.items():
            text = (_PACKAGE / source).read_text(encoding="utf-8")
            _write(tree / target, f"#!/usr/bin/python3\n{text}" if source.endswith(".py") else text, mode)
        _write(tree / "DEBIAN/control", _CONTROL.format(version="13.0.0"))
        _write(tree / "DEBIAN/conffiles", "/etc/default/grafana-server\n")
        (tree / "usr/share/grafana").mkdir(parents=True, exist_ok=True)
        self._deb.parent.mkdir(parents=True)
        command = ["dpkg-deb", "-Zgzip", "--root-owner-group", "--build", str(tree), str(self._deb)]
        subprocess.run(command, capture_output=True, check=True)
        return self._deb


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, requests: list[tuple[str, str]], *arguments: object, directory: str) -> None:
        self._requests = requests
        super().__init__(*arguments, directory=directory)

    def log_message(self, format: str, *args: object) -> None:
        """Record the request."""
        self._requests.append((self.client_address[0], self.path))


def _certificate(folder: Path) -> str:
    """Write the server's key and certificate to server.pem; return the certificate of its issuer."""
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-batch"]
    authority = ["-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority of the tests"]
    server = ["-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.crt"]
    server += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    server += ["-addext", "basicConstraints=critical,CA:FALSE"]
    for arguments in (authority, server):
        command = ["openssl", "req", "-x509", *kind, *arguments]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
    pair = (folder / "server.key").read_text(encoding="ascii") + (folder / "server.crt").read_text(encoding="ascii")
    _write(folder / "server.pem", pair, 0o600)
    return (folder / "ca.crt").read_text(encoding="ascii")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
