# SPDX-License-Identifier: Apache-2.0
"""What is acknowledged arrives, once it can, and the account is exact."""
import os
import signal
import threading
import time

import otlp
import peers
from relay import Relay, check_ledger


def send(relay, n, service="shop", spans=3):
    """n requests by turns over gRPC and HTTP; the acknowledged spans."""
    acked = []
    for i in range(n):
        batch = [otlp.span(name=f"{service} {i}") for _ in range(spans)]
        body = otlp.request(*batch, service=service)
        if i % 2:
            assert peers.post(relay.http, body)[0] == 200
        else:
            assert peers.export(relay.grpc, body, compress=i % 4 == 0)[0] == 0
        acked += batch
    return acked


def arrived(backend):
    return sorted(s[2] for s in backend.spans())


def test_spans_arrive_unchanged_and_are_accounted_for(start, backend):
    relay = start()
    acked = send(relay, 20)
    relay.wait_until(lambda: len(backend.spans()) == len(acked))
    assert arrived(backend) == sorted(acked)
    relay.wait_until(lambda: relay.status()["exporters"][0]["sent"] == len(acked))
    check_ledger(relay.status())
    assert relay.status()["exporters"][0]["buffered"] == 0
    assert backend.headers[0]["content-encoding"] == "gzip"


def test_equal_resources_are_merged(start, backend):
    relay = start(
        exporters=[
            "{ name: main, protocol: http/protobuf, linger: 300ms, compression: none, "
            f'endpoint: "http://127.0.0.1:{backend.port}" }}'
        ]
    )
    acked = send(relay, 6) + send(relay, 6, service="cart")
    relay.wait_until(lambda: len(backend.spans()) == len(acked))
    assert arrived(backend) == sorted(acked)
    for body in backend.bodies:
        headers = [s[0] for s in otlp.spans_of(body)]
        envelopes = [v for n, v in otlp.fields(body)]
        assert len(envelopes) == len(set(headers))


def test_an_outage_holds_and_catches_up(start, backend):
    relay = start()
    port = backend.port
    backend.close()
    acked = send(relay, 10)
    relay.wait_until(lambda: relay.status()["exporters"][0]["state"] == "retrying")
    check_ledger(relay.status())
    assert relay.status()["exporters"][0]["buffered"] == len(acked)
    again = peers.HttpBackend(port)
    relay.wait_until(lambda: len(again.spans()) == len(acked))
    assert arrived(again) == sorted(acked)
    again.close()


def test_one_dead_exporter_does_not_slow_the_other(start, backend):
    dead = peers.HttpBackend()
    dead.close()
    item = '{{ name: {}, protocol: http/protobuf, linger: 10ms, retry: {{ initial: 50ms, max: 200ms }}, endpoint: "http://127.0.0.1:{}" }}'
    relay = start(exporters=[item.format("alive", backend.port), item.format("dead", dead.port)])
    acked = send(relay, 20)
    relay.wait_until(lambda: len(backend.spans()) == len(acked), seconds=3)
    relay.wait_until(lambda: relay.status()["exporters"][0]["sent"] == len(acked), seconds=3)
    status = relay.status()
    check_ledger(status)
    assert status["exporters"][1]["buffered"] == len(acked)
    back = peers.HttpBackend(dead.port)
    relay.wait_until(lambda: len(back.spans()) == len(acked))
    assert arrived(back) == sorted(acked)
    back.close()
    assert arrived(backend) == sorted(acked)


def test_auth_refusals_hold_the_data(start, backend):
    backend.answer = lambda n: (401, {}) if n < 3 else (200, {})
    relay = start()
    acked = send(relay, 2)
    relay.wait_until(lambda: relay.status()["exporters"][0]["state"] == "held_auth")
    assert relay.status()["exporters"][0]["buffered"] == len(acked)
    relay.wait_until(lambda: len(backend.spans()) == len(acked))
    check_ledger(relay.status())


def test_retry_after_is_honoured(start, backend):
    seen = []

    def answer(n):
        seen.append(time.monotonic())
        return (503, {"Retry-After": "1"}) if n == 0 else (200, {})

    backend.answer = answer
    relay = start()
    acked = send(relay, 1)
    relay.wait_until(lambda: len(backend.spans()) == len(acked))
    assert seen[1] - seen[0] >= 0.95


