# SPDX-License-Identifier: Apache-2.0
"""Whole traces are judged by rules: what is kept arrives whole and says how many it stands for, what is dropped
is counted, and a crash changes neither."""
import json
import os
import re
import subprocess
import time
import zlib

import pytest

import otlp
import peers
from relay import BINARY, check_ledger

RULES = """
sampling:
  wait: {wait}
  root_wait: {root_wait}
  rules:
    - {{ name: errors, when: "any(span.error)", keep: 100% }}
    - {{ name: health, when: 'root.url.path == "/healthz"', keep: 0 }}
    - {{ name: rest, keep: {rest} }}
"""
QUARTER = 0xC0000000000000  # the threshold of 25 %


def rules(wait="1s", root_wait="300ms", rest="25%", more=""):
    return RULES.format(wait=wait, root_wait=root_wait, rest=rest) + more


class Trace:
    """A root and its children, each with ids of its own."""

    def __init__(self, error=False, path="/", children=2, randomness=None):
        self.id = os.urandom(9) + (randomness.to_bytes(7, "big") if randomness is not None else os.urandom(7))
        self.root_id = os.urandom(8)
        self.root = otlp.span(
            trace_id=self.id, span_id=self.root_id, extra=otlp.attribute(9, "url.path", path) + bytes(self._status(error))
        )
        self.children = [self.child() for _ in range(children)]
        self.error = error
        self.path = path

    @staticmethod
    def _status(error):
        return otlp.field(15, otlp.field(3, 2)) if error else b""

    def child(self, error=False):
        return otlp.span(trace_id=self.id, extra=otlp.field(4, self.root_id) + self._status(error))

    def spans(self):
        return [self.root, *self.children]

    def randomness(self):
        return int.from_bytes(self.id[9:], "big")

    def stays(self):
        """By the rules above."""
        return self.error or (self.path != "/healthz" and self.randomness() >= QUARTER)


def send(relay, spans):
    """In requests of 50, over both protocols in turn."""
    for i in range(0, len(spans), 50):
        body = otlp.request(*spans[i : i + 50])
        if send.turn:
            assert peers.post(relay.http, body)[0] == 200
        else:
            assert peers.export(relay.grpc, body)[0] == 0
        send.turn ^= 1


send.turn = 0


def arrived(backend):
    """{trace id: [span]} of all that the backend got."""
    traces = {}
    for _, _, span in backend.spans():
        traces.setdefault(dict(otlp.fields(span))[1], []).append(span)
    return traces


def bare(span):
    """A span without its tracestate."""
    return [(n, v) for n, v in otlp.fields(span) if n != 3]


def state_of(span):
    return dict(otlp.fields(span)).get(3, b"").decode()


def settled(relay, seconds=10):
    """Nothing is undecided and nothing is on its way."""
    relay.wait_until(
        lambda: relay.status()["ledger"]["pending"] == 0 and relay.exporter()["buffered"] == 0, seconds=seconds
    )
    status = relay.status()
    check_ledger(status)
    return status["ledger"]


def check(relay, backend, traces, late=0, killed=False):
    """Each trace went one way, whole, once, or after a kill at least once; gives the ledger."""
    ledger = settled(relay)
    got = arrived(backend)
    kept = {t.id for t in traces if t.stays()}
    assert set(got) == kept
    for t in traces:
        if t.id in kept:
            spans = [str(bare(s)) for s in got[t.id]]
            assert sorted(set(spans) if killed else spans) == sorted(str(bare(s)) for s in t.spans())
            wanted = "" if t.error else "ot=th:c"
            assert {state_of(s) for s in got[t.id]} == {wanted}
    assert ledger["judged"]["kept"] == sum(len(t.spans()) for t in traces if t.stays())
    assert ledger["judged"]["rule"] == sum(len(t.spans()) for t in traces if not t.stays()) - late
    return ledger


def some_traces(n=300):
    return [Trace(error=i % 20 == 0, path="/healthz" if i % 7 == 0 else "/") for i in range(n)]


def test_traces_are_kept_whole_by_rule_and_say_what_they_stand_for(start, backend):
    relay = start(extra=rules())
    traces = some_traces()
    send(relay, [t.root for t in traces])
    send(relay, [c for t in traces for c in t.children])
    ledger = check(relay, backend, traces)
    assert ledger["judged"]["late"] == ledger["judged"]["damaged"] == 0
    assert 0.1 < len(arrived(backend)) / len(traces) < 0.5


def test_late_spans_follow_the_decision(start, backend):
    relay = start(extra=rules(wait="200ms", root_wait="100ms"))
    traces = some_traces(100)
    send(relay, [t.root for t in traces])
    settled(relay)
    for t in traces:
        t.children = [t.child(error=not t.stays())]  # an error that comes too late changes nothing
    send(relay, [c for t in traces for c in t.children])
    late = sum(not t.stays() for t in traces)
    ledger = check(relay, backend, traces, late=late)
    assert ledger["judged"]["late"] == late


