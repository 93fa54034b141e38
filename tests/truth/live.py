# SPDX-License-Identifier: Apache-2.0
"""Two shapes of `make budget-truth` in real time: the relay as it is, and a backend that counts.

  live.py [--windows N]

"late": 30 % of the spans come up to 20 s after the others of their trace. "step": what comes is below the goal,
then ten times as much. In each window of 60 s that counts, what arrives at the backend is compared with the
goal; below the goal everything must arrive. Counts by `th` are compared with what was sent. Prints a line for
each shape, then `budget-live: N passed, N failed`."""
import argparse
import heapq
import http.client
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../e2e"))

import otlp  # noqa: E402
import peers  # noqa: E402
from relay import Relay  # noqa: E402

GOAL, WINDOW_S, TRACE_SPANS = 400, 60, 20
BURST_S = 1
# Of the goal: 2 %, what a bucket holds, and a trace that is whole.
BAR = 0.02 + BURST_S / WINDOW_S + TRACE_SPANS / (GOAL * WINDOW_S)
CONFIG = f"""
sampling:
  wait: 2s
  root_wait: 500ms
  trace_spans: {TRACE_SPANS}
  rules: [{{ name: all, keep: 100% }}]
budgets:
  - {{ name: total, spans_per_second: {GOAL}, burst: {BURST_S}s, debt: 5s }}
journal: {{ limit: 256MiB }}
"""
TH = re.compile(rb"ot=[^,]*th:([0-9a-f]+)")


def small_span(trace_id, parent):
    return (
        otlp.field(1, trace_id) + otlp.field(2, os.urandom(8)) + parent + otlp.field(5, "GET /")
        + otlp.fixed64(7, time.time_ns()) + otlp.fixed64(8, time.time_ns())
    )


class Counter(peers.HttpBackend):
    """Counts spans, and what they stand for, by second."""

    def __init__(self):
        self.seen = []
        super().__init__()
        self.bodies = self  # a list that only counts

    def append(self, body):
        now, n, weight = time.monotonic(), 0, 0.0
        for _, _, span in otlp.spans_of(body):
            n += 1
            found = TH.search(dict(otlp.fields(span)).get(3, b""))
            weight += 1 / (1 - int(found.group(1).ljust(14, b"0"), 16) / 2**56) if found else 1
        self.seen.append((now, n, weight))

    def between(self, a, b):
        rows = [r for r in self.seen if a <= r[0] < b]
        return sum(r[1] for r in rows), sum(r[2] for r in rows)


class Shape:
    def __init__(self, name, rate, late_share, windows):
        self.name, self.rate, self.late_share, self.windows = name, rate, late_share, windows
        self.folder = tempfile.mkdtemp(prefix="spanrelay-live-")
        self.backend = Counter()
        self.sent = []
        exporter = (
            "{ name: main, protocol: http/protobuf, linger: 100ms, compression: none, "
            f'endpoint: "http://127.0.0.1:{self.backend.port}" }}'
        )
        self.relay = Relay(self.folder, [exporter], extra=CONFIG)

    def load(self):
        """Traces of 1 to 6 spans, at rate(t) spans a second, until all windows are over."""
        conn = http.client.HTTPConnection("127.0.0.1", self.relay.http, timeout=20)
        self.begun = time.monotonic()
        due, made, order, last = [], 0.0, 0, 0.0
        while (t := time.monotonic() - self.begun) < self.windows * WINDOW_S:
            made += self.rate(t) * (t - last)
            last = t
            while made >= 1:
                trace_id, root_id, n = os.urandom(16), os.urandom(8), random.randrange(1, 7)
                made -= n
                for i in range(n):
                    late = i != 0 and random.random() < self.late_share * 1.4  # of all: roots are not late
                    order += 1
                    parent = otlp.field(4, root_id) if i else b""
                    heapq.heappush(due, (t + random.uniform(3, 20) * late, order, small_span(trace_id, parent)))
            batch = []
            while due and due[0][0] <= t:
                batch.append(heapq.heappop(due)[2])
            for i in range(0, len(batch), 500):
                self.send(conn, batch[i : i + 500])
            time.sleep(0.05)

    def send(self, conn, spans):
        conn.request("POST", "/v1/traces", otlp.request(*spans), {"Content-Type": "application/x-protobuf"})
        answer = conn.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        self.sent.append((time.monotonic(), len(spans)))

    def sent_between(self, a, b):
        return sum(n for at, n in self.sent if a <= at < b)

    def run(self):
        try:
            self.load()
            self.worst, self.notes = 0, []
            self.check()
            self.failure = None
        except AssertionError as e:
            self.failure = str(e)
        finally:
            self.relay.stop()
            self.backend.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def check(self):
        for w in range(self.windows):
            a, b = self.begun + w * WINDOW_S, self.begun + (w + 1) * WINDOW_S
            offered = self.sent_between(a, b) / WINDOW_S
            got, stands_for = self.backend.between(a, b)
            error = got / WINDOW_S / GOAL - 1
            self.notes.append(f"{offered:.0f}/s:{error * 100:+.1f}%")
            if offered < GOAL * 0.9:
                assert got / WINDOW_S >= offered * 0.95, f"{self.name}: {got} of {offered * WINDOW_S:.0f} below the goal"
            elif self.counts(w):
                self.worst = max(self.worst, abs(error))
                assert abs(error) <= BAR, f"{self.name}: window {w}: {self.notes}"
        a, b = self.begun, self.begun + self.windows * WINDOW_S + 10
        ratio = self.backend.between(a, b)[1] / self.sent_between(a, b)
        self.notes.append(f"estimated/true={ratio:.3f}")

    def counts(self, window):
        """Not the first, nor the first two after a step."""
        t = window * WINDOW_S
        return window >= 1 and all(self.rate(t - k * WINDOW_S) == self.rate(t) for k in (1, 2) if t - k * WINDOW_S >= 0)

    def told(self):
        return f"{self.name}: windows {' '.join(self.notes)} worst={self.worst * 100:.2f}% bar={BAR * 100:.2f}%"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=6)
    n = parser.parse_args().windows
    shapes = [
        Shape("late", lambda t: 4 * GOAL, 0.3, n),
        Shape("step", lambda t: 0.5 * GOAL if t < 2 * WINDOW_S else 5 * GOAL, 0, n),
    ]
    threads = [threading.Thread(target=s.run) for s in shapes]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for s in shapes:
        print(s.told() if s.failure is None else f"{s.name}: FAILED: {s.failure}", flush=True)
    failed = sum(s.failure is not None for s in shapes)
    print(f"budget-live: {len(shapes) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
