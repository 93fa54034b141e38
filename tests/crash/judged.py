# SPDX-License-Identifier: Apache-2.0
"""Kills a relay that judges, with rules and a budget; then every trace must have gone one way.

  judged.py [--kills N] [--seconds-between S]

Clients send the spans of traces apart, some of them late, and each request until it is acknowledged. At the
end every trace is whole at the backend or not there at all, the share rule agrees with the trace's randomness,
errors are there, the ledger adds up after each restart, and what left is what the budget was charged.
Prints one line, then `judged: N passed, N failed`."""
import argparse
import collections
import heapq
import http.client
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../e2e"))

import otlp  # noqa: E402
import peers  # noqa: E402
from relay import Relay, check_ledger  # noqa: E402

CLIENTS, BATCH = 4, 40
TRACES_PER_S = 300
SPREAD_S = 1.2  # of a trace's spans: longer than the relay waits
GOAL = 250  # spans a second
HALF = 1 << 55
CONFIG = f"""
sampling:
  wait: 600ms
  root_wait: 200ms
  trace_spans: 100
  rules:
    - {{ name: errors, when: "any(span.error)", keep: 100%, protected: true }}
    - {{ name: half, when: 'any(resource.service.name == "shop")', keep: 50% }}
    - {{ name: rest, keep: 100% }}
budgets:
  - {{ name: total, spans_per_second: {GOAL}, reserve: 40%, debt: 60s }}
journal: {{ limit: 64MiB }}
"""


class Trace:
    def __init__(self, number):
        self.id = os.urandom(16)
        self.error = number % 25 == 0
        root_id = os.urandom(8)
        status = otlp.field(15, otlp.field(3, 2)) if self.error else b""
        self.spans = [otlp.span(trace_id=self.id, span_id=root_id, extra=status)]
        for _ in range(random.randrange(6)):
            self.spans.append(otlp.span(trace_id=self.id, extra=otlp.field(4, root_id)))

    def share_keeps(self):
        return self.error or int.from_bytes(self.id[9:], "big") >= HALF


class Load:
    """A schedule of spans, and clients that take what is due."""

    def __init__(self, relay):
        self.relay, self.running, self.cut, self.refused = relay, True, 0, 0
        self.traces, self.due, self.count = [], [], 0
        self.acked = set()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        self.threads.append(threading.Thread(target=self.make))
        for t in self.threads:
            t.start()

    def make(self):
        begun = time.monotonic()
        while self.running:
            now = time.monotonic()
            with self.lock:
                while len(self.traces) < (now - begun) * TRACES_PER_S:
                    trace = Trace(len(self.traces))
                    self.traces.append(trace)
                    for span in trace.spans:
                        late = span is not trace.spans[0] and random.random() < 0.2
                        at = now + (random.uniform(0.3, SPREAD_S) if late else random.uniform(0, 0.15))
                        self.count += 1
                        heapq.heappush(self.due, (at, self.count, span))
            time.sleep(0.01)

    def take(self):
        with self.lock:
            now, batch = time.monotonic(), []
            while self.due and len(batch) < BATCH and (self.due[0][0] <= now or not self.running):
                batch.append(heapq.heappop(self.due)[2])
            return batch

    def client(self, number):
        conn, batch = None, []
        while self.running or batch or self.due:
            batch = batch or self.take()
            if not batch:
                time.sleep(0.005)
                continue
            try:
                conn = conn or self.connect(number)
                if self.send(conn, number, otlp.request(*batch)):
                    with self.lock:
                        self.acked.update(batch)
                    batch = []
                else:
                    self.refused += 1
                    time.sleep(0.05)
            except (OSError, http.client.HTTPException, KeyError, peers.h2.exceptions.ProtocolError):
                self.cut += 1
                conn = None
                time.sleep(0.01)

    def connect(self, number):
        if number % 2:
            return http.client.HTTPConnection("127.0.0.1", self.relay.http, timeout=20)
        return peers.Http2(self.relay.grpc)

    def send(self, conn, number, body):
        if number % 2:
            conn.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = conn.getresponse()
            answer.read()
            return answer.status == 200
        return conn.request(peers.grpc_message(body))[2]["grpc-status"] == "0"

    def stop(self):
        self.running = False
        for t in self.threads:
            t.join()


