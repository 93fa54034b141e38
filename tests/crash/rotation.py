# SPDX-License-Identifier: Apache-2.0
"""Rotates the token of a relay under load, with kills between some of the rotations.

  rotation.py [--rotations N] [--kill-every K] [--seed S]

Clients send until each request is acknowledged. The backend knows which tokens are good and, rotation by
rotation, behaves as one of those that were seen: it knows the new token at once, or late, or forgets the old
one first. At the end every acknowledged span is there, no request had a token that was never issued, none had
an old one once the new one was promoted, the ledger adds up, and no token is in any file, page or environment.
Prints one line, then `rotation: N passed, N failed`."""
import argparse
import hashlib
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

import lightstep  # noqa: E402
import otlp  # noqa: E402
import peers  # noqa: E402
from relay import Relay, check_ledger  # noqa: E402

CLIENTS = 3
PAUSE_S = 0.004
IN_FLIGHT_S = 0.5  # what was on its way with the old token when the new one was promoted
CONFIG = "credentials: { overlap: 60s, retry: 50ms, give_up: 30s }"


class Backend(lightstep.Lightstep):
    """Remembers when each token came."""

    def __init__(self, *good):
        super().__init__(*good)
        self.refusal = {"grpc_status": "16", "grpc_message": "no"}
        self.seen = Times()


class Times(list):
    def append(self, token):
        super().append((time.monotonic(), token))

    def since(self, moment):
        at = len(self)
        while at > 0 and self[at - 1][0] > moment:
            at -= 1
        return {token for _, token in self[at:]}


class Load:
    def __init__(self, relay):
        self.relay, self.acked, self.stopping = relay, [], False
        self.threads = [threading.Thread(target=self.send) for _ in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def send(self):
        while not self.stopping:
            span_id = os.urandom(8)
            body = otlp.request(otlp.span(span_id=span_id))
            while not self.is_taken(body):
                time.sleep(0.02)
            self.acked.append(span_id)
            time.sleep(PAUSE_S)

    def is_taken(self, body):
        try:
            return peers.export(self.relay.grpc, body)[0] == 0
        except (OSError, ConnectionError, KeyError, AssertionError):
            return False

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join()


def token_number(n):
    return hashlib.sha256(b"rotation %d" % n).hexdigest()[:32]


def credential(relay):
    try:
        return relay.exporter()["credential"]
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None  # it is being started


def fingerprint(token):
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def is_promoted(relay, token):
    c = credential(relay)
    return c and c["state"] == "promoted" and c["current"]["fingerprint"] == fingerprint(token)


def change(path, token, relay):
    if random.random() < 0.5:
        lightstep.replace(path, token)
    else:
        lightstep.write(path, token)
    if random.random() < 0.5:
        relay.process.send_signal(signal.SIGHUP)


def rotate(n, path, relay, backend, kill):
    """The n-th token takes over from the one before; gives what went wrong."""
    old, new = token_number(n - 1), token_number(n)
    how = random.choice(["at once", "late", "old first"])
    backend.good_tokens = {"at once": {old, new}, "late": {old}, "old first": {new}}[how]
    change(path, new, relay)
    if kill:
        time.sleep(random.random() * 0.5)
        while credential(relay) is None:
            time.sleep(0.02)
        os.kill(relay.worker_pid(), signal.SIGKILL)
    if how == "late":
        time.sleep(random.random() * 0.3)
        backend.good_tokens = {old, new}
    deadline = time.monotonic() + 20
    while not is_promoted(relay, new) and time.monotonic() < deadline:
        time.sleep(0.01)
    promoted = time.monotonic()
    if promoted >= deadline:
        return f"rotation {n} ({how}) is not promoted: {credential(relay)}"
    backend.good_tokens = {new}
    return (promoted + IN_FLIGHT_S, old)


def stale(backend, promotions):
    """Tokens that came although a newer one had been promoted for a while."""
    found, since = [], 0
    for until, old in promotions:
        if old in backend.seen.since(max(until, since)):
            found.append(old)
    return found


def files_of(folder):
    for where, _, files in os.walk(folder):
        for name in files:
            yield os.path.join(where, name)


def leaks(relay, tokens, token_file):
    """Where a token is found that should be in no such place."""
    places = {path: open(path, "rb").read() for path in files_of(relay.folder) if path != token_file}
    for page in ("/status", "/metrics"):
        places[page] = relay.get(page)[1].encode()
    for pid in (relay.process.pid, relay.worker_pid()):
        places[f"environ of {pid}"] = open(f"/proc/{pid}/environ", "rb").read()
    return [place for place, text in places.items() if any(t[:12].encode() in text for t in tokens)]


def run(args, folder):
    token_file = os.path.join(folder, "token")
    lightstep.write(token_file, token_number(0))
    backend = Backend(token_number(0))
    exporter = (
        f"{{ name: main, preset: lightstep, endpoint: 'http://127.0.0.1:{backend.port}', linger: 5ms, "
        "retry: { initial: 20ms, max: 200ms } }"
    )
    relay = Relay(folder, [exporter], CONFIG, env={**os.environ, "LS_ACCESS_TOKEN_FILE": token_file})
    load, wrong, promotions, kills = Load(relay), [], [], 0
    for n in range(1, args.rotations + 1):
        kill = args.kill_every != 0 and n % args.kill_every == 0
        kills += kill
        result = rotate(n, token_file, relay, backend, kill)
        (promotions if isinstance(result, tuple) else wrong).append(result)
    time.sleep(IN_FLIGHT_S * 2)
    load.stop()
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0, 60)
    check_ledger(relay.status())
    tokens = {token_number(n) for n in range(args.rotations + 1)}
    delivered = [s for _, _, span in backend.spans() for k, s in otlp.fields(span) if k == 2]
    lost = set(load.acked) - set(delivered)
    wrong += [f"{len(lost)} spans are lost"] * bool(lost)
    wrong += [f"unknown token {t}" for t in {t for _, t in backend.seen} - tokens]
    wrong += [f"stale token {t}" for t in stale(backend, promotions)]
    wrong += [f"a token is in {place}" for place in leaks(relay, tokens, token_file)]
    wrong += ["the relay ended badly"] * (relay.stop() != 0)
    print(
        f"{args.rotations} rotations, {kills} kills, {len(load.acked)} spans acknowledged, "
        f"{len(delivered)} delivered, {len(lost)} lost, {len(backend.seen)} requests"
    )
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rotations", type=int, default=1000)
    parser.add_argument("--kill-every", type=int, default=7)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    random.seed(args.seed)
    folder = tempfile.mkdtemp(prefix="spanrelay-rotation-")
    wrong = run(args, folder)
    for w in wrong:
        print(f"FAIL seed {args.seed}: {w}")
    if not wrong:
        shutil.rmtree(folder)
    print(f"rotation: {args.rotations - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
