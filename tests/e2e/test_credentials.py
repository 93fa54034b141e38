# SPDX-License-Identifier: Apache-2.0
"""Tokens that change while the relay runs, before a backend that knows which ones are good. Whatever happens
to a token, no span is lost: what was accepted was delivered or is still there."""
import hashlib
import os
import signal
import subprocess
import threading
import time

import pytest

import otlp
import peers
from relay import BINARY, check_ledger

TOKENS = [letter * 32 for letter in "ABCDEFGH"]
A, B, C = TOKENS[:3]
QUICK = "credentials: { overlap: 10s, retry: 100ms, give_up: 5s, poll: 30s }"


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


def test_file_is_read_and_its_change_is_used_within_a_second(run, lightstep, token_file):
    relay = run()
    send(relay)
    delivered(relay, lightstep, 1)
    lightstep.good_tokens = {B}
    began = time.monotonic()
    replace(token_file, B + "\n")
    while lightstep.count(B) == 0:
        send(relay)
        time.sleep(0.02)
    assert time.monotonic() - began < 1
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    check_ledger(relay.status())


# ---- files ----


def swap_data(folder, n, text):
    """As the kubelet does: a folder of its own for each version, and `..data` renamed over."""
    os.mkdir(f"{folder}/..{n}")
    write(f"{folder}/..{n}/token", text)
    os.symlink(f"..{n}", f"{folder}/..data_tmp")
    os.rename(f"{folder}/..data_tmp", f"{folder}/..data")


def in_place(path):
    write(path, B + "\n")


def renamed_over(path):
    replace(path, B)


def written_in_two_halves(path):
    write(path, B[:10])
    time.sleep(0.4)  # the half is read, and is a token as good as any
    write(path, B)


def removed_and_back(path):
    os.remove(path)
    time.sleep(0.4)
    write(path, B + "\r\n")


def empty_for_a_while(path):
    write(path, "")
    time.sleep(0.4)
    write(path, B)


@pytest.mark.parametrize(
    "change", [in_place, renamed_over, written_in_two_halves, removed_and_back, empty_for_a_while]
)
def test_every_way_of_changing_a_file_loses_nothing(run, lightstep, token_file, change):
    lightstep.good_tokens = {A, B}
    relay = run()
    send(relay, 3)
    changing = threading.Thread(target=change, args=(token_file,))
    changing.start()
    n = 3
    while lightstep.count(B) == 0 or changing.is_alive():
        send(relay)
        n += 1
        time.sleep(0.02)
    changing.join()
    delivered(relay, lightstep, n)
    assert relay.exporter()["credential"]["state"] in ("promoted", "canary")


def test_kubernetes_swaps_a_volume(run, lightstep, tmp_path):
    folder = tmp_path / "volume"
    folder.mkdir()
    swap_data(folder, 0, A)
    os.symlink("..data/token", folder / "token")
    relay = run(env={"LS_ACCESS_TOKEN_FILE": str(folder / "token")})
    send(relay)
    delivered(relay, lightstep, 1)
    for n, token in enumerate(TOKENS[1:4], 1):
        lightstep.good_tokens.add(token)
        swap_data(folder, n, token)
        relay.wait_until(lambda: relay.exporter()["credential"]["current"]["generation"] == n + 1, 2)
        send(relay)
        delivered(relay, lightstep, n + 1)
        assert lightstep.seen[-1] == token


BAD = {
    "empty": "",
    "invalid": "${LS_ACCESS_TOKEN}",
    "invalid_": "{{ .token }}",
    "invalid__": "<your token>",
    "invalid___": "two words",
    "invalid____": f"{B}\n{C}\n{A}\n",
    "too_large": "x" * 9000,
}


