# SPDX-License-Identifier: Apache-2.0
"""Reloads a relay under load, one time in three with a faulty file: nothing is lost, nothing comes twice, no
trace is cut in two, no client's connection closes, budgets go on, and memory stays what it was.

  reload.py [--reloads N] [--quiet-seconds S]

Rules (50 of them), budgets, redaction (the default packs, compiled anew), the certificate of a listener, and
exporters change by turns: their headers, a second one with a token that comes and goes, where the first one sends,
where its token comes from, and what it trusts and shows. Prints how late acknowledgements were
without and with reloads, then `reload: N passed, N failed`."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../e2e"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../crash"))

import certs  # noqa: E402
import judged  # noqa: E402
import otlp  # noqa: E402
import peers  # noqa: E402
from lightstep import write  # noqa: E402
from relay import BINARY, Relay, check_ledger, is_sanitized  # noqa: E402
from test_tls import TlsBackend, files  # noqa: E402

LATE_MS = 50
WARM_UP = 60  # reloads, after which memory is what it will be: each change has come four times
RULES = "".join(
    f"    - {{ name: rule-{i}, when: 'any(span.name == \"no-{i}\" and resource.service.name != \"x\")', keep: 1% }}\n"
    for i in range(48)
)
CONFIG = """
sampling:
  wait: 600ms
  root_wait: 200ms
  trace_spans: 100
  rules:
    - { name: errors, when: "any(span.error)", keep: 100%%, protected: true }
%s    - { name: rest, keep: %s }
budgets:
  - { name: total, spans_per_second: %d, reserve: 40%%, debt: 60s }
redaction: { keys: { block: [%s] } }
journal: { limit: 256MiB }
"""


class Load(judged.Load):
    """That remembers how long each acknowledgement took."""

    def __init__(self, relay, trust):
        self.took, self.trust = [], trust
        super().__init__(relay)

    def connect(self, number):
        """Those that speak gRPC do so over TLS."""
        if number % 2:
            return super().connect(number)
        return peers.Http2(self.relay.grpc, certs.client(self.trust, alpn=["h2"]))

    def send(self, conn, number, body):
        begun = time.monotonic()
        sent = super().send(conn, number, body)
        self.took.append((begun, time.monotonic() - begun))
        return sent

    def late(self, since, until):
        took = sorted(t * 1000 for at, t in self.took if since <= at < until)
        p99 = took[int(len(took) * 0.99)] if took else 0
        return len(took), p99, took[-1] if took else 0, sum(t > LATE_MS for t in took)


def acks_of(relay):
    """By the relay's own clock, from a whole request to its answer: all, and the late ones."""
    page = relay.get("/metrics")[1]
    soon, n = (
        int(re.search(r'spanrelay_ack_seconds_bucket\{le="%s"\} (\d+)' % le, page)[1]) for le in ("0.05", r"\+Inf")
    )
    return n, n - soon


class Secrets:
    """Two of everything: authorities, certificates for the listener and to show to backends, files with tokens."""

    def __init__(self, folder):
        self.authorities = [certs.Authority(folder, f"ca{i}") for i in range(2)]
        self.bundle = os.path.join(folder, "bundle.pem")
        write(self.bundle, "".join(open(ca.cert).read() for ca in self.authorities))
        self.leaves = [ca.sign(f"leaf{i}") for i, ca in enumerate(self.authorities)]
        self.shown = [ca.sign(f"shown{i}") for i, ca in enumerate(self.authorities)]
        self.backend = self.authorities[0].sign("backend")
        self.token_files = [os.path.join(folder, f"token{i}") for i in range(3)]
        for i, path in enumerate(self.token_files):
            write(path, f"token-{i}")

    def serve(self):
        """A backend that lets in who shows a certificate of either authority."""
        return TlsBackend([certs.server(self.backend, self.bundle)])


