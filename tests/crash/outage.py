# SPDX-License-Identifier: Apache-2.0
"""A backend that is away for long, under load, with kills; then every span is looked for.

  outage.py [--seconds N] [--rate N] [--kinds down,age,oldest,refuse] [--journal SIZE] [--tmpfs]

  down    two exporters, one of them away all the time; the worker is killed twice in the middle and once
          more while the outbox drains; nothing acknowledged may be lost, the other exporter is not
          delayed, and afterwards the outbox has no file left
  age     the same without kills, with an age limit of a third of the outage: what is too old is dropped,
          nothing else, and all of it is counted
  oldest  when_full: drop_oldest at a limit that is too small
  refuse  when_full: refuse at such a limit: clients are told to come back, and nothing is lost

Clients number their spans, so that the backend finds them in the bytes without decoding anything.
Prints what was seen, then `outage: N passed, N failed`."""
import argparse
import array
import http.server
import multiprocessing
import os
import random
import re
import shutil
import signal
import socketserver
import sys
import tempfile
import threading
import time
import http.client
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../e2e"))

import otlp  # noqa: E402
from relay import Relay, check_ledger  # noqa: E402

SPANS = 300  # in a request
MARK = b"\x12\x08\xfe\xed"  # a span id's tag and length, and how ours begin
NUMBER = re.compile(re.escape(MARK) + rb"(.{6})", re.S)
TEMPLATES = 32


