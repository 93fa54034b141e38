# SPDX-License-Identifier: Apache-2.0
"""Rules and budgets: what it costs to judge traces, and what many traces or many rules cost more."""
import shutil
import statistics

from rig import REPS, SCALE, Sink, Subject, measure

PLAIN = {"spans": 300, "connections": 4, "streams": 4}
BUSY = {"spans": 300, "connections": 8, "streams": 8, "trace": 1}
LIVE_RATE = 100000  # spans a second, each a trace of its own

# About a tenth is kept: traces with a server error, and a share of the rest.
TEN = """
    - { name: errors, when: "any(span.error)", keep: 100% }
    - { name: slow, when: "trace.duration > 5s", keep: 100% }
    - { name: health, when: 'root.url.path in ["/healthz", "/ready"]', keep: 0 }
    - { name: debug, when: 'any(span.app.debug == true)', keep: 100% }
    - { name: canary, when: 'any(resource.service.version =~ "-canary$")', keep: 50% }
    - { name: bots, when: 'any(span.user_agent.original contains "bot")', keep: 1% }
    - { name: batch, when: 'all(resource.service.name starts_with "batch-")', keep: 1% }
    - { name: login, when: 'any(span.http.route == "/login" and span.http.request.method == "DELETE")', keep: 20% }
    - { name: large, when: "trace.span_count > 500", keep: 50% }
"""
REST = "    - { name: rest, keep: 2% }\n"


def more(n):
    """Rules that ask what the first ones ask, of other values."""
    return "".join(
        f"    - {{ name: route-{i}, keep: 50%, "
        f"when: 'any(span.http.route == \"/internal/{i}\" and resource.service.name == \"team-{i % 30}\")' }}\n"
        for i in range(n))


def rules(n=10, wait="300ms", extra=""):
    return f"sampling:\n  wait: {wait}\n  root_wait: 100ms\n{extra}  rules:{TEN}{more(n - 10)}{REST}"


def kept_share(subject):
    ledger = subject.relay.status()["ledger"]
    return ledger["judged"]["kept"] / ledger["accepted"]


def by_turns(table, subjects, options):
    """µs of CPU a span of each, in turns; the first round is to warm up."""
    results = {s: [] for s in subjects}
    for rep in range(-1, REPS):
        scale = SCALE if rep >= 0 else 0.2
        for s in subjects if rep % 2 else subjects[::-1]:
            got = measure(s, **{**options, "requests": int(options["requests"] * scale)})["cpu_ns"] / 1000
            if rep >= 0:
                results[s].append(got)
    return [results[s] for s in subjects]


def ratios(a, b):
    return [x / y for x, y in zip(a, b)]


def sampling(folder, table):
    """The whole path with the judge on, beside the path without one."""
    sink = Sink()
    plain = Subject(f"{folder}/unjudged", sink.port, "none")
    ten = Subject(f"{folder}/ten", sink.port, "none", extra=rules())
    many = Subject(f"{folder}/many", sink.port, "none", extra=rules(200))
    every = Subject(f"{folder}/every", sink.port, "none",
                    extra="sampling:\n  wait: 300ms\n  root_wait: 100ms\n  rules:\n    - { name: all, keep: 100% }\n")
    unjudged, judged, judged_many, judged_all = by_turns(table, [plain, ten, many, every], {**PLAIN, "requests": 2500})
    table.row("CPU, keep a tenth by 10 rules, plain in, plain out", "µs/span", judged, 1.6, 1.2)
    table.row("CPU, 200 rules / 10 rules", "", ratios(judged_many, judged), 1.5, 1.2)
    table.row("CPU, one rule that keeps all, plain in, plain out", "µs/span", judged_all)
    table.row("CPU, without judgement", "µs/span", unjudged)
    table.note(f"- of spans kept by the 10 rules: {kept_share(ten) * 100:.1f} %.")
    for s in (plain, ten, many, every):
        s.stop()
        shutil.rmtree(s.relay.folder)
    sink.stop()


def live(folder, table):
    """The same load with a short wait and with one in which a million traces gather."""
    sink = Sink()
    roomy = "  memory: 1GiB\n"
    few = Subject(f"{folder}/few", sink.port, "none", "2GiB", extra=rules(wait="100ms", extra=roomy))
    crowd = Subject(f"{folder}/crowd", sink.port, "none", "4GiB", extra=rules(wait="10s", extra=roomy))
    seconds = 10 * SCALE + 10
    results = {few: [], crowd: []}
    for _ in range(max(2, REPS // 2)):
        for s in (few, crowd):
            got = measure(s, **BUSY, rate=LIVE_RATE, seconds=seconds)
            results[s].append(got["cpu_ns"] / 1000)
    table.row("CPU, 1 M live traces / 20 k, one span each", "", ratios(results[crowd], results[few]), 1.5, 1.2)
    table.note(f"- one span a trace, 20 k live: {statistics.median(results[few]):.2f} µs/span; "
               f"1 M live: {statistics.median(results[crowd]):.2f}.")
    for s in (few, crowd):
        s.stop()
        shutil.rmtree(s.relay.folder)
    sink.stop()
