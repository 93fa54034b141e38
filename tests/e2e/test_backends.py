# SPDX-License-Identifier: Apache-2.0
"""Backends that misbehave, each for a while and then no more: the relay lives, holds little memory, does
not connect more often than its backoff says, and everything arrives in the end, once. Each backend is an
exporter of its own; a group of them runs at once."""
import itertools
import os
import re
import socket
import ssl
import subprocess
import time

import pytest

import otlp
import peers
from relay import check_ledger, is_sanitized

HOSTILE_SECONDS = 1.0
SPANS = 20
MEMORY_CAP = 64 << 20  # of anonymous memory: a dozen exporters, answers of 4 MiB at most
SHORTEST_STEP = 0.025  # seconds: half of retry.initial

# ---- gRPC: each takes (backend, peer) once a connection stands ----


def pour(backend, peer, size):
    stream, _ = peer.request()
    peer.head(stream)
    peer.data(stream, grpc_head(size))
    chunk = bytes(16384)
    for _ in range(size // len(chunk)):
        peer.data(stream, chunk)
    peer.trailers(stream, grpc_status="14")


def grpc_head(size):
    return b"\0" + min(size, 0xFFFFFFFF).to_bytes(4, "big")


def endless_body(backend, peer):
    pour(backend, peer, 1 << 40)


def huge_body(backend, peer):
    pour(backend, peer, 100 << 20)


def slow_body(backend, peer):
    stream, _ = peer.request()
    peer.head(stream)
    while True:
        peer.data(stream, b"\0")
        time.sleep(1)


def compressed_answer(backend, peer):
    stream, body = peer.request()
    backend.taken.append(body[5:])  # it does say OK
    peer.head(stream, grpc_encoding="gzip")
    peer.data(stream, peers.grpc_message(os.urandom(100), 1))
    peer.trailers(stream, grpc_status="0")


def no_trailers(backend, peer):
    stream, _ = peer.request()
    peer.head(stream)
    peer.h2.end_stream(stream)
    peer.flush()


def wrong_trailers(backend, peer):
    stream, _ = peer.request()
    peer.head(stream)
    peer.trailers(stream, grpc_message="%%%zz%", x_status="0")


def status_garbage(backend, peer):
    for text in ("banana", "-1", "99999999999999999999", " 0", "0x0", ""):
        stream, _ = peer.request()
        peer.head(stream, grpc_status=text, end=True)


def huge_details(backend, peer):
    for size in (9 << 10, 15 << 10, 60 << 10):
        stream, _ = peer.request()
        peer.head(stream)
        peer.trailers(stream, grpc_status="14", grpc_status_details_bin="A" * size)


def bad_details(backend, peer):
    # no base64; a length of 4 GiB within (CVE-2026-40891)
    for text in ("====!!!!", "A", "EgX/////Dw==", "Gv////8P", "\x80\xff"):
        stream, _ = peer.request()
        peer.head(stream)
        peer.trailers(stream, grpc_status="8", grpc_status_details_bin=text)


RESET_CODES = itertools.count()


def resets(backend, peer):
    while True:
        stream, _ = peer.request()
        peer.sock.sendall(peers.frame(3, 0, stream, (next(RESET_CODES) % 16).to_bytes(4, "big")))


def reset_after_head(backend, peer):
    while True:
        stream, _ = peer.request()
        peer.head(stream)
        peer.sock.sendall(peers.frame(3, 0, stream, b"\0\0\0\2"))


def goaway(backend, peer):
    stream, _ = peer.request()
    peer.sock.sendall(peers.frame(7, 0, 0, bytes(4) + bytes(4)))  # nothing was looked at
    peer.request()


def goaway_calm(backend, peer):
    peer.request()
    peer.sock.sendall(peers.frame(7, 0, 0, bytes(4) + b"\0\0\0\x0btoo_many_pings"))


def no_window(backend, sock):
    sock.sendall(peers.frame(4, 0, 0, b"\0\4\0\0\0\0"))
    while sock.recv(65536):
        pass


def no_streams(backend, sock):
    sock.sendall(peers.frame(4, 0, 0, b"\0\3\0\0\0\0"))
    while sock.recv(65536):
        pass


def flood(kind, flags, payload, stream=0):
    def play(backend, sock):
        sock.sendall(peers.frame(4, 0, 0))
        while True:
            sock.sendall(peers.frame(kind, flags, stream, payload) * 100)

    return play


def continuation_flood(backend, sock):
    sock.sendall(peers.frame(4, 0, 0) + peers.frame(1, 0, 1, b"\x88"))
    while True:
        sock.sendall(peers.frame(9, 0, 1, b"\x00\x01a\x01b") * 100)


def informational_flood(backend, peer):
    stream, _ = peer.request()
    while True:  # :status 103 as a literal
        peer.sock.sendall(peers.frame(1, 4, stream, b"\x08\x03103") * 10)


def closed_after_each(backend, peer):
    stream, body = peer.request()
    backend.taken.append(body[5:])
    peer.ok(stream)


def push(backend, peer):
    stream, _ = peer.request()
    peer.sock.sendall(peers.frame(5, 4, stream, b"\0\0\0\2\x82\x86\x84\x41\x01x"))
    peer.request()


def silent(backend, sock):
    while sock.recv(65536):
        pass


def closed_at_once(backend, sock):
    pass


def garbage(backend, sock):
    sock.sendall(os.urandom(50000))


def speaks_http1(backend, sock):
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    silent(backend, sock)


# ---- OTLP/HTTP ----


def http1(*parts, taken=False, then=None):
    """Reads a request, then sends these bytes and perhaps more, for ever."""

    def play(backend, sock):
        while True:
            body = peers.read_http1(sock)
            if taken:
                backend.taken.append(body)
            for part in parts:
                sock.sendall(part)
            while then is not None:
                sock.sendall(then)
            if taken:
                return

    return play


def slow_http1(backend, sock):
    peers.read_http1(sock)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n":
        sock.sendall(bytes([byte]))
        time.sleep(1)


def answer_too_soon(backend, sock):
    sock.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" * 50)
    silent(backend, sock)


BUSY = b"HTTP/1.1 503 Busy\r\n"
OK = b"HTTP/1.1 200 OK\r\n"

HTTP = {
    "garbage": garbage,
    "closed at once": closed_at_once,
    "silent": silent,
    "slow": slow_http1,
    "too soon": answer_too_soon,
    "http 0.9": http1(b"<html>\n" * 10, then=None),
    "endless headers": http1(BUSY, then=b"X-A: " + b"b" * 5000 + b"\r\n"),
    "endless chunks": http1(BUSY + b"Transfer-Encoding: chunked\r\n\r\n", then=b"1000\r\n" + b"a" * 4096 + b"\r\n"),
    "endless chunk size": http1(BUSY + b"Transfer-Encoding: chunked\r\n\r\n", then=b"0" * 1000),
    "endless trailers": http1(BUSY + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", then=b"X: y\r\n" * 100),
    "endless body": http1(BUSY + b"\r\n", then=b"a" * 65536),
    "informational": http1(then=b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
}
HTTP_MORE = {
    "long length": http1(BUSY + b"Content-Length: 100\r\n\r\nshort"),
    "short length": http1(BUSY + b"Content-Length: 5\r\n\r\nmuch longer than that"),
    "two lengths": http1(BUSY + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456"),
    "negative length": http1(BUSY + b"Content-Length: -1\r\n\r\n"),
    "giant length": http1(BUSY + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    "100 MiB": http1(BUSY + b"Content-Length: %d\r\n\r\n" % (100 << 20), *[bytes(1 << 20)] * 100),
    "length and chunks": http1(BUSY + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "gzip": http1(OK + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!", taken=True),
    "closed after each": http1(OK + b"Content-Length: 0\r\n\r\n", taken=True),
    "redirect": http1(b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
    "bad retry-after": http1(BUSY + b"Retry-After: -5 \xff\r\nContent-Length: 0\r\n\r\n"),
}


def over_http2(play):
    return lambda backend, sock: play(backend, peers.Http2Peer(sock))


GRPC = {
    "endless body": over_http2(endless_body),
    "100 MiB": over_http2(huge_body),
    "slow": over_http2(slow_body),
    "compressed": over_http2(compressed_answer),
    "no trailers": over_http2(no_trailers),
    "wrong trailers": over_http2(wrong_trailers),
    "status garbage": over_http2(status_garbage),
    "huge details": over_http2(huge_details),
    "bad details": over_http2(bad_details),
    "resets": over_http2(resets),
    "reset after head": over_http2(reset_after_head),
    "closed after each": over_http2(closed_after_each),
}
GRPC_MORE = {
    "goaway": over_http2(goaway),
    "too many pings": over_http2(goaway_calm),
    "no window": no_window,
    "no streams": no_streams,
    "ping flood": flood(6, 0, bytes(8)),
    "settings flood": flood(4, 0, b"\0\4\0\0\xff\xff"),
    "window flood": flood(8, 0, b"\0\0\0\1"),
    "continuation flood": continuation_flood,
    "informational flood": over_http2(informational_flood),
    "push": over_http2(push),
    "silent": silent,
    "http/1": speaks_http1,
    "garbage": garbage,
}


SAY_OK = ("compressed", "closed after each", "gzip")


def run_group(start, players, protocol, good, scheme="http", context=None, options=""):
    backends = {
        name: peers.RawBackend(lambda b, sock, n, play=play: play(b, sock), good, context)
        for name, play in players.items()
    }
    exporters = [
        f"{{ name: {re.sub('[^a-z0-9]+', '-', name.lower())}, protocol: {protocol}, compression: none, linger: 10ms, "
        f"timeout: 300ms, retry: {{ initial: 50ms, max: 100ms }}, {options} "
        f'endpoint: "{scheme}://127.0.0.1:{b.port}" }}'
        for name, b in backends.items()
    ]
    relay = start(exporters=exporters)
    worker = relay.worker_pid()
    spans = [otlp.span() for _ in range(SPANS)]
    began = time.monotonic()
    assert peers.post(relay.http, otlp.request(*spans))[0] == 200
    most, early = 0, {}
    while time.monotonic() < began + HOSTILE_SECONDS:
        most = max(most, relay.status()["memory"]["anonymous_bytes"])
        time.sleep(0.05)
    for (name, b), e in zip(backends.items(), relay.status()["exporters"]):
        assert b.accepted != 0, name
        early[name] = e["sent"]
        b.turn()
    seconds = time.monotonic() - began
    for (name, b), e in zip(backends.items(), relay.status()["exporters"]):
        assert e["connects"] <= e["requests"] + 1, (name, e)
        assert e["connects"] <= seconds / SHORTEST_STEP + 4, (name, e)  # 4 calls at first
        assert e["requests"] <= seconds / SHORTEST_STEP + 60, (name, e)  # 60: a search for bad data
    try:
        relay.wait_until(lambda: all(e["buffered"] == 0 for e in relay.status()["exporters"]), 10)
    except AssertionError:
        late = [e for e in relay.status()["exporters"] if e["buffered"] != 0]
        raise AssertionError(f"{late}\n{relay.text()[-3000:]}") from None
    status = relay.status()
    check_ledger(status)
    for (name, b), e in zip(backends.items(), status["exporters"]):
        assert e["sent"] == SPANS, (name, e)
        assert early[name] in (0, SPANS if name in SAY_OK else 0), name  # it was hostile, then
        assert set(b.spans()) == set(spans), name
        b.close()
    assert most < MEMORY_CAP or is_sanitized()
    assert relay.worker_pid() == worker  # it never fell


@pytest.mark.parametrize("players", [GRPC, GRPC_MORE], ids=["answers", "frames"])
def test_a_hostile_grpc_backend_costs_no_span(start, players):
    run_group(start, players, "grpc", peers.good_grpc)


@pytest.mark.parametrize("players", [HTTP, HTTP_MORE], ids=["endless", "lies"])
def test_a_hostile_http_backend_costs_no_span(start, players):
    run_group(start, players, "http/protobuf", peers.good_http1)


def certificate(folder, name, host):
    key, cert = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={host}"]
        + ["-addext", f"subjectAltName=DNS:{host}"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def with_tls(context, play):
    def wrapped(backend, sock):
        tls = context.wrap_socket(sock, server_side=True)
        play(backend, tls)

    return wrapped


def test_tls_that_fails_costs_no_span(start, tmp_path):
    right, ca = certificate(tmp_path, "right", "backend.test")
    wrong_cert, _ = certificate(tmp_path, "stranger", "backend.test")
    # trusted all the same, but for another name: both stand in the file
    wrong_name, other = certificate(tmp_path, "other", "elsewhere.test")
    both = tmp_path / "both.pem"
    both.write_text(open(ca).read() + open(other).read())

    def must_not_be_reached(backend, sock):
        backend.taken.append(peers.read_http1(sock))

    players = {
        "wrong certificate": with_tls(wrong_cert, must_not_be_reached),
        "wrong name": with_tls(wrong_name, must_not_be_reached),
        "plain text": garbage,
        "plain http": speaks_http1,
        "stalled": silent,
        "closed": closed_at_once,
        "alert": lambda backend, sock: sock.sendall(b"\x15\x03\x03\0\2\2\x28"),
        "closed after hello": lambda backend, sock: sock.recv(10),
        "endless hello": lambda backend, sock: [sock.sendall(b"\x16\x03\x03\x40\0" + bytes(16384)) for _ in range(9999)],
        "closed within": with_tls(right, closed_at_once),
    }
    for protocol, good in (("http/protobuf", peers.good_http1),):
        options = f"tls: {{ ca_file: {both}, server_name: backend.test }},"
        run_group(start, players, protocol, good, "https", right, options)


def test_a_backend_that_flaps_gets_everything(start):
    """It comes and goes a hundred times; half of the connections die before the answer."""

    def flap(backend, sock):
        peers.read_http1(sock)

    players = {"flap": flap}
    backend = peers.RawBackend(lambda b, sock, n: flap(b, sock), peers.good_http1)
    relay = start(
        exporters=[
            "{ name: main, protocol: http/protobuf, compression: none, linger: 1ms, retry: { initial: 10ms, max: 10ms }, "
            f'endpoint: "http://127.0.0.1:{backend.port}" }}'
        ]
    )
    del players
    spans, seen_good = [], 0
    for i in range(100):
        batch = [otlp.span() for _ in range(3)]
        spans += batch
        assert peers.post(relay.http, otlp.request(*batch))[0] == 200
        backend.is_good = i % 2 == 0
        seen_good += backend.is_good
        for sock in list(backend.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        time.sleep(0.01)
    backend.turn()
    relay.wait_until(lambda: relay.status()["exporters"][0]["sent"] == len(spans))
    assert set(backend.spans()) == set(spans)
    check_ledger(relay.status())
    e = relay.status()["exporters"][0]
    assert e["connects"] <= e["requests"] + 1
    backend.close()


def test_three_bad_spans_of_a_thousand(start):
    """The backend refuses every request that holds one of them; 60 requests are enough."""
    spans = [otlp.span(f"s{i}") for i in range(1000)]
    bad = {spans[i] for i in (17, 500, 998)}
    taken, refused = [], []

    def picky(sock, _):
        peer = peers.Http2Peer(sock)
        while True:
            stream, body = peer.request()
            got = [s[2] for s in otlp.spans_of(body[5:])]
            if bad & set(got):
                refused.append(len(got))
                peer.head(stream, grpc_status="3", end=True)
            else:
                taken.extend(got)
                peer.ok(stream)

    backend = peers.RawBackend(lambda b, sock, n: picky(sock, None), picky)
    relay = start(
        exporters=[
            "{ name: main, protocol: grpc, compression: none, linger: 10ms, retry: { initial: 50ms, max: 100ms }, "
            f'endpoint: "http://127.0.0.1:{backend.port}" }}'
        ]
    )
    assert peers.post(relay.http, otlp.request(*spans))[0] == 200
    relay.wait_until(lambda: relay.status()["exporters"][0]["journal"] == 0)
    e = relay.status()["exporters"][0]
    assert (e["sent"], e["quarantine"], e["outbox"], sum(e["dropped"].values())) == (997, 3, 0, 0), e
    assert e["quarantined_spans"] == 3
    assert sorted(taken) == sorted(set(spans) - bad)
    assert e["requests"] == len(refused) + e["requests"] - len(refused) <= 60
    check_ledger(relay.status())
    backend.close()