def template(rng):
    """A request of some 600 bytes a span, and where the numbers stand in it."""
    spans = []
    for _ in range(SPANS):
        extra = b"".join(
            otlp.attribute(9, key, value)
            for key, value in (
                ("http.route", rng.choice(["/api/v1/orders/{id}", "/checkout/payment", "/login"])),
                ("url.path", f"/api/v1/orders/{rng.randrange(10**9)}"),
                ("server.address", f"shop-{rng.randrange(40)}.internal.example"),
                ("client.address", f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"),
                ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari"),
                ("http.request.header.x-request-id", f"{rng.getrandbits(128):032x}"),
                ("k8s.pod.name", f"checkout-{rng.getrandbits(40):010x}-{rng.getrandbits(20):05x}"),
                ("enduser.id", f"{rng.getrandbits(64):016x}"),
            )
        )
        spans.append(otlp.span(trace_id=rng.randbytes(16), span_id=MARK[2:] + bytes(6), extra=extra))
    body = bytearray(otlp.request(*spans))
    places = [m.start(1) for m in NUMBER.finditer(bytes(body))]
    assert len(places) == SPANS, len(places)
    return body, places


def flood(port, rate, box, stop):
    """Sends until told to stop; at the end gives (first number, when) of each request that was taken."""
    rng = random.Random(7)
    templates = [template(rng) for _ in range(TEMPLATES)]
    state = {"next": 0, "refused": 0, "cut": 0, "retries_told": 0}
    taken, lock, began = [], threading.Lock(), time.monotonic()

    def client(number):
        conn, mine = None, [(bytearray(b), p) for b, p in templates[number::2]]
        turn = 0
        while not stop.is_set():
            with lock:
                first = state["next"]
                due = began + first / rate
                if time.monotonic() >= due:
                    state["next"] += SPANS
                else:
                    first = None
            if first is None:
                time.sleep(0.002)
                continue
            body, places = mine[turn % len(mine)]
            turn += 1
            for i, at in enumerate(places):
                body[at : at + 6] = (first + i).to_bytes(6, "big")
            while not stop.is_set():  # as a client that keeps its spans until they are taken
                try:
                    conn = conn or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                    conn.request("POST", "/v1/traces", bytes(body), {"Content-Type": "application/x-protobuf"})
                    answer = conn.getresponse()
                    answer.read()
                    if answer.status == 200:
                        with lock:
                            taken.append((first, time.time()))
                        break
                    assert answer.status == 503 and answer.headers["Retry-After"], answer.status
                    with lock:
                        state["refused"] += 1
                    time.sleep(0.1)
                except (OSError, http.client.HTTPException):
                    with lock:
                        state["cut"] += 1
                    conn = None
                    time.sleep(0.01)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    box.send((taken, state))


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A relay that is killed says nothing before it goes."""
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A relay that is killed says nothing before it goes."""


def backend(port, box, up):
    """Counts the numbers it gets, and when each request came. Away: it listens and answers 503."""
    counts, arrivals, lock = array.array("H", bytes(2 * 64_000_000)), [], threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ok = up.is_set()
            if ok:
                if self.headers.get("Content-Encoding") == "gzip":
                    body = zlib.decompress(body, 31)
                numbers = [int.from_bytes(n, "big") for n in NUMBER.findall(body)]
                with lock:
                    for n in numbers:
                        counts[n] += 1
                    arrivals.append((min(numbers), max(numbers), time.time()))
            self.send_response(200 if ok else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = Server(("127.0.0.1", port), Handler)
    box.send(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    box.recv()
    with lock:
        box.send((counts, arrivals))


class Peer:
    def __init__(self, away=False):
        self.up = multiprocessing.Event()
        if not away:
            self.up.set()
        self.box, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=backend, args=(0, theirs, self.up), daemon=True)
        self.process.start()
        self.port = self.box.recv()

    def end(self):
        self.box.send("end")
        counts, arrivals = self.box.recv()
        self.process.join()
        return counts, arrivals


class Clients:
    def __init__(self, port, rate):
        self.stop_event = multiprocessing.Event()
        self.box, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=flood, args=(port, rate, theirs, self.stop_event), daemon=True
        )
        self.process.start()

    def stop(self):
        self.stop_event.set()
        taken, state = self.box.recv()
        self.process.join()
        return taken, state


def exporter(name, port, extra=""):
    return (
        f"{{ name: {name}, protocol: http/protobuf, linger: 50ms, batch: 256KiB, request: 1MiB, compression: gzip, "
        f'retry: {{ initial: 100ms, max: 500ms }}, {extra} endpoint: "http://127.0.0.1:{port}" }}'
    )


def by_name(status, name):
    return next(e for e in status["exporters"] if e["name"] == name)


def files_of(relay, name):
    folder = os.path.join(relay.data, "outbox", name)
    return [f for f in os.listdir(folder) if f.endswith(".mdb")] if os.path.isdir(folder) else []


class Scene:
    def __init__(self, args, outbox, two=True, ports=""):
        self.folder = tempfile.mkdtemp(prefix="spanrelay-outage-", dir=args.dir)
        self.away = Peer(away=True)
        self.near = Peer() if two else None
        exporters = [exporter("away", self.away.port)]
        if two:
            exporters.append(exporter("near", self.near.port))
        extra = f"journal: {{ limit: {args.journal} }}\noutbox: {outbox}\n"
        self.relay = Relay(self.folder, exporters, extra=extra)
        self.clients = Clients(self.relay.http, args.rate)
        self.kills = 0

    def kill(self):
        """Every start is a recovery: the account must add up at once."""
        os.kill(self.relay.worker_pid(), signal.SIGKILL)
        self.kills += 1
        self.relay.wait_ready(count=self.kills + 1)
        check_ledger(self.relay.status())

    def drained(self, seconds):
        self.relay.wait_until(
            lambda: all(e["buffered"] == 0 for e in self.relay.status()["exporters"]), seconds
        )

    def end(self):
        assert self.relay.stop() == 0, "exit code"
        shutil.rmtree(self.folder)


def delays(arrivals, taken, since):
    """Seconds from acknowledgement to backend, of requests acknowledged after `since`, sorted."""
    when = dict(taken)
    out = []
    for low, high, at in arrivals:
        first = high - high % SPANS
        if first in when and when[first] >= since:
            out.append(max(0.0, at - when[first]))
    return sorted(out)


def quantile(values, q):
    return values[int(q * (len(values) - 1))] if values else float("nan")


def split(taken, counts):
    """Numbers of acknowledged spans that are there, that are not, and how many came more than once."""
    missing, there, again = [], 0, 0
    for first, when in taken:
        for n in range(first, first + SPANS):
            if counts[n] == 0:
                missing.append((n, when))
            else:
                there += 1
                again += counts[n] - 1
    return there, missing, again


def report(kind, **figures):
    print(f"{kind}: " + " ".join(f"{k}={v}" for k, v in figures.items()), flush=True)


def down(args):
    scene = Scene(args, "{ limit: 20GiB, max_age: 24h, when_full: refuse }")
    relay = scene.relay
    for part in range(3):
        time.sleep(args.seconds / 3)
        if part < 2:
            scene.kill()
    status = relay.status()
    away = by_name(status, "away")
    held, outbox, anonymous = away["buffered"], away["outbox"], status["memory"]["anonymous_bytes"]
    size = away["outbox_bytes"]
    assert outbox > 0, "nothing was spilled: the outage is too short for the journal"
    back = time.time()
    scene.away.up.set()
    time.sleep(max(1.0, args.seconds / 60))
    rates = []
    scene.kill()
    while by_name(relay.status(), "away")["outbox"] > 0:
        away = by_name(relay.status(), "away")
        rates.append((away["drain_rate"], away["fresh_rate"], away["fresh_delay_ms"]))
        time.sleep(0.2)
        assert time.time() - back < 60 + args.seconds, "the outbox does not drain"
    drain_seconds = time.time() - back
    time.sleep(2)
    taken, state = scene.clients.stop()
    scene.drained(60)
    status = relay.status()
    check_ledger(status)
    relay.wait_until(lambda: not files_of(relay, "away"), 10)
    counts, arrivals = scene.away.end()
    there, missing, again = split(taken, counts)
    near_counts, near_arrivals = scene.near.end()
    _, near_missing, _ = split(taken, near_counts)
    fresh, near = delays(arrivals, taken, back + 1), delays(near_arrivals, taken, 0)
    report(
        "down",
        seconds=args.seconds,
        acked=there + len(missing),
        lost=len(missing) + len(near_missing),
        duplicates=again,
        held=held,
        in_outbox=outbox,
        outbox_mib=size >> 20,
        anonymous_mib=f"{anonymous / (1 << 20):.1f}",
        drain_s=f"{drain_seconds:.1f}",
        drain_rate=max((r[0] for r in rates), default=0),
        fresh_p50_s=f"{quantile(fresh, 0.5):.2f}",
        fresh_p99_s=f"{quantile(fresh, 0.99):.2f}",
        near_p50_s=f"{quantile(near, 0.5):.2f}",
        near_p99_s=f"{quantile(near, 0.99):.2f}",
        cut=state["cut"],
        refused=state["refused"],
    )
    assert not missing and not near_missing, f"{len(missing)} and {len(near_missing)} acknowledged spans are lost"
    assert sum(by_name(status, "away")["dropped"].values()) == 0, status
    assert quantile(near, 0.5) < 1, "the other exporter was delayed"
    scene.end()


def age(args):
    limit = max(2, args.seconds // 3)
    scene = Scene(args, f"{{ limit: 20GiB, max_age: {limit}s, when_full: refuse }}", two=False)
    relay = scene.relay
    time.sleep(args.seconds)
    scene.away.up.set()
    back = time.time()
    time.sleep(3)
    taken, state = scene.clients.stop()
    scene.drained(60 + args.seconds)
    status = relay.status()
    check_ledger(status)
    counts, arrivals = scene.away.end()
    there, missing, again = split(taken, counts)
    dropped = by_name(status, "away")["dropped"]
    report(
        "age",
        max_age_s=limit,
        acked=there + len(missing),
        arrived=there,
        expired=dropped["expired"],
        missing=len(missing),
        youngest_dropped_s=f"{back - max((w for _, w in missing), default=back):.2f}",
    )
    cut_off = [s for s in missing if back - s[1] < limit - 1.0]
    assert not cut_off, f"{len(cut_off)} spans were dropped before their time"
    assert missing, "nothing expired"
    # Requests whose answer was lost count for the relay and not for us.
    assert dropped["expired"] == sum(dropped.values()) and dropped["expired"] >= len(missing), dropped
    assert dropped["expired"] - len(missing) <= state["cut"] * SPANS, dropped
    when = dict(taken)
    old = [a for low, high, at in arrivals if (a := at - when.get(high - high % SPANS, at)) > limit + 2]
    assert not old, f"{len(old)} requests arrived that were too old, up to {max(old):.1f} s"
    scene.end()


def oldest(args):
    scene = Scene(args, "{ limit: 16MiB, max_age: 24h, when_full: drop_oldest }", two=False)
    relay = scene.relay
    relay.wait_until(lambda: by_name(relay.status(), "away")["dropped"]["outbox_full"] > 0, 60 + args.seconds)
    time.sleep(2)
    size = by_name(relay.status(), "away")["outbox_bytes"]
    scene.away.up.set()
    taken, state = scene.clients.stop()
    scene.drained(60)
    status = relay.status()
    check_ledger(status)
    counts, _ = scene.away.end()
    there, missing, _ = split(taken, counts)
    dropped = by_name(status, "away")["dropped"]
    report("oldest", acked=there + len(missing), arrived=there, dropped=dropped["outbox_full"], refused=state["refused"])
    assert size <= 16 << 20, size
    assert dropped["outbox_full"] == sum(dropped.values()), dropped
    assert dropped["outbox_full"] - len(missing) <= state["cut"] * SPANS, (dropped, len(missing))
    numbers = sorted(n for n, _ in missing)
    assert numbers and numbers[-1] < max(f for f, _ in taken), "not the oldest"
    scene.end()


def refuse(args):
    scene = Scene(args, "{ limit: 16MiB, max_age: 24h, when_full: refuse }", two=False)
    relay = scene.relay
    relay.wait_until(lambda: relay.get("/_ready")[0] == 503, 120 + args.seconds)
    time.sleep(2)
    why = relay.get("/_ready")[1]
    scene.away.up.set()
    back = time.monotonic()
    relay.wait_until(lambda: relay.get("/_ready")[0] == 200, 10)
    ready = time.monotonic() - back
    taken, state = scene.clients.stop()
    scene.drained(60)
    status = relay.status()
    check_ledger(status)
    counts, _ = scene.away.end()
    there, missing, again = split(taken, counts)
    report("refuse", acked=there + len(missing), lost=len(missing), refused=state["refused"], ready_after_s=f"{ready:.2f}", why=why.strip().replace(" ", "_"))
    assert not missing and state["refused"] > 0
    assert sum(by_name(status, "away")["dropped"].values()) == 0
    assert ready < 5, "recovery took too long"
    scene.end()


KINDS = {"down": down, "age": age, "oldest": oldest, "refuse": refuse}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--rate", type=int, default=20000)
    parser.add_argument("--journal", default="256MiB")
    parser.add_argument("--dir", default=None)
    parser.add_argument("--kinds", default=",".join(KINDS))
    args = parser.parse_args()
    passed = failed = 0
    for kind in args.kinds.split(","):
        try:
            KINDS[kind](args)
            passed += 1
        except AssertionError as e:
            failed += 1
            print(f"{kind}: FAILED: {str(e)[-2000:]}", flush=True)
    print(f"outage: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
