# SPDX-License-Identifier: Apache-2.0
"""No room: at the outbox's limit, and on a disk that another file filled to the last byte. Clients are told
to come back, what is dropped is counted, and it goes on as soon as there is room."""
import base64
import time

import pytest

import buffer
import disks
import otlp
import peers
from relay import check_ledger

AWAY = (503, {})
SPANS = 10  # of 100 kB: a request is a mebibyte
LARGE = otlp.attribute(9, "x", "x" * 104_000)


@pytest.fixture
def away(backend):
    backend.answer = lambda n: AWAY
    return backend


@pytest.fixture(params=["ext4", "tmpfs"])
def disk(request, tmp_path):
    """The data folder is a file system of its own."""
    d = disks.Disk(request.param, str(tmp_path), 96)
    yield d
    d.close()


def start_with(start, away, when_full, limit="64MiB"):
    extra = f"journal: {{ limit: 16MiB }}\noutbox: {{ limit: {limit}, when_full: {when_full} }}"
    return start(extra=extra, exporters=[buffer.exporter(away)])


def large():
    return [otlp.span(extra=LARGE) for _ in range(SPANS)]


def retry_delay(trailers):
    """Seconds, of the google.rpc.RetryInfo in a google.rpc.Status."""
    text = trailers["grpc-status-details-bin"]
    status = list(otlp.fields(base64.b64decode(text + "=" * (-len(text) % 4))))
    assert dict(status)[1] == 14
    detail = dict(dict(status)[3] and otlp.fields(dict(status)[3]))
    assert detail[1] == b"type.googleapis.com/google.rpc.RetryInfo"
    return dict(otlp.fields(dict(otlp.fields(detail[2]))[1]))[1]


def send(relay, spans):
    """True: acknowledged. Else it was refused as OTLP wants it, on both protocols in turn."""
    if send.turn ^ 1:
        code, _, trailers = peers.export(relay.grpc, otlp.request(*spans))
        assert code in (0, 14), code
        assert code == 0 or retry_delay(trailers) >= 1, trailers
    else:
        code, headers, _ = peers.post(relay.http, otlp.request(*spans))
        assert code in (200, 503), code
        assert code == 200 or int(headers["retry-after"]) >= 1, headers
        code = 0 if code == 200 else code
    send.turn ^= 1
    return code == 0


send.turn = 0


def fill(relay, refusals=6, most=400):
    """Sends until that many requests in a row are refused; gives what was acknowledged, in order."""
    acked, refused = [], 0
    while refused < refusals:
        spans = large()
        if send(relay, spans):
            acked += spans
            refused = 0
            most -= 1
            assert most > 0, "it is never full"
        else:
            refused += 1
            time.sleep(0.1)  # it may be but the outbox that cannot follow
    return acked


def again_within(relay, seconds):
    """What is sent from now on is acknowledged; gives it."""
    begin, spans = time.monotonic(), large()
    while not send(relay, spans):
        assert time.monotonic() - begin < seconds, relay.text()[-2000:]
        time.sleep(0.02)
    relay.wait_until(lambda: relay.get("/_ready")[0] == 200, seconds=seconds)
    return spans


IN_FLIGHT = (4 << 20) // 100_000  # spans of one request: what is under way to the backend cannot be dropped


def check_arrived(relay, backend, acked, dropped=0):
    """All that was acknowledged but for the oldest `dropped` spans, once, and an account that says so."""
    buffer.wait_drained(relay)
    arrived = buffer.arrived(backend)
    assert len(arrived) == len(set(arrived)) == len(acked) - dropped
    assert set(arrived) <= set(acked)
    assert set(acked) - set(arrived) <= set(acked[: dropped + IN_FLIGHT * (dropped > 0)])
    check_ledger(relay.status())
    e = relay.exporter()
    assert e["sent"] == len(acked) - dropped
    assert e["dropped"]["outbox_full"] == sum(e["dropped"].values()) == dropped, e


def come_back(backend):
    backend.answer = lambda n: (200, {})


