"""Measure the cost of the load generator: `python -m tools.performance.load_generator`.

Measures the CPU time to start, per request and per scrape, and the scheduling delay, with a trivial server. If they are
installed, wrk (C) and aiohttp's client (Python), both closed-loop, run against the same server for comparison. Goals on
an idle machine: 80 ms to start, 125 µs per request, 0.3 ms per scrape, and a p99 scheduling delay below 1 ms at
200 requests/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.host_scripts import build_load_generator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
BODY = '{"key": "{{key:1000:base64}}", "value": "{{value:128:base64}}"}'
CONNECTIONS = 16


def serve(listener: socket.socket) -> None:
    """Answer every packet that ends a request, until killed."""
    poll, open_sockets = select.epoll(), {}
    poll.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                accepted = listener.accept()[0]
                open_sockets[accepted.fileno()] = accepted
                poll.register(accepted, select.EPOLLIN)
            elif data := _received(open_sockets[fd]):
                if data.endswith((b"}", b"\r\n\r\n")):
                    open_sockets[fd].send(ANSWER)
            else:
                open_sockets.pop(fd).close()


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


@contextmanager
def trivial_server() -> Iterator[str]:
    """Run the server in a separate process; yield its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        process = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
        process.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            process.kill()
            process.join()


def scrape(port: str) -> dict[str, float]:
    """Return a generator's samples: name with labels to value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name[:1] != "#"}


@contextmanager
def generator(python: str, url: str, rate: float, start: str) -> Iterator[str]:
    """Run a generator; yield its metrics port."""
    config: dict[str, object] = {
        "rate": rate,
        "requests": {"url": url, "body": BODY},
        "listen": "127.0.0.1:0",
        "start": start,
    }
    with tempfile.TemporaryDirectory() as folder:
        archive, file = Path(folder, "load_generator.pyz"), Path(folder, "config.json")
        archive.write_bytes(build_load_generator())
        file.write_text(json.dumps(config), encoding="utf-8")
        command = [python, "-I", "-S", str(archive), "--config", str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().split()[-1]
            finally:
                process.terminate()


def start_cpu(python: str, url: str) -> float:
    """Return the median CPU time in s from launch until the metrics answer."""
    used = []
    for _ in range(9):
        with generator(python, url, 1, "go") as port:
            used.append(scrape(port)["process_cpu_seconds_total"])
    return statistics.median(used)


def steady(python: str, url: str, rate: float, seconds: float) -> tuple[float, float, float]:
    """Return completed requests/s, CPU s per request, and the upper bound of the p99 scheduling delay in s."""
    with generator(python, url, rate, "now") as port:
        time.sleep(0.5)
        first = scrape(port)
        time.sleep(seconds)
        last = scrape(port)
    increase = {name: last[name] - first[name] for name in last}
    done = increase['latency_s_count{workload="default"}']
    edges = [(name.split('le="')[1][:-2], n) for name, n in increase.items() if name.startswith("lateness_s_bucket")]
    delay = next(float(edge) for edge, count in edges if count >= 0.99 * increase["lateness_s_count"])
    return done / increase["benchmark_duration"], increase["process_cpu_seconds_total"] / done, delay


def scrape_cpu(python: str, url: str, count: int = 300) -> float:
    """Return the CPU time of one scrape in s, including its connection."""
    with generator(python, url, 0.001, "go") as port:
        first = scrape(port)["process_cpu_seconds_total"]
        for _ in range(count - 1):
            scrape(port)
        return (scrape(port)["process_cpu_seconds_total"] - first) / count


def wrk(url: str, seconds: float) -> tuple[float, float]:
    """Return requests/s and CPU s per request of wrk with one thread."""
    before = os.times()
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    done = int(re.findall(r"(\d+) requests in", text)[0])
    return done / round(seconds), used / done


async def aiohttp_client(url: str, seconds: float) -> tuple[float, float]:
    """Return requests/s and CPU s per request of aiohttp's client."""
    from aiohttp import ClientSession

    done, end, began = 0, time.monotonic() + seconds, time.process_time()
    body = BODY.encode()

    async def worker(session: ClientSession) -> None:
        nonlocal done
        while time.monotonic() < end:
            async with session.post(url, data=body) as answer:
                await answer.read()
            done += 1

    async with ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
    return done / seconds, (time.process_time() - began) / done


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Measure the cost of the load generator.")
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs the generator")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each measurement")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[200, 2000, 8000, 40000], help="requested rates, requests/s"
    )
    options = parser.parse_args()
    with trivial_server() as url:
        print(f"start          {start_cpu(options.python, url) * 1e3:8.1f} ms CPU")
        print(f"scrape         {scrape_cpu(options.python, url) * 1e6:8.0f} µs CPU")
        for rate in options.rates:
            done, used, delay = steady(options.python, url, rate, options.seconds)
            print(
                f"{rate:7.0f}/s      {used * 1e6:8.1f} µs CPU/request {done:9.0f}/s, "
                f"p99 scheduling delay <= {delay * 1e3:g} ms"
            )
        if shutil.which("wrk"):
            done, used = wrk(url, options.seconds)
            print(f"wrk            {used * 1e6:8.1f} µs CPU/request {done:9.0f}/s, closed loop")
        try:
            done, used = asyncio.run(aiohttp_client(url, options.seconds))
            print(f"aiohttp client {used * 1e6:8.1f} µs CPU/request {done:9.0f}/s, closed loop")
        except ImportError:
            print("aiohttp client is not installed")


if __name__ == "__main__":
    main()