def test_a_span_that_is_sent_twice_counts_once(start, backend):
    relay = start(extra=rules())
    traces = [Trace() for _ in range(60)]  # of those that are not decided yet
    spans = [s for t in traces for s in t.spans()]
    send(relay, spans)
    send(relay, spans[:90])
    assert check(relay, backend, traces)["judged"]["duplicate"] == 90


def test_traces_wait_for_their_root_no_longer_than_wait(start, backend):
    relay = start(extra=rules(wait="600ms", root_wait="100ms"))
    orphan = Trace(randomness=QUARTER)
    begun = time.monotonic()
    send(relay, orphan.children)
    backend_has = lambda: orphan.id in arrived(backend)  # noqa: E731
    relay.wait_until(backend_has, seconds=5)
    assert time.monotonic() - begun > 0.55
    settled(relay)


def test_undecided_traces_survive_a_kill(start, backend):
    relay = start(extra=rules(wait="2s", root_wait="2s"))
    traces = [Trace() for _ in range(200)]
    begun = time.monotonic()
    send(relay, [t.root for t in traces])
    relay.kill()
    again = start(extra=rules(wait="2s", root_wait="2s"), name="again")
    assert arrived(backend) == {}
    send(again, [c for t in traces for c in t.children])
    check(again, backend, traces, killed=True)
    assert time.monotonic() - begun < 15


def test_decisions_survive_a_kill(start, backend):
    fast = rules(wait="200ms", root_wait="100ms")
    relay = start(extra=fast)
    traces = some_traces(100)
    send(relay, [t.root for t in traces])
    settled(relay)
    relay.kill()
    again = start(extra=fast, name="again")
    for t in traces:
        t.children = [t.child(error=True)]
    send(again, [c for t in traces for c in t.children])
    late = sum(not t.stays() for t in traces)
    assert check(again, backend, traces, late=late, killed=True)["judged"]["late"] == late


def test_a_stop_decides_nothing(start, backend):
    relay = start(extra=rules(wait="60s", root_wait="60s"))
    traces = [Trace() for _ in range(50)]  # what becomes of errors is certain at once
    send(relay, [s for t in traces for s in t.spans()])
    begun = time.monotonic()
    assert relay.stop() == 0 and time.monotonic() - begun < 10
    assert arrived(backend) == {}
    again = start(extra=rules(wait="60s", root_wait="60s"), name="again")
    assert again.status()["ledger"]["pending"] == 150
    assert again.stop() == 0
    check(start(extra=rules(wait="300ms", root_wait="300ms"), name="third"), backend, traces)


def test_without_rules_what_an_earlier_configuration_held_is_kept(start, backend):
    relay = start(extra=rules(wait="60s", root_wait="60s"))
    traces = [Trace() for _ in range(50)]
    send(relay, [s for t in traces for s in t.spans()])
    assert relay.stop() == 0
    again = start(extra="sampling: { wait: 1s, root_wait: 100ms }", name="again")
    more = some_traces(20)
    send(again, [s for t in more for s in t.spans()])
    ledger = settled(again, seconds=20)
    assert ledger["judged"]["kept"] == ledger["accepted"] == 210
    got = arrived(backend)
    assert {i: len(s) for i, s in got.items()} == {t.id: 3 for t in traces + more}


@pytest.mark.parametrize("limit", ["trace_spans: 10"])
def test_a_trace_at_its_limit_is_decided(start, backend, limit):
    extra = rules(wait="60s", root_wait="60s").replace("sampling:", f"sampling:\n  {limit}", 1)
    relay = start(extra=extra)
    large = Trace(error=True, children=10)
    send(relay, large.spans())
    relay.wait_until(lambda: len(arrived(backend).get(large.id, [])) == 11, seconds=5)


def test_a_budget_holds_and_errors_are_protected(start, backend):
    more = "budgets:\n  - { name: total, spans_per_second: 100, reserve: 40%, burst: 1s }\n"
    extra = rules(wait="300ms", root_wait="100ms", rest="100%", more=more).replace(
        "keep: 100% }\n    - { name: health", "keep: 100%, protected: true }\n    - { name: health"
    )
    relay = start(extra=extra.replace("sampling:", "sampling:\n  trace_spans: 20", 1))
    sent = errors = 0
    begun = time.monotonic()
    while time.monotonic() - begun < 8:
        traces = [Trace(error=i == 0) for i in range(20)]
        send(relay, [s for t in traces for s in t.spans()])
        sent += 60
        errors += 1
        time.sleep(0.1)
    ledger = settled(relay, seconds=15)
    took = time.monotonic() - begun
    kept = ledger["judged"]["kept"]
    assert kept < 100 * (took + 2) * 1.05 and kept > 100 * 8 * 0.5, (kept, took)
    # One trace of twenty comes in two requests: on a slow machine its last span is late, and follows.
    assert ledger["judged"]["budget"] + ledger["judged"]["late"] == ledger["accepted"] - kept
    assert ledger["judged"]["late"] <= sent / 60
    got = arrived(backend)
    whole = sum(any(dict(otlp.fields(s)).get(15) for s in spans) for spans in got.values())
    assert whole > 0.9 * errors, (whole, errors)
    assert all(len(spans) == 3 for spans in got.values())


