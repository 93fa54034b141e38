# SPDX-License-Identifier: Apache-2.0
"""The n-th allocation and the n-th system call of a worker fail, for every n that a short life reaches.

  torture.py [--judged] [--first N] [--every K] [--jobs N] [--kinds alloc-once,alloc-ever,call-once,call-ever]

Each life: start, requests while the backend is away, so that the outbox fills and its files rotate, the
backend comes back, the outbox drains, a stop; all of it with one failure, once or from then on. Then the
relay is started without failures on what is left. No worker may die by a signal, every acknowledged span
must reach the backend, and the account must add up. --judged: with rules and a budget that keep everything.
Prints what broke, then
`torture: N passed, N failed`."""
import argparse
import concurrent.futures
import http.client
import os
import re
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

REQUESTS, SPANS, SPAN_BYTES = 12, 10, 60_000
LIBRARY = os.environ.get("FAILING_LIBRARY", "")
CLEAN = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}


class Away:
    """A backend that says 503 until it is back."""

    def __init__(self):
        self.back = threading.Event()
        self.server = peers.HttpBackend(answer=lambda _: (200 if self.back.is_set() else 503, {}))


def post(port, body):
    """True when it was taken; what is refused is sent again a few times, as clients do."""
    for _ in range(3):
        try:
            conn = http.client.HTTPConnection("127.0.0.1", port, timeout=0.7)
            conn.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            status = conn.getresponse().status
            conn.close()
            if status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    return False


def wait(condition, seconds):
    """Asks the relay nothing: each question would be so many allocations more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def life(folder, exporter, order, away, totals):
    """One life with failures; gives the spans that were acknowledged, the log, and whether it stopped."""
    env = dict(CLEAN, FAILING=order, SPANRELAY_TORTURE="1")
    if LIBRARY:
        env["LD_PRELOAD"] = LIBRARY
    if totals:
        env["FAILING_TOTALS"] = totals
    relay = Relay(folder, [exporter], extra=EXTRA, name="torn", wait=False, env=env)
    acked = []
    ready = wait(lambda: 'msg="ready"' in relay.text() or relay.process.poll() is not None, 1)
    if ready and relay.process.poll() is None:
        ports = dict(re.findall(r"listener=(\w+) address=127.0.0.1:(\d+)", relay.text()))
        for number in range(REQUESTS):
            batch = [otlp.span(extra=otlp.attribute(9, "filler", "x" * SPAN_BYTES)) for _ in range(SPANS)]
            if post(int(ports["http"]), otlp.request(*batch)):
                acked += batch
            elif number > 0 and not acked:
                break  # it will not get better
        time.sleep(0.05)
        away.back.set()
        wait(lambda: len(away.server.bodies) and len(away.server.spans()) >= len(acked), 1.0)
    relay.process.send_signal(signal.SIGTERM)
    stopped = wait(lambda: relay.process.poll() is not None, 20)  # the keeper's patience is 7 s
    relay.process.kill()
    relay.process.wait()
    relay.log.close()
    return acked, relay.text(), stopped


EXTRA = "journal: { limit: 16MiB, linger: 0ms }\noutbox: { limit: 16MiB }\nshutdown: { deadline: 2s }\n"
JUDGED = """
sampling:
  wait: 200ms
  root_wait: 100ms
  rules:
    - { name: errors, when: 'any(span.error or span.filler =~ "^y")', keep: 100%, protected: true }
    - { name: rest, keep: { spans_per_second: 1000000, by: [service.name] } }
budgets:
  - { name: total, spans_per_second: 1000000, bytes_per_month: 1000TB }
"""


def is_done(status):
    return status["ledger"]["pending"] == 0 and status["exporters"][0]["buffered"] == 0


def torture(order, totals=None):
    """None, or what went wrong."""
    folder = tempfile.mkdtemp(prefix="spanrelay-torture-", dir=SCRATCH)
    away = Away()
    exporter = (
        "{ name: main, protocol: http/protobuf, linger: 0ms, compression: none, timeout: 1s, "
        f'retry: {{ initial: 20ms, max: 50ms }}, endpoint: "http://127.0.0.1:{away.server.port}" }}'
    )
    text = ""
    try:
        acked, text, stopped = life(folder, exporter, order, away, totals)
        if not stopped:
            return "the relay did not stop"
        for code in re.findall(r'msg="worker ended".* code=(\d+)', text):
            if int(code) > 128 and int(code) != 128 + signal.SIGKILL:
                return f"a worker died of signal {int(code) - 128}"
        if "ERROR: AddressSanitizer" in text or "runtime error" in text or "LeakSanitizer" in text:
            return "a sanitizer spoke"
        away.back.set()
        relay = Relay(folder, [exporter], extra=EXTRA, name="whole", env=CLEAN)
        try:
            relay.wait_until(lambda: is_done(relay.status()), 10)
            status = relay.status()
            check_ledger(status)
        finally:
            code = relay.stop()
        have = {s[2] for s in away.server.spans()}
        lost = sum(s not in have for s in acked)
        if lost:
            return f"{lost} of {len(acked)} acknowledged spans are lost"
        judged = status["ledger"]["judged"]
        if sum(judged.values()) - judged["kept"] - judged["duplicate"]:
            return f"spans were not kept: {judged}"
        if sum(status["exporters"][0]["dropped"].values()):
            return f"spans were dropped: {status['exporters'][0]['dropped']}"
        if code != 0:
            return f"the next one ended with {code}"
        text = ""
        return None
    except AssertionError as e:
        return str(e)[-1500:]
    finally:
        away.server.close()
        if text:
            with open(os.path.join(SCRATCH, f"torture-{order.replace(':', '-')}.log"), "w") as f:
                f.write(text)
        shutil.rmtree(folder, ignore_errors=True)


SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def orders(kind, total, first, every, variants=5):
    what, how = kind.split("-")
    for n in range(first or 1 + every // 2, total + 1, every):
        yield f"{what}:{n}:{how}" + (f":{n % variants}" if what == "call" else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judged", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kinds", default="alloc-once,alloc-ever,call-once,call-ever")
    args = parser.parse_args()
    if args.judged:
        global EXTRA
        EXTRA += JUDGED
    totals = os.path.join(SCRATCH, f"torture-totals-{os.getpid()}")
    wrong = torture("none", totals)
    if wrong:
        print(f"without any failure: {wrong}\ntorture: 0 passed, 1 failed")
        return 1
    with open(totals) as f:
        allocations, calls = map(int, f.read().split())
    os.unlink(totals)
    print(f"a life has {allocations} allocations and {calls} system calls", flush=True)
    passed = failed = 0
    began = time.monotonic()
    for kind in args.kinds.split(","):
        todo = list(orders(kind, allocations if kind.startswith("alloc") else calls, args.first, args.every))
        with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
            for order, wrong in zip(todo, pool.map(torture, todo)):
                passed += wrong is None
                failed += wrong is not None
                if wrong:
                    print(f"{order}: FAILED: {wrong}", flush=True)
        print(f"{kind}: {len(todo)} lives, {time.monotonic() - began:.0f} s so far", flush=True)
    print(f"torture: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
