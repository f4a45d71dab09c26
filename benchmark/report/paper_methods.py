"""The methods paragraph: what was done, from manifests and summaries only; what they do not have is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from benchmark.compare.comparison import ALPHA
from benchmark.compare.repeats import why_not_counted
from benchmark.inventory import Host
from benchmark.report import formatting
from benchmark.report.batch_means import BATCHES
from benchmark.report.page import count
from benchmark.report.paper_experiment import Experiment, Measured, confidence, listed, span, window_of
from benchmark.report.paper_markup import Sentence
from benchmark.results.verification import Agreement, Progress, Verification

_LISTED = 6
"""Differences between A and B that are named."""
_PROVIDERS = {"aws": "AWS", "vultr": "Vultr", "machines": "existing machines", "local": "local"}


def methods(experiment: Experiment) -> list[Sentence]:
    """Return the methods paragraph."""
    made = (_system, _hosts, _network, _load, _window, _latencies, _order, _statistics, _faults, _verification, _runs)
    sentences = [sentence for make in made for sentence in make(experiment)]
    missing = [
        name
        for name, fact in (
            ("the version of geobench", experiment.fact(lambda run: run.manifest.versions.get("geobench", ""))),
            ("processors", experiment.fact(_platform("cpu_model"))),
            ("operating systems", experiment.fact(_platform("os"))),
            ("kernels", experiment.fact(_platform("kernel"))),
            ("round-trip times", experiment.fact(_round_trips)),
        )
        if not fact or "not recorded" in fact
    ]
    return [*sentences, *([Sentence(f"Not recorded: {', '.join(missing)}")] if missing else [])]


def _system(experiment: Experiment) -> Iterator[Sentence]:
    tool = experiment.fact(lambda run: run.manifest.versions.get("geobench", ""))
    system = experiment.fact(lambda run: f"{run.summary.protocol} {formatting.version(run.summary.commit)}")
    yield Sentence(f"We measured {system} with geobench{f' {tool}' if tool else ''}")
    if built := experiment.fact(_origin):
        yield Sentence(f"The system came from {built}")
    if len(experiment.sides) > 1:
        yield Sentence(f"We compare {' with '.join(experiment.sides)}")
    if experiment.compared and (found := experiment.compared.differences):
        more = [f"{len(found) - _LISTED} more"] if len(found) > _LISTED else []
        yield Sentence(f"They differ in {'; '.join([*map(str, found[:_LISTED]), *more])}")


def _origin(run: Measured) -> str:
    artifact = run.manifest.artifact
    if artifact is None:
        packages = ", ".join(f"{name} {version}" for name, version in run.manifest.packages.items() if version)
        return f"packages ({packages})" if packages else ""
    if artifact.source == "binaries":
        return f"binaries that we supplied ({formatting.version(artifact.commit)})"
    return f"{artifact.repository}, built at commit {artifact.commit}" if artifact.repository else ""


def _used(run: Measured) -> list[Host]:
    placement = run.manifest.placement
    names = {*placement.nodes, *placement.clients}
    return [host for host in run.manifest.inventory.hosts if host.name in names]


def _hosts(experiment: Experiment) -> Iterator[Sentence]:
    def placed(run: Measured) -> str:
        nodes, clients = set(run.manifest.placement.nodes), set(run.manifest.placement.clients)
        where = "on the same hosts" if clients <= nodes else "partly on the same hosts" if clients & nodes else (
            "on separate hosts")  # fmt: skip
        return f"{count(run.summary.nodes, 'node')} and {count(run.summary.clients, 'client')} ({where})"

    def kinds(run: Measured) -> str:
        found = Counter(_kind(host) for host in _used(run))
        return ", ".join(f"{number} {kind}" for kind, number in found.items())

    def regions(run: Measured) -> str:
        return ", ".join(dict.fromkeys(host.region for host in _used(run)))

    yield Sentence(f"It ran as {experiment.fact(placed)}")
    if hosts := experiment.fact(kinds):
        where = experiment.fact(regions)
        yield Sentence(f"The hosts were {hosts}, in the regions {where}" if where else f"The hosts were {hosts}")
    software = [experiment.fact(_platform(name)) for name in ("cpu_model", "os", "kernel")]
    labels = ("processors", "operating system", "kernel")
    if known := [f"{label} {text}" for label, text in zip(labels, software, strict=True) if text]:
        yield Sentence(f"They had {', '.join(known)}")


def _kind(host: Host) -> str:
    if host.provider == "local":
        kind = f"hosts emulated on one machine ({host.specs})"
    else:
        kind = f"{_PROVIDERS[host.provider]} {host.specs}".strip()
    size = [f"{host.cpus} CPUs"] if host.cpus else []
    size += [f"{host.memory_mb} MiB"] if host.memory_mb else []
    return f"{kind} with {' and '.join(size)}" if size else kind


def _platform(name: Literal["cpu_model", "os", "kernel"]) -> Callable[[Measured], str]:
    def of(run: Measured) -> str:
        facts = [getattr(facts, name) for host, facts in sorted(run.manifest.hosts.items())]
        return " and ".join(dict.fromkeys(text for text in facts if text)) if all(facts) else ""

    return of


def _round_trips(run: Measured) -> str:
    times = [ms for (a, b), ms in run.manifest.round_trips.items() if a != b]
    return _ms(times) if times else ""


def _ms(times: Sequence[float]) -> str:
    return f"{span(sorted(times), '{:.1f}'.format)}\N{NO-BREAK SPACE}ms"


def _network(experiment: Experiment) -> Iterator[Sentence]:
    def kind(run: Measured) -> str:
        inventory = run.manifest.inventory
        providers = {host.provider for host in _used(run)}
        if inventory.round_trips or providers == {"local"}:
            wanted = [trip.rtt_ms for pair, trip in inventory.round_trips.items() if len({*pair.split("/")}) > 1]
            asked = f", with requested round trips of {_ms(wanted)}" if wanted else ""
            jitter = max((trip.jitter_ms for trip in inventory.round_trips.values()), default=0.0)
            asked += f", jitter of up to {jitter:g}\N{NO-BREAK SPACE}ms" if jitter else ""
            impaired = dict.fromkeys(trip.impairments for trip in inventory.round_trips.values() if trip.impairments)
            return f"emulated{asked}{f' and {listed([*impaired])}' if impaired else ''}"
        names = sorted({_PROVIDERS[provider] for provider in providers})
        return f"that of {' and '.join(names)}" if names else ""

    if network := experiment.fact(kind):
        yield Sentence(f"The network between regions was {network}")
    if times := experiment.fact(_round_trips):
        yield Sentence(f"Round-trip times between regions, measured before each run, were {times}")


def _load(experiment: Experiment) -> Iterator[Sentence]:
    loads = sorted({run.summary.requested_tps for run in experiment.runs})
    loop = experiment.fact(lambda run: "closed-loop" if run.summary.closed_loop else "open-loop")
    shape = experiment.fact(lambda run: run.manifest.parameters.load_shape)
    every = listed([f"{load:g}" for load in loads])
    yield Sentence(
        f"We requested {every} transactions per second ({loop}; load over time: {shape})", ("schroeder2006",)
    )
    if any(run.summary.closed_loop for run in experiment.runs):
        yield Sentence(
            "A closed-loop generator waits for responses before it sends more, so latencies hide waiting time"
        )
    own = all(
        run.summary.source("latency_s") == "latency_log" and not run.summary.closed_loop for run in experiment.runs
    )
    if own:
        yield Sentence("Latency counts from the moment a request was due, whether or not it could be sent then")
    for label, of in (
        ("node", lambda run: _given(run.manifest.parameters.node_parameters)),
        ("client", lambda run: _given(run.manifest.parameters.client_parameters)),
    ):
        if text := experiment.fact(of):
            yield Sentence(f"Parameters of each {label}: {text}")


def _given(parameters: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items() if value is not None)


def _window(experiment: Experiment) -> Iterator[Sentence]:
    warm_up = experiment.range(
        lambda run: run.summary.warm_up.seconds if run.summary.warm_up else run.manifest.parameters.warm_up_s, "s"
    )
    detected = [run.summary.warm_up for run in experiment.runs if run.summary.warm_up]
    found = [each for each in detected if each.method.startswith("MSER")]
    by = " as detected by MSER" if len(found) == len(experiment.runs) else ""
    phases = experiment.fact(lambda run: ", ".join(phase.label for phase in run.summary.phases))
    parts = f", in phases: {phases}" if phases else ""
    yield Sentence(
        f"After a warm-up of {warm_up}{by}, we used a {window_of(experiment)}{parts}",
        ("white1997", "hoad2010") if by else (),
    )
    if unsteady := sum(not each.converged for each in found):
        yield Sentence(f"In {unsteady} of {count(len(experiment.runs), 'run')} no steady state was detected")


def _latencies(experiment: Experiment) -> Iterator[Sentence]:
    if not any(run.summary.latency_s for run in experiment.runs):
        yield Sentence("Latency was not measured")
        return
    sources = {run.summary.source("latency_s") for run in experiment.runs}
    if "latency_log" in sources:
        yield Sentence("Quantiles are from HdrHistograms with three significant digits", ("hdrhistogram",))
    if sources - {"latency_log"}:
        every = experiment.range(lambda run: run.manifest.parameters.scrape_interval_s, "s")
        some = " in the other runs" if "latency_log" in sources else ""
        yield Sentence(f"Quantiles{some} are interpolated within the buckets of histograms sampled every {every}")
    failures = [run.summary.failed for run in experiment.runs]
    known = [number for number in failures if number is not None]
    if len(known) < len(failures):
        yield Sentence("Failed requests are not known, so latencies are those of successful requests in these runs")
    if known:
        failed = f"{count(sum(known), 'request')} failed and count as their timeout"
        yield Sentence(failed if sum(known) else "No request failed")


def _order(experiment: Experiment) -> Iterator[Sentence]:
    if experiment.order:
        yield experiment.order


def _statistics(experiment: Experiment) -> Iterator[Sentence]:
    if experiment.curves is None:
        if experiment.precision.completed_tps is not None or experiment.precision.mean_s is not None:
            yield Sentence(
                f"Intervals of throughput and mean latency, by {BATCHES} batch means, have 95\N{NO-BREAK SPACE}% "
                "confidence within the run; they do not state how runs differ",
                ("schmeiser1982",),
            )
        yield Sentence("The run was not repeated as part of this result")
        return
    if interval := confidence(experiment.curves):
        yield Sentence(
            f"We report medians over the repeats of each load with {interval}: exact percentile bootstrap, its bounds "
            "moved out to values of binomial coverage", ("efron1993", "maritz1978", "conover1999"),
        )  # fmt: skip
    else:
        yield Sentence("No load was repeated, so there are no confidence intervals between runs")
    if experiment.compared and experiment.compared.metrics:
        yield Sentence(
            "Differences are Hodges-Lehmann estimates with intervals from inverting the exact rank-sum test, "
            "stratified by load, at 95\N{NO-BREAK SPACE}% confidence or what the repeats reach",
            ("lehmann1975", "mann1947", "vanelteren1960"),
        )
        yield Sentence(
            f"They are significant at {ALPHA * 100:g}\N{NO-BREAK SPACE}% after correction for multiple tests",
            ("holm1979",),
        )


def _faults(experiment: Experiment) -> Iterator[Sentence]:
    injected = experiment.fact(lambda run: "; ".join(map(str, run.manifest.faults)))
    if not injected:
        return
    yield Sentence(f"We injected faults (times since the window began): {injected}")
    faults = [fault for run in experiment.runs for fault in run.manifest.faults]
    proved = sum(fault.in_force is not None for fault in faults)
    healed = sum(fault.healed is not None for fault in faults)
    yield Sentence(f"Verified to be in force: {proved} of {count(len(faults), 'fault')}; to be healed: {healed}")


def _verification(experiment: Experiment) -> Iterator[Sentence]:
    summaries = [run.summary for run in experiment.runs]
    checks: tuple[tuple[str, list[Verification | None] | list[Agreement | None] | list[Progress | None], str], ...] = (
        ("Linearizability of a probe workload", [each.verification for each in summaries], "herlihy1990"),
        ("Agreement of the nodes after the load", [each.agreement for each in summaries], ""),
        ("Progress while faults were tolerated", [each.progress for each in summaries], ""),
    )
    for what, results, cited in checks:
        verdicts = Counter(found.verdict if found else "not checked" for found in results)
        if set(verdicts) != {"not checked"}:
            outcome = ", ".join(f"{verdict} in {count(number, 'run')}" for verdict, number in verdicts.items())
            yield Sentence(f"{what}: {outcome}", (cited,) if cited else ())


def _runs(experiment: Experiment) -> Iterator[Sentence]:
    if saturated := sum(run.summary.saturated for run in experiment.runs):
        yield Sentence(
            f"In {saturated} of {count(len(experiment.runs), 'run')} the system completed less than was scheduled"
        )
    if experiment.left_out:
        why = "; ".join(f"{run.requested_tps:g} tx/s {why_not_counted(run)[:140]}" for run in experiment.left_out)
        yield Sentence(f"{count(len(experiment.left_out), 'run')} did not count: {why}")
