"""Measure the cost of the load generator beside others: `python -m tools.performance.load_generator`.

Measures the CPU time to start, per scrape and per request, and how many requests/s it sends while the p99 of its
scheduling delay is below 1 ms. wrk, hey (`apt install wrk hey nginx`) and vegeta
(`go install github.com/tsenart/vegeta/v12@latest`) run against the same server where they are installed. wrk and hey
are closed loops without a schedule, so theirs is the rate that they reach. The server is nginx with one worker, or a
minimal one in Python. As root, all of them have real-time priority, so that other load on the machine matters less.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import os
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmark.host_scripts import build_archive

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
BODY = '{"key": "{{key:1000:base64}}", "value": "{{value:128:base64}}"}'
FIXED_BODY = '{"key": "a2V5MTIz", "value": "' + "YWJj" * 43 + '"}'
CONNECTIONS = 16
LARGEST_DELAY_S = 0.001
VEGETA_DELAY_S = 0.002
"""vegeta sleeps until a request is due with timers of 1 ms, so its p99 is never below that."""
NGINX = """\
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr;
events { worker_connections 4096; }
http {
    access_log off; keepalive_requests 100000000; client_body_temp_path body; fastcgi_temp_path fastcgi;
    proxy_temp_path proxy; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    server { listen 127.0.0.1:PORT backlog=1024; location / { return 200 "{}"; } }
}
"""
REAL_TIME = ("chrt", "-f", "1") if os.geteuid() == 0 and shutil.which("chrt") else ()


class Trial(NamedTuple):
    """What one run of a tool did."""

    rate: float
    """Completed requests/s."""
    cpu_s: float
    """CPU time per request."""
    delay_s: float
    """Upper bound of the p99 scheduling delay; NaN if the tool has no schedule."""


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
def running_server() -> Iterator[str]:
    """Run nginx, or else a minimal server, as a separate process; yield its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, tempfile.TemporaryDirectory() as folder:
        port = listener.getsockname()[1]
        if shutil.which("nginx"):
            listener.close()
            Path(folder, "nginx.conf").write_text(NGINX.replace("PORT", str(port)), encoding="utf-8")
            command = [*REAL_TIME, "nginx", "-p", folder, "-c", f"{folder}/nginx.conf"]
            server = subprocess.Popen(command)
        else:
            process = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
            process.start()
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            if shutil.which("nginx"):
                server.kill()
                server.wait()
            else:
                process.kill()
                process.join()


def scrape(port: str) -> dict[str, float]:
    """Return a generator's samples: name with labels to value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name[:1] != "#"}


@contextmanager
def generator(python: str, url: str, rate: float, start: str, processes: int = 1) -> Iterator[str]:
    """Run a generator; yield its metrics port."""
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "rate": rate,
            "requests": {"url": url, "body": BODY},
            "listen": "127.0.0.1:0",
            "start": start,
            "processes": processes,
            "latency_log": f"{folder}/latencies.hlog",
        }
        archive, file = Path(folder, "load_generator.pyz"), Path(folder, "config.json")
        archive.write_bytes(build_archive("load_generator"))
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


def scrape_cpu(python: str, url: str, count: int = 300) -> float:
    """Return the CPU time of one scrape in s, including its connection."""
    with generator(python, url, 0.001, "go") as port:
        first = scrape(port)["process_cpu_seconds_total"]
        for _ in range(count - 1):
            scrape(port)
        return (scrape(port)["process_cpu_seconds_total"] - first) / count


def steady(python: str, url: str, rate: float, seconds: float, processes: int = 1) -> Trial:
    """Send a constant rate with the project's generator."""
    with generator(python, url, rate, "now", processes) as port:
        time.sleep(0.5)
        first = scrape(port)
        time.sleep(seconds)
        last = scrape(port)
    increase = {name: last[name] - first[name] for name in last}
    done = increase['latency_s_count{workload="default"}']
    edges = [(name.split('le="')[1][:-2], n) for name, n in increase.items() if name.startswith("lateness_s_bucket")]
    delay = next(float(edge) for edge, count in edges if count >= 0.99 * increase["lateness_s_count"])
    return Trial(done / increase["benchmark_duration"], increase["process_cpu_seconds_total"] / done, delay)


