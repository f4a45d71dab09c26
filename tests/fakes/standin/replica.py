#!/usr/bin/env python3
"""A stand-in for Mysticeti's replica: the same command line, files, ports and metrics, over UDP.

Each replica sends its load to all, as a batch every 100 ms, and counts the transactions received from any replica.
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

import yaml

BOUNDS = (0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2, 3, 5, 10)


def authority(index: int) -> str:
    return ("" if index < 26 else chr(64 + index // 26)) + chr(65 + index % 26)


def genesis(addresses: list[str], folder: Path, parameters: Path) -> None:
    if len(addresses) < 3:
        sys.exit("error: 3 values required for '--ips <ADDR>'")
    folder.mkdir(parents=True, exist_ok=True)
    replicas = [
        {"network_address": f"{address}:{1500 + i}", "metrics_address": f"{address}:{1500 + len(addresses) + i}"}
        for i, address in enumerate(addresses)
    ]
    public = {"parameters": yaml.safe_load(parameters.read_text()), "identifiers": replicas}
    (folder / "public-replica-config.yaml").write_text(yaml.safe_dump(public))
    for i in range(len(addresses)):
        (folder / f"private-replica-config-{authority(i)}.yaml").write_text(yaml.safe_dump({"authority": i}))


class Replica(asyncio.DatagramProtocol):
    def __init__(self, index: int, public: Path, private: Path, load: Path | None) -> None:
        if yaml.safe_load(private.read_text())["authority"] != index:
            sys.exit("error: the key of another replica")
        replicas = yaml.safe_load(public.read_text())["identifiers"]
        self.peers = [(host, int(port)) for host, port in (r["network_address"].split(":") for r in replicas)]
        self.port = self.peers[index][1]
        self.metrics_port = int(replicas[index]["metrics_address"].split(":")[1])
        self.load = yaml.safe_load(load.read_text()) if load else None
        self.authority = authority(index)
        self.leaders: Counter[str] = Counter()
        self.buckets, self.count, self.sum, self.squares = [0] * len(BOUNDS), 0, 0.0, 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("0.0.0.0", self.port))
        await asyncio.start_server(self.serve, "0.0.0.0", self.metrics_port)
        if self.load is None or self.load["initial_delay"] != "0s":
            await asyncio.Event().wait()
            return
        batch, due = -(-int(self.load["load"]) // 10), time.monotonic()
        while True:
            for peer in self.peers:
                transport.sendto(f"{time.time()!r} {batch} {self.authority}".encode(), peer)
            due += 0.1
            await asyncio.sleep(due - time.monotonic())

    def datagram_received(self, data: bytes, sender: object) -> None:
        sent, batch, leader = data.decode().split()
        self.leaders[leader] += 1
        latency, count = time.time() - float(sent), int(batch)
        self.buckets = [n + count * (latency <= bound) for n, bound in zip(self.buckets, BOUNDS, strict=True)]
        self.count, self.sum, self.squares = (
            self.count + count, self.sum + count * latency, self.squares + count * latency**2,
        )  # fmt: skip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        bounds = [*map(str, BOUNDS), "+Inf"]
        pairs = list(zip(bounds, [*self.buckets, self.count], strict=True))
        lines = [f"latency_squared_s {self.squares}"]
        for name in ("latency_s", "inter_block_latency_s"):
            lines += [f'{name}_bucket{{le="{bound}"}} {count}' for bound, count in pairs]
            lines += [f"{name}_sum {self.sum}", f"{name}_count {self.count}"]
        for leader, count in self.leaders.items():
            lines.append(f'committed_leaders_total{{authority="{leader}",commit_type="direct-commit"}} {count}')
        lines.append("")
        body = "\n".join(lines).encode()
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n" + body)
        await writer.drain()
        writer.close()


def main() -> None:
    parser = ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    make, run = commands.add_parser("test-genesis"), commands.add_parser("run")
    make.add_argument("--ips", nargs="+", required=True)
    make.add_argument("--working-directory", type=Path, required=True)
    make.add_argument("--replica-parameters-path", type=Path, required=True)
    run.add_argument("--authority", type=int, required=True)
    run.add_argument("--public-config-path", type=Path, required=True)
    run.add_argument("--private-config-path", type=Path, required=True)
    run.add_argument("--load-generator-config-path", type=Path)
    given = parser.parse_args()
    if given.command == "test-genesis":
        genesis(given.ips, given.working_directory, given.replica_parameters_path)
    else:
        paths = given.public_config_path, given.private_config_path, given.load_generator_config_path
        asyncio.run(Replica(given.authority, *paths).run())


if __name__ == "__main__":
    main()