def start(folder, backend):
    exporter = (
        "{ name: main, protocol: http/protobuf, linger: 20ms, compression: none, "
        f'retry: {{ initial: 50ms, max: 200ms }}, endpoint: "http://127.0.0.1:{backend.port}" }}'
    )
    return Relay(folder, [exporter], extra=CONFIG)


def run_for(relay, kills, between_s):
    """Gives the seconds in which no worker was ready: what is not offered is not kept either."""
    down = 0
    for i in range(kills):
        time.sleep(random.uniform(0.1, 2 * between_s))
        os.kill(relay.worker_pid(), signal.SIGKILL)
        killed = time.monotonic()
        relay.wait_ready(count=i + 2)
        down += time.monotonic() - killed
        check_ledger(relay.status())
    return down


def bare(span):
    return b"".join(otlp.field(n, v) if isinstance(v, (bytes, int)) and n != 3 else b"" for n, v in otlp.fields(span))


def check_traces(traces, backend):
    """Whole or not there; gives how many are. An error whose root was held up by a kill for longer than the
    relay waits may be judged without it."""
    counts = collections.Counter(bare(s[2]) for s in backend.spans())
    kept = dropped_errors = 0
    for t in traces:
        there = [counts.pop(bare(s), 0) for s in t.spans]
        assert all(there) or not any(there), f"a trace is split: {there}, error={t.error}"
        if any(there):
            kept += 1
            assert t.share_keeps(), "a trace was kept that its rule drops"
        else:
            dropped_errors += t.error
    assert dropped_errors <= 0.01 * len(traces), f"{dropped_errors} errors were dropped"
    assert not counts, "spans came that nobody sent"
    return kept


def run(kills, between_s):
    folder = tempfile.mkdtemp(prefix="spanrelay-judged-")
    backend = peers.HttpBackend()
    relay = start(folder, backend)
    load, begun = Load(relay), time.monotonic()
    try:
        down = run_for(relay, kills, between_s)
    finally:
        load.stop()
        took = time.monotonic() - begun
    relay.wait_until(
        lambda: relay.status()["ledger"]["pending"] == 0 and relay.status()["exporters"][0]["buffered"] == 0, 60
    )
    status = relay.status()
    check_ledger(status)
    judged = status["ledger"]["judged"]
    kept = check_traces(load.traces, backend)
    assert judged["damaged"] == 0, judged
    total = status["sampling"]["budgets"][0]["spans"]["kept"]
    assert abs(total - judged["kept"]) <= 0.02 * judged["kept"], (total, judged)
    goal = GOAL * (took - down)
    error, burst = judged["kept"] / goal - 1, 2 * GOAL / goal
    assert -0.02 - 1 / took <= error <= 0.02 + burst, (judged["kept"], goal)
    assert relay.stop() == 0
    backend.close()
    shutil.rmtree(folder)
    print(
        f"judged: kills={kills} seconds={took:.0f} traces={len(load.traces)} kept={kept} split=0 "
        f"acked={len(load.acked)} kept_spans={judged['kept']} charged={total:.0f} goal={goal:.0f} error={error * 100:+.1f}% "
        f"{' '.join(f'{k}={v}' for k, v in judged.items() if k != 'kept')} cut={load.cut} refused={load.refused}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds-between", type=float, default=1.5)
    args = parser.parse_args()
    try:
        run(args.kills, args.seconds_between)
        passed, failed = args.kills, 0
    except (AssertionError, OSError) as e:
        print(f"judged: FAILED: {e}", flush=True)
        passed, failed = 0, 1
    print(f"judged: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