def run_tool(command: list[str]) -> tuple[str, float]:
    """Run a command; return its output and its CPU time in s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run([*REAL_TIME, *command], capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wrk(url: str, seconds: float, folder: Path) -> Trial:
    """Send requests as fast as possible with one thread of wrk."""
    script = folder / "post.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = '{FIXED_BODY}'\n", encoding="utf-8")
    text, used = run_tool(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{math.ceil(seconds)}s", "-s", str(script), url])
    done = int(re.findall(r"(\d+) requests in", text)[0])
    return Trial(done / math.ceil(seconds), used / done, math.nan)


def hey(url: str, seconds: float, folder: Path) -> Trial:
    """Send requests as fast as possible with one core of hey."""
    body = folder / "body.json"
    body.write_text(FIXED_BODY, encoding="utf-8")
    command = ["hey", "-z", f"{seconds}s", "-c", str(CONNECTIONS), "-cpus", "1", "-m", "POST", "-D", str(body), url]
    text, used = run_tool(command)
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    return Trial(rate, used / (rate * seconds), math.nan)


def vegeta(url: str, rate: float, seconds: float, folder: Path) -> Trial:
    """Send a constant rate with one core of vegeta, whose log has the time at which it sent each request."""
    body, targets, results = folder / "body.json", folder / "targets", folder / "results.bin"
    body.write_text(FIXED_BODY, encoding="utf-8")
    targets.write_text(f"POST {url}\n", encoding="utf-8")
    attack = ["-targets", str(targets), "-body", str(body), "-rate", f"{rate:.0f}/1s", "-duration", f"{seconds}s"]
    _, used = run_tool(["vegeta", "-cpus", "1", "attack", *attack, "-output", str(results)])
    text = subprocess.run(["vegeta", "encode", "-to", "csv", str(results)], capture_output=True, text=True, check=True)
    sent = sorted((int(row[8]), int(row[0]) / 1e9) for row in csv.reader(text.stdout.splitlines()) if row[1] == "200")
    delays = [at - number / rate for number, at in sent]
    delays = sorted(delay - min(delays) for delay in delays)
    return Trial(len(sent) / seconds, used / len(sent), delays[int(0.99 * len(delays))])


def highest_rate(trial: Callable[[float], Trial], first: float, delay_s: float = LARGEST_DELAY_S) -> Trial:
    """Return the trial with the highest rate, to 10 %, at which the p99 scheduling delay is at most `delay_s`."""
    rate, passed, failed, best = first, 0.0, math.inf, Trial(0.0, math.nan, math.nan)
    while failed > 1.1 * passed and rate > 100:
        found = trial(rate)
        if found.delay_s <= delay_s and found.rate >= 0.98 * rate:
            passed, best = rate, found
        else:
            failed = rate
        rate = passed * 1.5 if failed == math.inf else (failed + passed) / 2
    return best


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Measure the cost of the load generator.")
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs the generator")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each measurement")
    parser.add_argument("--rates", type=float, nargs="*", default=[200, 2000, 8000], help="rates of the first part")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4], help="processes of the second part")
    options = parser.parse_args()
    with running_server() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = "nginx" if shutil.which("nginx") else "Python"
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, server {server}")
        print(f"start          {start_cpu(options.python, url) * 1e3:8.1f} ms CPU")
        print(f"scrape         {scrape_cpu(options.python, url) * 1e6:8.0f} µs CPU")
        for rate in options.rates:
            _print(f"{rate:.0f}/s", steady(options.python, url, rate, options.seconds))
        for count in options.processes:
            best = highest_rate(partial(steady, options.python, url, seconds=options.seconds, processes=count), 8000)
            _print(f"{count} process{'es' if count > 1 else ''}", best, LARGEST_DELAY_S)
        if shutil.which("wrk"):
            _print("wrk", wrk(url, options.seconds, folder))
        if shutil.which("hey"):
            _print("hey", hey(url, options.seconds, folder))
        if shutil.which("vegeta"):
            best = highest_rate(lambda rate: vegeta(url, rate, options.seconds, folder), 4000, VEGETA_DELAY_S)
            _print("vegeta", best, VEGETA_DELAY_S)


def _print(name: str, trial: Trial, limit_s: float = 0.0) -> None:
    delay = "closed loop" if math.isnan(trial.delay_s) else f"p99 scheduling delay <= {trial.delay_s * 1e3:.3g} ms"
    limit = f", the highest rate below {limit_s * 1e3:g} ms" if limit_s else ""
    cores = trial.rate * trial.cpu_s
    print(f"{name:14} {trial.cpu_s * 1e6:8.1f} µs CPU/request {trial.rate:9.0f}/s {cores:6.2f} cores  {delay}{limit}")


if __name__ == "__main__":
    main()
