# SPDX-License-Identifier: Apache-2.0
"""A backend that knows which tokens are good, relays that send to it, and ways of changing a file."""
import os
import threading
import time

import pytest

import otlp
import peers
from relay import check_ledger

TOKENS = [letter * 32 for letter in "ABCDEFGH"]
A, B, C = TOKENS[:3]
QUICK = "credentials: { overlap: 10s, retry: 100ms, give_up: 5s, poll: 30s }"
REFUSALS = [
    {"grpc_status": "16"},
    {"grpc_status": "7"},
    {"grpc_status": "3", "grpc_message": f"access token is not valid (access_token:{A[:8]})"},
]


class Lightstep(peers.RawBackend):
    """Takes what comes with a token of `good`; the others are refused as `refusal` says."""

    def __init__(self, *good):
        self.good_tokens, self.seen, self.bodies, self.delay = set(good), [], [], 0
        self.refusal = {"grpc_status": "16"}
        self.lock = threading.Lock()
        super().__init__(None, self.serve)
        self.is_good = True

    def serve(self, sock, taken):
        peer = TokenPeer(sock)
        while True:
            stream, body = peer.request()
            token = peer.tokens.pop(stream)
            time.sleep(self.delay)
            with self.lock:
                self.seen.append(token)
                good = token in self.good_tokens
                if good:
                    self.bodies.append(peers.gzip.decompress(body[5:]) if body[0] else body[5:])
            if good:
                peer.ok(stream)
            else:
                peer.head(stream, end=True, **self.refusal)

    def count(self, token):
        with self.lock:
            return self.seen.count(token)

    def spans(self):
        with self.lock:
            return [s for body in self.bodies for s in otlp.spans_of(body)]


class TokenPeer(peers.Http2Peer):
    """Remembers the token of each stream, and that it must be in no compression table."""

    def __init__(self, sock):
        self.tokens = {}
        super().__init__(sock)

    def pump(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the relay")
        for e in self.h2.receive_data(data):
            if isinstance(e, peers.h2.events.RequestReceived):
                found = [f for f in e.headers if f[0] == b"lightstep-access-token"]
                assert len(found) <= 1 and all(not f.indexable for f in found), found
                self.tokens[e.stream_id] = found[0][1].decode() if found else None
            elif isinstance(e, peers.h2.events.DataReceived):
                self.bodies[e.stream_id] = self.bodies.get(e.stream_id, b"") + e.data
                if e.flow_controlled_length:
                    self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, peers.h2.events.StreamEnded):
                self.whole.append(e.stream_id)
        self.flush()


def write(path, text, mode=0o600):
    """In place."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
        f.write(text)


def replace(path, text):
    write(f"{path}.new", text)
    os.rename(f"{path}.new", path)


@pytest.fixture
def lightstep():
    b = Lightstep(A)
    yield b
    b.close()


@pytest.fixture
def token_file(tmp_path):
    path = str(tmp_path / "token")
    write(path, A + "\n")
    return path


@pytest.fixture
def run(start, lightstep, token_file):
    def make(extra=QUICK, env=None, options="", **kwargs):
        exporter = (
            f"{{ name: main, preset: lightstep, endpoint: 'http://127.0.0.1:{lightstep.port}', linger: 5ms, "
            f"retry: {{ initial: 50ms, max: 200ms }} {options} }}"
        )
        env = {**os.environ, **({"LS_ACCESS_TOKEN_FILE": token_file} if env is None else env)}
        return start(extra=extra, exporters=[exporter], env=env, **kwargs)

    return make


sent = 0


def send(relay, n=1):
    """n requests of one span each."""
    global sent
    for _ in range(n):
        sent += 1
        assert peers.export(relay.grpc, otlp.request(otlp.span(name=f"s{sent}")))[0] == 0


def delivered(relay, lightstep, n):
    relay.wait_until(lambda: len(lightstep.spans()) >= n)
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    assert len(lightstep.spans()) == n
    check_ledger(relay.status())