def test_at_its_limit_it_refuses_and_loses_nothing(start, away):
    relay = start_with(start, away, "refuse", "256MiB")
    acked = fill(relay)
    assert 224 << 20 < relay.exporter()["outbox_bytes"] <= 256 << 20  # a segment is an eighth of the limit
    assert 224 + 8 < len(acked) / SPANS <= 256 + 16
    assert relay.get("/_ready") == (503, "the journal is full\n")
    assert relay.metric('spanrelay_refused_requests_total{reason="journal_full"}') >= 6
    relay.wait_for('msg="the outbox is full, the journal fills" exporter=main')
    assert "disk is full" not in relay.text()
    come_back(away)
    acked += again_within(relay, 5)
    check_arrived(relay, away, acked)


def test_at_its_limit_it_drops_the_oldest_and_says_how_many(start, away):
    relay = start_with(start, away, "drop_oldest", "256MiB")
    acked = []
    for _ in range(330):
        acked += again_within(relay, 5)
    relay.wait_until(lambda: not relay.exporter()["spilling"], seconds=5)
    dropped = relay.exporter()["dropped"]["outbox_full"]
    assert 60 <= dropped / SPANS <= 60 + 3 * 32
    assert relay.exporter()["outbox_bytes"] <= 256 << 20
    assert relay.metric('spanrelay_exporter_dropped_spans_total{exporter="main",reason="outbox_full"}') == dropped
    relay.wait_for('msg="the outbox is full, its oldest spans were dropped" exporter=main')
    come_back(away)
    check_arrived(relay, away, acked, dropped)


def spill(relay, away):
    """Some of it is in the outbox."""
    acked = []
    for _ in range(24):
        acked += again_within(relay, 2)
    buffer.wait_spilled(relay)
    return acked


def check_recovered(relay, disk, away, acked, worker):
    """Room for the disk's other file was room for the relay within 5 s, and nobody died."""
    disk.free()
    for _ in range(10):
        acked += again_within(relay, 5)
    buffer.wait_spilled(relay)
    dropped = relay.exporter()["dropped"]["outbox_full"]
    come_back(away)
    check_arrived(relay, away, acked, dropped)
    assert relay.worker_pid() == worker, relay.text()
    return dropped


@pytest.mark.parametrize("filled, when_full", [("first", "refuse"), ("later", "refuse"), ("first", "drop_oldest")])
def test_a_full_disk_refuses_and_then_goes_on(disk, start, away, filled, when_full):
    relay = start_with(start, away, when_full)
    worker = relay.worker_pid()
    acked = spill(relay, away) if filled == "later" else []
    assert disk.fill() == 0
    acked += fill(relay)
    relay.wait_until(lambda: acked.extend(fill(relay, 1)) or not relay.status()["ready"], seconds=5)
    assert relay.status()["reason"] in ("the journal is full", "the journal cannot be written")
    assert relay.status()["journal"]["disk_free_bytes"] <= 16 << 20  # what is sealed gives back
    relay.wait_for("the disk is full")
    assert check_recovered(relay, disk, away, acked, worker) == 0


@pytest.mark.parametrize("disk", ["ext4"], indirect=True)  # in memory the journal has no space of its own, and refuses
def test_a_full_disk_drops_the_oldest_and_goes_on(disk, start, away):
    relay = start_with(start, away, "drop_oldest")
    worker = relay.worker_pid()
    acked = spill(relay, away)
    assert disk.fill() == 0
    for _ in range(30):
        acked += again_within(relay, 5)
    relay.wait_for("the disk is full")
    relay.wait_for('msg="the outbox is full, its oldest spans were dropped" exporter=main')
    assert check_recovered(relay, disk, away, acked, worker) > 0


def test_a_start_on_a_full_disk_takes_nothing_and_loses_nothing(disk, start, away):
    relay = start_with(start, away, "refuse")
    acked = []
    for _ in range(24):
        acked += again_within(relay, 1)
    time.sleep(0.3)  # what is half moved into the outbox wants space to be taken back: docs/operations.md
    relay.kill()
    disk.fill()
    come_back(away)
    extra = "journal: { limit: 16MiB }\noutbox: { limit: 64MiB }"
    second = start(extra=extra, exporters=[buffer.exporter(away)], name="second")
    second.wait_until(lambda: second.exporter()["buffered"] == 0, seconds=5)
    assert set(buffer.arrived(away)) == set(acked)
    check_ledger(second.status())
    disk.free()
    acked += again_within(second, 5)
    second.wait_until(lambda: set(buffer.arrived(away)) == set(acked))
    check_ledger(second.status())
    assert sum(second.exporter()["dropped"].values()) == 0