def test_a_wrong_rule_is_refused_at_its_place(start):
    extra = rules().replace("any(span.error)", "any(span.errr == )")
    relay = start(extra=extra, wait=False)
    assert relay.process.wait(10) == 78
    assert ".yaml:" in relay.text() and "sampling.rules" in relay.text()


def explain(relay, trace, *args):
    command = [BINARY, "explain", trace.id.hex(), "--admin", f"127.0.0.1:{relay.admin}", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    return done.returncode, done.stdout + done.stderr


def ids_of(*spans):
    return [dict(otlp.fields(s))[2].hex() for s in spans]


def page_of(relay, trace):
    return json.loads(explain(relay, trace, "--json")[1])


def test_explain_says_why(start, backend):
    more = "budgets:\n  - { name: total, spans_per_second: 1000 }\n"
    relay = start(extra=rules(wait="20s", root_wait="300ms", more=more))
    kept, dropped = Trace(randomness=QUARTER), Trace(randomness=QUARTER - 1)
    orphan, never = Trace(randomness=0), Trace()
    send(relay, kept.spans() + dropped.spans() + orphan.children)
    relay.wait_until(lambda: relay.status()["sampling"]["traces"] == 1, seconds=5)
    code, said = explain(relay, kept)
    assert code == 0 and re.search(r"verdict +kept\nrule +rest\n", said), said
    assert re.search(r"because of +root, after 0\.[3-5] s\nhad +3 spans, 0 errors", said), said
    assert re.search(r"probability +0\.25: randomness c0000000000000, threshold c0000000000000", said), said
    assert re.search(r"budgets +total: .* spans/s offered now, goal 1000\.0", said), said
    assert page_of(relay, dropped)["verdict"] == "rule"
    code, said = explain(relay, orphan)
    assert code == 0 and re.search(r"would be +rule\n", said) and "no root" in said and "due" in said, said
    assert explain(relay, never) == (66, "spanrelay explain: the relay does not know this trace: it never came, or is forgotten\n")
    assert explain(relay, Wrong.__new__(Wrong))[0] == 64
    relay.kill()
    relay = start(extra=rules(wait="20s", root_wait="300ms", more=more), name="again")
    assert page_of(relay, dropped)["randomness"] == "bfffffffffffff"


def ids_of(*spans):
    return [dict(otlp.fields(s))[2].hex() for s in spans]


def met_by(relay, trace):
    page = page_of(relay, trace)
    return page["state"], page["verdict"], page["rule"], page["met_by"], page["met_by_spans"]


def test_explain_names_the_spans_that_met_the_rule(start, backend):
    """Two of two, the first two of more, the root of a rule for roots; also when dropped, and after a restart."""
    relay = start(extra=rules(wait="20s", root_wait="300ms"))
    two, many, rest, health = Trace(), Trace(), Trace(randomness=QUARTER), Trace(path="/healthz")
    two.children = [two.child(), two.child(error=True), two.child(), two.child(error=True)]
    many.children = [many.child(error=True) for _ in range(5)]
    send(relay, two.spans() + many.spans() + rest.spans() + health.spans())
    settled(relay)
    first, second = ids_of(*two.children[1::2]), ids_of(*many.children[:2])
    for again in (False, True):
        assert met_by(relay, two) == ("decided", "kept", "errors", first, 2)
        assert re.search(rf"met by +{' and '.join(first)}\n", explain(relay, two)[1])
        assert met_by(relay, many) == ("decided", "kept", "errors", second, 5)
        assert re.search(rf"met by +{', '.join(second)} and 3 more spans\n", explain(relay, many)[1])
        assert met_by(relay, health) == ("decided", "rule", "health", [health.root_id.hex()], 1)
        assert met_by(relay, rest) == ("decided", "kept", "rest", [], 0)
        assert "met by" not in explain(relay, rest)[1]
        if not again:
            relay.kill()
            relay = start(extra=rules(wait="20s", root_wait="300ms"), name="again")


def test_explain_names_a_span_of_each_part_of_a_conjunction(start, backend):
    both = "any(span.error) and any(span.url.path == '/slow')"
    relay = start(extra=rules(wait="20s", root_wait="300ms").replace("any(span.error)", both))
    trace = Trace(path="/slow")
    trace.children = [trace.child(error=True) for _ in range(2)]
    send(relay, trace.children + [trace.root])
    settled(relay)
    assert met_by(relay, trace)[3:] == (ids_of(trace.children[0], trace.root), 3)


def test_explain_names_spans_of_undecided_traces(start, backend):
    relay = start(extra=rules(wait="60s").replace("keep: 100%", "keep: 50%"))
    orphan = Trace(randomness=0)
    orphan.children.append(orphan.child(error=True))
    send(relay, orphan.children)
    relay.wait_until(lambda: relay.status()["sampling"]["traces"] == 1, seconds=5)
    assert met_by(relay, orphan) == ("pending", "rule", "errors", ids_of(orphan.children[2]), 1)


class Wrong(Trace):
    id = b"\x01"


def test_lightsteps_satellite_sampler_keeps_the_same_traces(start, backend):
    extra = rules(rest="{ lightstep_satellite: 30% }")
    relay = start(extra=extra)
    traces = [Trace() for _ in range(300)]
    send(relay, [s for t in traces for s in t.spans()])
    settled(relay)
    keeps = {t.id for t in traces if zlib.crc32(t.id[8:].hex().encode()) <= int(0xFFFFFFFF * 30 / 100)}
    assert set(arrived(backend)) == keeps


def test_probabilities_that_spans_come_with_are_kept_true(start, backend):
    """`th` is raised and never lowered; what a source kept by itself is multiplied in; what is false goes."""
    sources = """  sources:
    - { when: 'any(resource.service.name == "kong")', sampled: 10% }
"""
    relay = start(extra=rules(rest="25%").replace("  rules:", sources + "  rules:", 1))
    half, tenth, false_one = Trace(randomness=0xF000 << 40), Trace(randomness=0xF000 << 40), Trace(randomness=0xD000 << 40)

    def marked(trace, state):
        return [s + otlp.field(3, state) for s in trace.spans()]

    send(relay, marked(half, "ot=th:8,a=b") + marked(tenth, "ot=th:e666") + marked(false_one, "ot=th:e666;x:y"))
    kong = [Trace() for _ in range(200)]
    body = otlp.request(*[s for t in kong for s in t.spans()], service="kong")
    assert peers.post(relay.http, body)[0] == 200
    settled(relay)
    got = arrived(backend)
    assert {state_of(s) for s in got[half.id]} == {"ot=th:c,a=b"}
    assert {state_of(s) for s in got[tenth.id]} == {"ot=th:e666"}
    assert {state_of(s) for s in got[false_one.id]} == {"ot=x:y"}
    kept = [t for t in kong if t.id in got]
    assert 20 < len(kept) < 90
    for t in kept:
        # A quarter of a tenth, where the trace's randomness bears it out.
        said = {state_of(s) for s in got[t.id]}
        assert len(said) == 1 and (said == {""} or float_of(said.pop()) == pytest.approx(0.025, rel=0.01))


def float_of(state):
    return 1 - int(re.fullmatch(r"ot=th:([0-9a-f]+)", state)[1].ljust(14, "0"), 16) / 2**56


def test_a_dry_run_keeps_all_and_counts_what_would_be(start, backend):
    relay = start(extra=rules().replace("sampling:", "sampling:\n  dry_run: true", 1))
    traces = some_traces(100)
    send(relay, [s for t in traces for s in t.spans()])
    ledger = settled(relay)
    assert ledger["judged"]["kept"] == 300 == sum(len(s) for s in arrived(backend).values())
    would = {r["name"]: (r["kept"], r["dropped"]) for r in relay.status()["sampling"]["rules"]}
    assert sum(k for k, _ in would.values()) == sum(t.stays() for t in traces)
    assert would["health"][0] == 0 and would["health"][1] > 0


def test_a_small_journal_with_a_backend_that_is_away_comes_back(start, backend):
    """What is kept needs room before what was undecided gives it back."""
    backend.answer = lambda n: (503, {})
    small = "journal: { limit: 16MiB }\noutbox: { limit: 16MiB, when_full: refuse }\n"
    relay = start(extra=small + rules(wait="400ms", root_wait="100ms", rest="100%"))
    acked, refused = 0, 0
    while refused < 20:
        trace_id, large = os.urandom(16), otlp.attribute(9, "x", os.urandom(10_000).hex())
        spans = [otlp.span(trace_id=trace_id, extra=large) for _ in range(20)]
        if peers.post(relay.http, otlp.request(*spans))[0] == 200:
            acked += len(spans)
            refused = 0
        else:
            refused += 1
            time.sleep(0.1)
    assert acked > 500
    backend.answer = lambda n: (200, {})
    ledger = settled(relay, seconds=30)
    assert ledger["judged"]["kept"] == ledger["accepted"] == acked
    assert sum(len(s) for s in arrived(backend).values()) == acked
