# SPDX-License-Identifier: Apache-2.0
"""Traces that nobody means well with: they stay inside memory and budget, and honest ones hardly notice."""
import os
import time

import otlp
import peers
import pytest
from relay import check_ledger
from test_sampling import Trace, arrived, settled

SHARE = """
sampling:
  wait: {wait}
  root_wait: 300ms
  trace_spans: 100
  memory: 1MiB
  rules:
    - {{ name: errors, when: "any(span.error)", keep: 100%, protected: true }}
    - {{ name: rest, keep: {rest} }}
"""


def small(trace_id, error=False):
    """As few bytes as a span may have; without a parent it would be a root."""
    status = otlp.field(15, otlp.field(3, 2)) if error else b""
    return otlp.field(1, trace_id) + otlp.field(2, os.urandom(8)) + otlp.field(4, b"parents!") + status


def send(relay, spans, service="shop"):
    for i in range(0, len(spans), 1000):
        body = otlp.request(*spans[i : i + 1000], service=service)
        relay.wait_until(lambda: peers.post(relay.http, body)[0] == 200, seconds=5)  # 503: a moment, please


def honest(n=200):
    return [Trace(error=i % 4 == 0) for i in range(n)]


def check_honest(traces, backend, share=1.0):
    """Errors are whole; of the others at least nine tenths of what is usual."""
    got = arrived(backend)
    errors = [t for t in traces if t.error]
    whole = sum(len(got.get(t.id, [])) == len(t.spans()) for t in errors)
    assert whole >= 0.9 * len(errors), (whole, len(errors))
    rest = [t for t in traces if not t.error]
    kept = sum(t.id in got for t in rest)
    assert kept >= 0.9 * share * len(rest) - 3 * (share * len(rest)) ** 0.5, (kept, len(rest))


def test_a_flood_of_traces_stays_in_its_memory(start, backend):
    relay = start(extra=SHARE.format(wait="60s", rest="25%"))
    traces, most = honest(), 0
    for i in range(100):
        send(relay, [small(os.urandom(16)) for _ in range(2000)])
        send(relay, [s for t in traces[2 * i : 2 * i + 2] for s in t.spans()])
        most = max(most, relay.status()["sampling"]["used_bytes"])
    assert most < 2 << 20, most
    status = relay.status()
    assert status["sampling"]["triggers"]["eviction"] > 100_000
    check_ledger(status)
    relay.wait_until(lambda: all(t.id in arrived(backend) for t in traces if t.error), seconds=10)
    check_honest(traces, backend, 0.25)


def test_one_trace_for_ever_is_decided_and_then_late(start, backend):
    relay = start(extra=SHARE.format(wait="60s", rest="0.1%"))
    endless = b"\xff" * 16  # the highest randomness: it is kept
    for _ in range(30):
        send(relay, [small(endless) for _ in range(500)])
    ledger = settled(relay)
    assert ledger["judged"]["kept"] == 15_000
    assert len(arrived(backend)[endless]) == 15_000
    assert relay.status()["sampling"]["triggers"]["span_limit"] == 1
    assert relay.status()["sampling"]["memory_bytes"] < 1 << 20


def test_a_huge_trace_in_one_go(start, backend):
    relay = start(extra=SHARE.format(wait="60s", rest="0.1%"))
    huge = b"\x00" * 8 + b"\x01" * 8
    send(relay, [small(huge) for _ in range(100_000)])
    ledger = settled(relay, seconds=20)
    assert ledger["judged"]["rule"] + ledger["judged"]["late"] == 100_000
    assert huge not in arrived(backend)


@pytest.mark.parametrize("forgers", (1, 3))
def test_forged_errors_get_no_more_than_the_budget(start, backend, forgers):
    budgets = """
budgets:
  - { name: total, spans_per_second: 300, burst: 1s }
  - { name: each, by: service.name, spans_per_second: 200, parent: total }
"""
    relay = start(extra=SHARE.format(wait="500ms", rest="100%") + budgets)
    traces, begun, i = honest(400), time.monotonic(), 0
    while time.monotonic() - begun < 12:
        if time.monotonic() - begun > 4:  # the honest one is known by then
            for k in range(forgers):
                spans = [small(os.urandom(16), error=True) for _ in range(300 // forgers)]
                send(relay, spans, service=f"forger{k}")
        send(relay, [s for t in traces[i : i + 2] for s in t.spans()], service="honest")
        i += 2
        time.sleep(0.1)
    ledger = settled(relay, seconds=20)
    took = time.monotonic() - begun
    assert ledger["judged"]["kept"] < 300 * (took + 2) * 1.05, (ledger, took)
    assert ledger["judged"]["budget"] > 5000
    check_honest(traces[:i], backend)