def test_what_is_no_token_changes_nothing(run, lightstep, token_file):
    relay = run()
    send(relay)
    delivered(relay, lightstep, 1)
    n = 1

    def read_as(result):
        nonlocal n
        relay.wait_until(lambda: relay.exporter()["credential"]["last_read"] == result, 3)
        send(relay)
        n += 1
        delivered(relay, lightstep, n)

    for result, text in BAD.items():
        write(token_file, A)
        relay.process.send_signal(signal.SIGHUP)
        read_as("unchanged")
        write(token_file, text)
        read_as(result.rstrip("_"))
    os.remove(token_file)
    read_as("missing")
    os.mkfifo(token_file)
    relay.process.send_signal(signal.SIGHUP)
    read_as("not_a_plain_file")
    os.remove(token_file)
    write(token_file, B)
    os.chmod(token_file, 0o644)
    read_as("world_readable")
    assert set(lightstep.seen) == {A}
    assert "two words" not in relay.text() and "your token" not in relay.text()
    assert relay.metric('spanrelay_credential_reload_total{exporter="main",result="invalid"}') >= 5


def test_a_thousand_hangups_end_on_the_last_value(run, lightstep, token_file):
    lightstep.good_tokens = set(TOKENS)
    relay = run()
    began = time.monotonic()
    for n in range(1000):
        replace(token_file, TOKENS[n % 7])
        relay.process.send_signal(signal.SIGHUP)
    replace(token_file, TOKENS[7])
    relay.process.send_signal(signal.SIGHUP)
    took = time.monotonic() - began
    send(relay)
    relay.wait_until(lambda: lightstep.count(TOKENS[7]) != 0 or send(relay), 2)
    assert took < 5 and relay.process.poll() is None
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    check_ledger(relay.status())


# ---- what a backend does ----


def refused_at_first(lightstep, token_file):
    """Up to five minutes, says the vendor; here a second."""
    replace(token_file, B)
    time.sleep(1)
    lightstep.good_tokens = {A, B}


def old_one_dies_first(lightstep, token_file):
    lightstep.good_tokens = {B}
    time.sleep(0.5)
    replace(token_file, B)


def both_dead_for_a_while(lightstep, token_file):
    lightstep.good_tokens = set()
    replace(token_file, B)
    time.sleep(1)
    lightstep.good_tokens = {B}


def both_dead_until_a_third_one_comes(lightstep, token_file):
    lightstep.good_tokens = set()
    replace(token_file, C)
    time.sleep(1)
    lightstep.good_tokens = {B}
    replace(token_file, B)


REFUSALS = [
    {"grpc_status": "16"},
    {"grpc_status": "7"},
    {"grpc_status": "3", "grpc_message": f"access token is not valid (access_token:{A[:8]})"},
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["unauthenticated", "denied", "invalid_argument"])
@pytest.mark.parametrize(
    "story", [refused_at_first, old_one_dies_first, both_dead_for_a_while, both_dead_until_a_third_one_comes]
)
def test_no_refusal_of_a_token_costs_a_span(run, lightstep, token_file, story, refusal):
    lightstep.refusal = refusal
    relay = run()
    send(relay, 3)
    telling = threading.Thread(target=story, args=(lightstep, token_file))
    telling.start()
    n = 3
    while telling.is_alive():
        send(relay)
        n += 1
        time.sleep(0.02)
    delivered(relay, lightstep, n)
    relay.wait_until(lambda: lightstep.count(B) != 0 or send(relay))
    e = relay.exporter()
    assert e["quarantine"] == 0 and sum(e["dropped"].values()) == 0
    assert A[:8] not in relay.text() + relay.get("/status")[1]


def test_new_token_is_rejected_and_the_old_one_stays(run, lightstep, token_file):
    relay = run(extra="credentials: { overlap: 1s, retry: 50ms, give_up: 600ms }")
    send(relay)
    replace(token_file, B)
    n = 1
    while relay.exporter()["credential"]["state"] != "rejected":
        send(relay)
        n += 1
        time.sleep(0.05)
    tried = lightstep.count(B)
    time.sleep(1.2)
    send(relay, 3)
    delivered(relay, lightstep, n + 3)
    assert lightstep.count(B) == tried > 2
    relay.wait_for('error msg="credential" exporter=main state=rejected')


