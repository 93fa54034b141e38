# SPDX-License-Identifier: Apache-2.0
"""Tokens that change while the relay runs, before a backend that knows which ones are good. Whatever happens
to a token, no span is lost: what was accepted was delivered or is still there."""
import os
import signal
import threading
import time

import pytest

import peers
from lightstep import A, B, C, QUICK, REFUSALS, TOKENS, TokenPeer, delivered, replace, send, write
from lightstep import lightstep, run, token_file  # noqa: F401
from relay import check_ledger


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