class World:
    """The configuration, and what the next reload changes of it."""

    def __init__(self, folder, backends, secrets):
        self.backends, self.secrets = backends, secrets
        self.share, self.goal, self.keys, self.way, self.team, self.extra = "50%", 100000, "a", 0, "red", False
        self.leaf = self.shown = self.token = 0
        self.relay = Relay(folder, self.exporters(), extra=self.text(), grpc_tls=files(secrets.leaves[0]))
        self.client = self.connect()
        self.connected = 1

    def connect(self):
        trust = self.secrets.authorities[self.leaf].cert
        return peers.Http2(self.relay.grpc, certs.client(trust, alpn=["h2"]))

    def look_at_listener(self):
        """The connection that was there from the beginning is there; a new one meets the certificate of now."""
        for client in (self.client, self.connect()):
            answer = client.request(peers.grpc_message(otlp.request()), te="trailers")
            assert answer[2]["grpc-status"] == "0", answer
        client.close()
        self.connected += 1

    def text(self):
        return CONFIG % (RULES, self.share, self.goal, self.keys)

    def exporters(self):
        port = self.backends[self.way].port
        headers = "headers: { x-team: %s, x-token: { file: %s } }"
        main = (
            "{ name: main, protocol: http/protobuf, linger: 20ms, compression: none, "
            "retry: { initial: 50ms, max: 200ms }, endpoint: 'https://127.0.0.1:%d', tls: { ca_file: %s, %s }, %s }"
            % (
                port,
                (self.secrets.authorities[0].cert, self.secrets.bundle)[self.shown],
                files(self.secrets.shown[self.shown]),
                headers % (self.team, self.secrets.token_files[self.token]),
            )
        )
        extra = "{ name: extra, protocol: http/protobuf, endpoint: 'http://127.0.0.1:%d', %s }" % (
            self.backends[2].port,
            headers % (self.team, self.secrets.token_files[2]),
        )
        return [main, extra] if self.extra else [main]

    def turn(self, i):
        turns = [
            lambda: setattr(self, "share", "60%" if self.share == "50%" else "50%"),
            lambda: setattr(self, "goal", 300000 - self.goal),
            lambda: setattr(self, "keys", "b" if self.keys == "a" else "a"),
            lambda: setattr(self, "team", "blue" if self.team == "red" else "red"),
            lambda: setattr(self, "extra", not self.extra),
            lambda: setattr(self, "way", 1 - self.way),
            lambda: setattr(self, "token", 1 - self.token),
            lambda: setattr(self, "shown", 1 - self.shown),
            lambda: setattr(self, "leaf", 1 - self.leaf),
        ]
        turns[i % len(turns)]()

    def write(self, faulty, i):
        with open(self.relay.config) as f:
            head = f.read().split("\nsampling:")[0]
        for leaf in self.secrets.leaves:
            head = head.replace(files(leaf), files(self.secrets.leaves[self.leaf]))
        items = "".join(f"  - {e}\n" for e in self.exporters())
        text = head + "\n" + self.text() + "exporters:\n" + items
        if faulty and i % 2:
            text = text.replace("wait: 600ms", "wait: 600 bananas", 1)
        elif faulty:  # a key that is another certificate's
            mine, theirs = self.secrets.shown[self.shown], self.secrets.shown[1 - self.shown]
            text = text.replace(mine[1], theirs[1], 1)
        with open(self.relay.config + ".new", "w") as f:
            f.write(text)
        os.rename(self.relay.config + ".new", self.relay.config)

    def reload(self, i):
        faulty = i % 3 == 2
        if not faulty:
            self.turn(i // 3 * 2 + i % 3)
        self.write(faulty, i)
        done = subprocess.run(
            [BINARY, "reload", "--admin", f"127.0.0.1:{self.relay.admin}"], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == (78 if faulty else 0), (i, done, self.relay.text()[-2000:])
        assert faulty or "applied" in done.stdout, done
        self.look_at_listener()


def kept_by_budget(status):
    return status["sampling"]["budgets"][0]["spans"]["kept"]


def run(reloads, quiet_s):
    folder = tempfile.mkdtemp(prefix="spanrelay-reload-")
    secrets = Secrets(folder)
    backends = [secrets.serve(), secrets.serve(), peers.HttpBackend()]
    world = World(folder, backends, secrets)
    relay, memory, charged = world.relay, [], 0
    load = Load(relay, secrets.bundle)
    try:
        time.sleep(2)
        acks = [acks_of(relay)]
        quiet = (time.monotonic(), time.sleep(quiet_s) or time.monotonic())
        acks.append(acks_of(relay))
        for i in range(reloads):
            world.reload(i)
            status = relay.status()
            check_ledger(status)
            assert kept_by_budget(status) >= charged, "a budget began anew"
            charged = kept_by_budget(status)
            memory.append(status["memory"]["anonymous_bytes"] >> 20)
            time.sleep(0.2)
        busy = (quiet[1], time.monotonic())
        acks.append(acks_of(relay))
    finally:
        load.stop()
    relay.wait_until(
        lambda: relay.status()["ledger"]["pending"] == 0 and relay.exporter()["buffered"] == 0, 60
    )
    check_end(relay, load, backends, reloads, world)
    check_tokens(backends)
    check_memory(memory)
    report(load, quiet, busy, relay)
    check_acks(acks, reloads)
    print(f"  memory MiB after each: first {memory[0]}, after {min(WARM_UP, reloads)} "
          f"{memory[min(WARM_UP, reloads) - 1]}, last {memory[-1]}")
    assert relay.stop() == 0
    for b in backends:
        b.close()
    shutil.rmtree(folder)


class Both:
    """What the first exporter sent, wherever it was sent to."""

    def __init__(self, backends):
        self.backends = backends

    def spans(self):
        return [s for b in self.backends for s in b.spans()]


def check_tokens(backends):
    """Each came from its own file; nothing was sent without."""
    seen = [{h.get("x-token") for h in b.headers} for b in backends]
    assert seen[0] | seen[1] <= {"token-0", "token-1"} and seen[2] <= {"token-2"}, seen


def check_end(relay, load, backends, reloads, world):
    status = relay.status()
    check_ledger(status)
    assert load.cut == 0 and load.refused == 0, (load.cut, load.refused)
    assert relay.metric("spanrelay_connections_opened_total") == judged.CLIENTS + world.connected
    main = relay.exporter()
    assert main["sent"] == status["ledger"]["judged"]["kept"], main
    got = Both(backends[:2]).spans()
    assert len(got) == main["sent"], (len(got), main)
    check_traces(load.traces, got)
    ledger = status["ledger"]
    assert ledger["accepted"] == sum(len(t.spans) for t in load.traces) == len(load.acked)
    assert ledger["judged"]["damaged"] == 0
    total = kept_by_budget(status)
    assert abs(total - ledger["judged"]["kept"]) <= 0.02 * ledger["judged"]["kept"], (total, ledger)
    counted = status["configuration"]["reloads"]
    assert counted["applied"] == reloads - reloads // 3 and counted["invalid"] == reloads // 3, counted


def check_traces(traces, got):
    """Each is there whole, once, or not at all; an error is there."""
    counts = {}
    for s in got:
        counts[judged.bare(s[2])] = counts.get(judged.bare(s[2]), 0) + 1
    for t in traces:
        there = [counts.get(judged.bare(s), 0) for s in t.spans]
        assert set(there) <= {1} or set(there) <= {0}, f"a trace is split or came twice: {there}, error={t.error}"


def check_memory(memory):
    if len(memory) > WARM_UP + 10 and not is_sanitized():
        before, after = max(memory[WARM_UP - 6 : WARM_UP]), max(memory[-6:])
        assert after <= before * 1.1 + 4, f"memory grew from {before} to {after} MiB: {memory}"


def report(load, quiet, busy, relay):
    n, p99, most, late = load.late(*quiet)
    m, p99_busy, most_busy, late_busy = load.late(*busy)
    print(f"  ack without reloads: {n}, p99 {p99:.1f} ms, max {most:.1f} ms, {late} later than {LATE_MS} ms")
    print(f"  ack with reloads:    {m}, p99 {p99_busy:.1f} ms, max {most_busy:.1f} ms, {late_busy} later than {LATE_MS} ms")
    ms = [int(x) for x in re.findall(r"result=applied generation=\d+ build_ms=\d+ ms=(\d+)", relay.text())]
    print(f"  a reload took: median {sorted(ms)[len(ms) // 2]} ms, max {max(ms)} ms")


def check_acks(acks, reloads):
    """One that is late without a reload may be so with one."""
    (n, late), (m, late_busy) = [[b - a for a, b in zip(*two)] for two in (acks[:2], acks[1:])]
    print(f"  by the relay's clock: {late:.0f} of {n:.0f} later than {LATE_MS} ms, with reloads {late_busy:.0f} of {m:.0f}")
    may = (late + 1) / n * m * 2 + reloads / 50
    assert is_sanitized() or late_busy <= may, f"{late_busy} acks were late, {late} without reloads"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--quiet-seconds", type=float, default=10)
    args = parser.parse_args()
    try:
        run(args.reloads, args.quiet_seconds)
    except AssertionError as e:
        print(f"FAIL {str(e)[:2000]}")
        print("reload: 0 passed, 1 failed")
        return 1
    print(f"reload: {args.reloads} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