def test_bare_status_400_is_no_refusal_of_a_token(run, lightstep, token_file):
    """What Envoy in front of Lightstep says when it has enough."""
    relay = run()
    send(relay)
    delivered(relay, lightstep, 1)
    lightstep.good_tokens, real_head = set(), peers.Http2Peer.head

    def bare(peer, stream, end=False, **fields):
        peer.h2.send_headers(stream, [(":status", "400"), ("server", "envoy")], end_stream=True)
        peer.flush()

    TokenPeer.head = bare
    try:
        send(relay)
        relay.wait_until(lambda: relay.exporter()["state"] == "held_upstream")
        c = relay.exporter()["credential"]
        assert c["state"] == "promoted" and c["refusals"] == {"current": 0, "previous": 0}
    finally:
        TokenPeer.head = real_head
        lightstep.good_tokens = {A}
    delivered(relay, lightstep, 2)


def test_each_of_fifty_requests_in_flight_has_one_generation(start, tmp_path):
    """Two headers from one file: they belong together."""
    seen, path = [], str(tmp_path / "token")
    backend = peers.HttpBackend(answer=lambda n: (time.sleep(0.001), (200, {}))[1])
    write(path, TOKENS[0])
    exporter = (
        f"{{ name: main, protocol: http/protobuf, endpoint: 'http://127.0.0.1:{backend.port}', linger: 0ms, "
        f"concurrency: 50, batch: 1KiB, compression: none, headers: {{ x-plain: edge, "
        f"authorization: {{ file: {path}, prefix: 'Bearer ' }}, x-api-key: {{ file: {path} }} }} }}"
    )
    relay = start(extra=QUICK, exporters=[exporter])
    for round in range(8):
        replace(path, TOKENS[round])
        relay.process.send_signal(signal.SIGHUP)
        senders = [threading.Thread(target=send, args=(relay, 4)) for _ in range(12)]
        for t in senders:
            t.start()
        for t in senders:
            t.join()
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    for h in backend.headers:
        assert h["authorization"] == "Bearer " + h["x-api-key"] and h["x-plain"] == "edge"
        seen.append(h["x-api-key"])
    assert len(set(seen)) > 3 and set(seen) <= set(TOKENS)
    assert len(backend.spans()) == 8 * 12 * 4
    backend.close()


# ---- sources ----


def test_relay_starts_without_a_token_and_sends_when_there_is_one(run, lightstep, token_file):
    os.remove(token_file)
    relay = run()
    send(relay, 5)
    assert relay.get("/_ready")[0] == 200
    e = relay.exporter()
    assert e["state"] == "no_credential" and e["buffered"] == 5 and e["requests"] == 0
    assert e["credential"]["last_read"] == "missing"
    write(token_file, A)
    delivered(relay, lightstep, 5)


def test_two_lines_are_two_tokens(run, lightstep, token_file):
    write(token_file, f"{B}\n{A}\n")
    relay = run(extra="credentials: { overlap: 0s, retry: 50ms, give_up: 300ms }")
    send(relay, 3)
    delivered(relay, lightstep, 3)
    assert lightstep.count(B) >= 1
    time.sleep(1.5)
    send(relay, 3)
    delivered(relay, lightstep, 6)


def test_environment_file_is_read_again(run, lightstep, tmp_path):
    path = str(tmp_path / "env")
    write(path, f"# ours\nOTHER=1\nLS_ACCESS_TOKEN={A}\n")
    relay = run(env={"SPANRELAY_ENV_FILE": path})
    send(relay)
    delivered(relay, lightstep, 1)
    lightstep.good_tokens.add(B)
    replace(path, f'LS_ACCESS_TOKEN="{B}"\n')
    relay.wait_until(lambda: lightstep.count(B) != 0 or send(relay), 2)


