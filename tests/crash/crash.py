# SPDX-License-Identifier: Apache-2.0
"""Kills, upgrades and stops under load; then every span is looked for.

  crash.py [--worker N] [--both N] [--upgrade N] [--stop N]

For each kind: N times, at random moments, with clients that send all the while. At the end every
acknowledged span must be at the backend, unaltered; duplicates are counted; the ledger must add up after
each restart. Prints one line per kind, then `crash: N passed, N failed`."""
import argparse
import collections
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

CLIENTS = 4
SPANS = 10


class Load:
    """Clients that send until told to stop, each on a connection it keeps while it can."""

    def __init__(self, relay):
        self.relay = relay
        self.acked, self.refused, self.cut = [], 0, 0
        self.running = True
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def client(self, number):
        send = self.over_http if number % 2 else self.over_grpc
        conn = None
        while self.running:
            batch = [otlp.span() for _ in range(SPANS)]
            try:
                conn = conn or self.connect(number)
                if send(conn, otlp.request(*batch)):
                    with self.lock:
                        self.acked += batch
            except ConnectionRefusedError:
                with self.lock:
                    self.refused += 1
                conn = None
                time.sleep(0.005)
            except (OSError, http.client.HTTPException, KeyError, peers.h2.exceptions.ProtocolError):
                with self.lock:
                    self.cut += 1  # in mid-flight: nobody said that it was taken
                conn = None

    def connect(self, number):
        if number % 2:
            return http.client.HTTPConnection("127.0.0.1", self.relay.http, timeout=20)
        return peers.Http2(self.relay.grpc)

    def over_http(self, conn, body):
        conn.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        answer = conn.getresponse()
        answer.read()
        return answer.status == 200

    def over_grpc(self, conn, body):
        return conn.request(peers.grpc_message(body))[2]["grpc-status"] == "0"

    def stop(self):
        self.running = False
        for t in self.threads:
            t.join()


class Scene:
    def __init__(self, ports=None):
        self.folder = tempfile.mkdtemp(prefix="spanrelay-crash-")
        self.backend = peers.HttpBackend()
        self.starts = 0
        self.ports = ports
        self.relay = self.start()

    def start(self):
        self.starts += 1
        exporter = (
            "{ name: main, protocol: http/protobuf, linger: 20ms, compression: none, "
            f'retry: {{ initial: 50ms, max: 200ms }}, endpoint: "http://127.0.0.1:{self.backend.port}" }}'
        )
        return Relay(self.folder, [exporter], name=f"relay{self.starts}")

    def settle(self, acked):
        """All that was acknowledged is there and the account is closed; gives the duplicates."""
        relay = self.relay
        relay.wait_until(lambda: relay.status()["exporters"][0]["buffered"] == 0, 60)
        counts = collections.Counter(s[2] for s in self.backend.spans())
        lost = [s for s in acked if s not in counts]
        assert not lost, f"{len(lost)} of {len(acked)} acknowledged spans are lost"
        sent = sum(counts.values())
        ledger = relay.status()["ledger"]
        assert ledger["accepted"] >= len(counts), ledger
        return sent - len(counts)

    def end(self):
        assert self.relay.stop() == 0
        self.backend.close()
        shutil.rmtree(self.folder)


def kill_worker(scene, load, n):
    for i in range(n):
        time.sleep(random.uniform(0.02, 0.25))
        os.kill(scene.relay.worker_pid(), signal.SIGKILL)
        scene.relay.wait_ready(count=i + 2)
        check_ledger(scene.relay.status())


def upgrade(scene, load, n):
    for i in range(n):
        time.sleep(random.uniform(0.05, 0.25))
        scene.relay.process.send_signal(signal.SIGUSR2)
        scene.relay.wait_ready(count=i + 2)
        check_ledger(scene.relay.status())


def restart(scene, load, end):
    """The next process has other ports; clients learn of them, as from a service record."""
    end(scene.relay)
    scene.relay = load.relay = scene.start()
    check_ledger(scene.relay.status())


def kill_both(scene, load, n):
    for _ in range(n):
        time.sleep(random.uniform(0.02, 0.25))
        restart(scene, load, lambda relay: relay.kill())


def stop(scene, load, n):
    def ends(relay):
        began = time.monotonic()
        assert relay.stop() == 0, "exit code"
        assert time.monotonic() - began < 10.5, "later than its deadline"

    for _ in range(n):
        time.sleep(random.uniform(0.02, 0.25))
        restart(scene, load, ends)


KINDS = {"worker": kill_worker, "both": kill_both, "upgrade": upgrade, "stop": stop}
NEVER_REFUSES = ("worker", "upgrade")


def run(kind, n):
    scene = Scene()
    load = Load(scene.relay)
    began = time.monotonic()
    try:
        KINDS[kind](scene, load, n)
    finally:
        load.stop()
    duplicates = scene.settle(load.acked)
    scene.end()
    seconds = time.monotonic() - began
    # What was sent and not yet on record: half a second of it, and what was in flight.
    bound = n * (0.6 * len(load.acked) / seconds + CLIENTS * SPANS)
    assert duplicates <= bound, f"{duplicates} duplicates, more than {bound:.0f}"
    if kind in NEVER_REFUSES:
        assert load.refused == 0, f"{load.refused} connections refused"
    print(
        f"{kind}: {n} times in {time.monotonic() - began:.0f} s, acked={len(load.acked)} lost=0 altered=0 "
        f"duplicates={duplicates} requests_cut={load.cut} refused={load.refused}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, default in (("worker", 200), ("both", 50), ("upgrade", 20), ("stop", 50)):
        parser.add_argument("--" + kind, type=int, default=default)
    args = parser.parse_args()
    passed = failed = 0
    for kind in KINDS:
        n = getattr(args, kind)
        if n == 0:
            continue
        try:
            run(kind, n)
            passed += n
        except AssertionError as e:
            failed += 1
            print(f"{kind}: FAILED: {e}", flush=True)
    print(f"crash: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