def test_killed_together_and_started_again(start, backend):
    """Keeper and worker die by SIGKILL while a backend is down; the next start delivers all."""
    relay = start()
    port = backend.port
    backend.close()
    acked = send(relay, 15)
    relay.kill()
    second = start(name="second")
    status = second.status()
    check_ledger(status)
    assert status["exporters"][0]["buffered"] == len(acked)
    assert status["ledger"]["received"] == len(acked)
    again = peers.HttpBackend(port)
    second.wait_until(lambda: len(again.spans()) >= len(acked))
    assert arrived(again) == sorted(acked)
    again.close()


def test_a_killed_worker_is_replaced_and_nobody_is_refused(start, backend):
    relay = start()
    acked, refused, stop = [], [], threading.Event()

    def client():
        while not stop.is_set():
            batch = [otlp.span() for _ in range(5)]
            try:
                if peers.post(relay.http, otlp.request(*batch))[0] == 200:
                    acked.extend(batch)
            except ConnectionRefusedError as e:
                refused.append(e)
            except (OSError, ConnectionError, peers.http.client.HTTPException):
                pass  # cut in mid-flight: not acknowledged

    threads = [threading.Thread(target=client) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(5):
        time.sleep(0.15)
        os.kill(relay.worker_pid(), signal.SIGKILL)
        relay.wait_ready(count=i + 2)
    stop.set()
    for t in threads:
        t.join()
    assert refused == [] and acked
    relay.wait_until(lambda: set(acked) <= {s[2] for s in backend.spans()})
    relay.wait_until(lambda: relay.status()["exporters"][0]["buffered"] == 0)
    check_ledger(relay.status())
    assert set(arrived(backend)) >= set(acked)


def test_upgrade_under_load(start, backend):
    relay = start()
    old = relay.worker_pid()
    acked, failed, stop = [], [], threading.Event()

    def client():
        while not stop.is_set():
            batch = [otlp.span() for _ in range(5)]
            try:
                if peers.post(relay.http, otlp.request(*batch))[0] == 200:
                    acked.extend(batch)
            except Exception as e:  # noqa: BLE001 - a request must not fail at all
                failed.append(e)

    thread = threading.Thread(target=client)
    thread.start()
    time.sleep(0.1)
    relay.process.send_signal(signal.SIGUSR2)
    relay.wait_for('msg="upgrade done"')
    relay.wait_ready(count=2)
    time.sleep(0.1)
    stop.set()
    thread.join()
    assert relay.worker_pid() != old
    assert [e for e in failed if isinstance(e, ConnectionRefusedError)] == []
    relay.wait_until(lambda: set(acked) <= {s[2] for s in backend.spans()})
    check_ledger(relay.status())


def test_sigterm_under_load_loses_nothing(start, backend):
    relay = start(extra="shutdown: { deadline: 5s }")
    acked, stop = [], threading.Event()

    def client():
        while not stop.is_set():
            batch = [otlp.span() for _ in range(5)]
            try:
                if peers.export(relay.grpc, otlp.request(*batch))[0] == 0:
                    acked.extend(batch)
            except (OSError, AssertionError, KeyError):
                time.sleep(0.01)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < 6
    stop.set()
    for t in threads:
        t.join()
    second = start(name="second")
    second.wait_until(lambda: set(acked) <= {s[2] for s in backend.spans()})
    check_ledger(second.status())


def test_a_worker_that_does_not_stop_is_killed(start):
    relay = start(exporters=[])
    worker = relay.worker_pid()
    os.kill(worker, signal.SIGSTOP)
    relay.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # what comes sooner is the same signal sent twice
    assert relay.process.poll() is None
    relay.process.send_signal(signal.SIGTERM)
    assert relay.process.wait(timeout=5) == 128 + signal.SIGKILL
    assert f'msg="worker does not stop and is killed" pid={worker}' in relay.text()


def test_relays_in_a_chain_over_grpc(start, backend, tmp_path):
    """edge -> gRPC, zstd -> centre -> HTTP, gzip -> backend: the same bytes come out."""
    centre = start(name="centre")
    (tmp_path / "edge").mkdir()
    item = (
        "{ name: centre, protocol: grpc, compression: zstd, linger: 10ms, headers: { x-team: edge }, "
        f'endpoint: "http://127.0.0.1:{centre.grpc}" }}'
    )
    edge = Relay(str(tmp_path / "edge"), [item])
    acked = send(edge, 30)
    centre.wait_until(lambda: len(backend.spans()) == len(acked))
    assert arrived(backend) == sorted(acked)
    edge.wait_until(lambda: edge.status()["exporters"][0]["sent"] == len(acked))
    check_ledger(edge.status())
    check_ledger(centre.status())
    assert edge.stop() == 0