def test_systemd_credential_is_found(run, lightstep, tmp_path):
    write(str(tmp_path / "ls_access_token"), A)
    relay = run(env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    send(relay)
    delivered(relay, lightstep, 1)
    assert relay.exporter()["credential"]["sources"][0]["variable"] == "CREDENTIALS_DIRECTORY"


WRONG = [
    ({"LS_ACCESS_TOKEN": A, "LS_ACCESS_TOKEN_FILE": "/x"}, "", ["LS_ACCESS_TOKEN ", "LS_ACCESS_TOKEN_FILE"]),
    ({"LS_ACCESS_TOKEN": A, "LS_TOKEN": B}, "", ["LS_ACCESS_TOKEN", "LS_TOKEN"]),
    ({"LS_ACCESS_TOKEN_FILE": "/x", "LIGHTSTEP_ACCESS_TOKEN_FILE": "/y"}, "", ["LIGHTSTEP_ACCESS_TOKEN_FILE"]),
    ({"T": A, "T_FILE": "/x"}, "headers: { a: { file_env: T_FILE } }", ["T ", "T_FILE"]),
    ({"T": A, "T_FILE": "/x"}, "headers: { a: { env: T } }", ["T ", "T_FILE"]),
    ({}, f"headers: {{ lightstep-access-token: {A} }}", ["LS_ACCESS_TOKEN"]),
    ({}, f"headers: {{ authorization: Bearer {A} }}", ["authorization"]),
]


@pytest.mark.parametrize("env, options, names", WRONG)
def test_what_contradicts_itself_stops_the_start(run, env, options, names):
    relay = run(env=env, options=", " + options if options else "", wait=False)
    assert relay.process.wait(10) == 78
    assert all(name in relay.text() for name in names), relay.text()
    assert A not in relay.text() and B not in relay.text()


# ---- secrecy ----


def environ(pid):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return f.read()


def test_no_token_is_found_where_it_does_not_belong(run, lightstep):
    """With tokens of the environment: in the log, on any page, on disk, in what the kernel shows."""
    lightstep.refusal = REFUSALS[2]
    secret = "swordfish-" + "z" * 22
    relay = run(
        env={"LS_ACCESS_TOKEN": A, "MY_TOKEN": secret, "PLAIN": "7s"},
        options=", timeout: '${env:PLAIN}', headers: { x-mine: { env: MY_TOKEN }, x-too: 'a ${env:MY_TOKEN}' }",
    )
    send(relay, 3)
    delivered(relay, lightstep, 3)
    lightstep.good_tokens = set()
    send(relay)
    relay.wait_until(lambda: relay.exporter()["state"] == "held_auth")
    os.kill(relay.worker_pid(), signal.SIGKILL)  # the keeper has it for the next one
    relay.wait_for('msg="ready"', 2)
    lightstep.good_tokens = {A}
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    found = environ(relay.process.pid) + environ(relay.worker_pid())
    found += relay.text().encode() + relay.get("/status")[1].encode() + relay.get("/metrics")[1].encode()
    for folder, _, files in os.walk(relay.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                found += f.read()
    for part in (A[:8].encode(), secret[:14].encode()):
        assert part not in found, found[max(0, found.index(part) - 200) :][:300]
    assert b"LS_ACCESS_TOKEN=" not in found.replace(b"LS_ACCESS_TOKEN=\0", b"")


def test_rotation_by_restart_loses_nothing(run, lightstep, tmp_path):
    lightstep.good_tokens = {A}
    relay = run(env={"LS_ACCESS_TOKEN": A})
    send(relay, 3)
    lightstep.good_tokens = {B}
    send(relay, 3)
    assert relay.stop() == 0
    relay = run(env={"LS_ACCESS_TOKEN": B}, name="second")
    send(relay, 3)
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    assert len({s[2] for s in lightstep.spans()}) == 9
    check_ledger(relay.status())


# ---- commands ----


def test_credentials_are_shown_and_the_previous_one_is_dropped(run, lightstep, token_file):
    lightstep.good_tokens = {A, B}
    relay = run()
    send(relay)
    delivered(relay, lightstep, 1)
    replace(token_file, B)
    relay.wait_until(lambda: lightstep.count(B) != 0 or send(relay), 2)

    def command(*words):
        return subprocess.run(
            [BINARY, "credentials", *words, "--admin", f"127.0.0.1:{relay.admin}"], capture_output=True, text=True
        )

    finger = {t: hashlib.sha256(t.encode()).hexdigest()[:12] for t in (A, B)}
    relay.wait_until(lambda: relay.exporter()["credential"]["state"] == "promoted")
    shown = command().stdout
    assert "promoted" in shown and token_file in shown and "LS_ACCESS_TOKEN_FILE" in shown
    assert finger[A] in shown and finger[B] in shown and A not in shown
    assert command("drop-previous", "other").returncode == 69
    assert command("drop-previous", "main").returncode == 0
    relay.wait_until(lambda: relay.exporter()["credential"]["previous"] is None)
    assert finger[A] not in command("--json").stdout
