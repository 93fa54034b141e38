# SPDX-License-Identifier: Apache-2.0
"""Every kind of bad input has one exact answer and one counter, and the connection lives on where the
protocol allows."""
import contextlib
import gzip
import os
import re
import socket
import struct
import zlib

import pytest

import otlp
import peers

GOOD = otlp.request(otlp.span())
LIMIT = 1 << 20


def deep(depth):
    value = b""
    for _ in range(depth):
        value = otlp.field(5, otlp.field(1, value))
    return otlp.field(1, otlp.field(1, otlp.field(1, otlp.field(1, "k") + otlp.field(2, value))))


BOMB = gzip.compress(bytes(8 * LIMIT))
EMPTIES = otlp.field(1, b"") * 400_000
DUPLICATE = otlp.field(1, otlp.field(1, b"") * 2)
PAD = b"\x00" * (LIMIT + 1)

# name, body, headers, HTTP status, reason counted
HTTP_CASES = [
    ("good", GOOD, {}, 200, None),
    ("empty request", b"", {}, 200, None),
    ("charset parameter", GOOD, {"content_type": "application/x-protobuf; charset=utf-8"}, 200, None),
    ("gzip", gzip.compress(GOOD), {"Content_Encoding": "gzip"}, 200, None),
    ("deflate", zlib.compress(GOOD), {"Content_Encoding": "deflate"}, 200, None),
    ("garbage", os.urandom(4) + b"\xff" * 60, {}, 400, "malformed"),
    ("truncated", GOOD[:-3], {}, 400, "malformed"),
    ("wrong wire type", b"\x08\x01", {}, 400, "malformed"),
    ("deep nesting", deep(10_000), {}, 400, "limit"),
    ("empty flood", EMPTIES, {}, 400, "limit"),
    ("repeated resource", DUPLICATE, {}, 400, "limit"),
    ("too large", PAD, {}, 413, "too_large"),
    ("bomb", BOMB, {"Content_Encoding": "gzip"}, 413, "too_large"),
    ("corrupt gzip", b"\x1f\x8b\x08garbage", {"Content_Encoding": "gzip"}, 400, "encoding"),
    ("empty gzip", b"", {"Content_Encoding": "gzip"}, 400, "encoding"),
    ("two gzip members", gzip.compress(GOOD) * 2, {"Content_Encoding": "gzip"}, 400, "encoding"),
    ("unknown encoding", GOOD, {"Content_Encoding": "br"}, 415, "encoding"),
    ("no content type", GOOD, {"content_type": None}, 415, "content_type"),
    ("html", GOOD, {"content_type": "text/html"}, 415, "content_type"),
    ("JSON lines", b"{}", {"content_type": "application/json-seq"}, 415, "content_type"),
    ("get", None, {"method": "GET"}, 405, "method"),
    ("metrics", GOOD, {"path": "/v1/metrics"}, 404, "path"),
    ("root", GOOD, {"path": "/"}, 404, "path"),
]


@pytest.fixture
def relay(start):
    return start(extra="limits: { request: 1MiB }")


def counter(relay, reason):
    return relay.metric(f'spanrelay_refused_requests_total{{reason="{reason}"}}')


def test_http_answers(relay):
    for name, body, options, status, reason in HTTP_CASES:
        before = counter(relay, reason) if reason else 0
        got, headers, data = peers.post(relay.http, body, **options)
        assert got == status, name
        assert "content-length" in headers, name
        if status == 200:
            assert data == b"", name
        else:
            assert dict(otlp.fields(data)).get(2), name  # google.rpc.Status.message
        if reason:
            assert counter(relay, reason) == before + 1, name
    assert relay.get("/_live")[0] == 200


def test_http_connection_survives_refusals(relay):
    import http.client

    conn = http.client.HTTPConnection("127.0.0.1", relay.http, timeout=10)
    for name, body, options, status, _ in HTTP_CASES:
        options = dict(options)
        if status == 413:
            continue  # its body is not read to the end: that connection is closed
        kind = options.pop("content_type", "application/x-protobuf")
        headers = {k.replace("_", "-"): v for k, v in options.items() if k == "Content_Encoding"}
        if kind:
            headers["Content-Type"] = kind
        conn.request(options.get("method", "POST"), options.get("path", "/v1/traces"), body, headers)
        answer = conn.getresponse()
        answer.read()
        assert answer.status == status, name
        assert answer.getheader("Connection") != "close", name
    conn.close()


# name, message bytes with framing, headers, grpc-status
GRPC_CASES = [
    ("good", peers.grpc_message(GOOD), {}, 0),
    ("grpc+proto", peers.grpc_message(GOOD), {"content_type": "application/grpc+proto"}, 0),
    ("no te", peers.grpc_message(GOOD), {}, 0),
    ("gzip", peers.grpc_message(gzip.compress(GOOD), 1), {"grpc_encoding": "gzip"}, 0),
    ("flag 0 under gzip", peers.grpc_message(GOOD), {"grpc_encoding": "gzip"}, 0),
    ("garbage", peers.grpc_message(b"\xff" * 60), {}, 3),
    ("deep", peers.grpc_message(deep(10_000)), {}, 3),
    ("empties", peers.grpc_message(EMPTIES), {}, 3),
    ("too large", peers.grpc_message(PAD), {}, 8),
    ("bomb", peers.grpc_message(BOMB, 1), {"grpc_encoding": "gzip"}, 8),
    ("length 4 GiB", b"\x00\xff\xff\xff\xff", {}, 8),
    ("flag without encoding", peers.grpc_message(GOOD, 1), {}, 13),
    ("flag 2", peers.grpc_message(GOOD, 2), {}, 13),
    ("cut off", peers.grpc_message(GOOD)[:-1], {}, 13),
    ("corrupt gzip", peers.grpc_message(b"\x1f\x8b\x08xx", 1), {"grpc_encoding": "gzip"}, 13),
    ("unknown encoding", peers.grpc_message(GOOD, 1), {"grpc_encoding": "snappy"}, 12),
    ("no message", b"", {}, 12),
    ("two messages", peers.grpc_message(GOOD) * 2, {}, 12),
    ("bad timeout", peers.grpc_message(GOOD), {"grpc_timeout": "15 seconds"}, 13),
    ("good timeout", peers.grpc_message(GOOD), {"grpc_timeout": "9992984u"}, 0),
    (
        "metrics service",
        peers.grpc_message(b""),
        {"path": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"},
        12,
    ),
    ("health", peers.grpc_message(b""), {"path": "/grpc.health.v1.Health/Check"}, 0),
    ("health of what", peers.grpc_message(otlp.field(1, "x")), {"path": "/grpc.health.v1.Health/Check"}, 5),
]


def test_grpc_answers_on_one_connection(relay):
    conn = peers.Http2(relay.grpc)
    for name, body, options, status in GRPC_CASES:
        headers, data, trailers = conn.request(body or None, **options)
        assert headers[":status"] == "200", name
        assert headers["content-type"] == "application/grpc", name
        assert trailers["grpc-status"] == str(status), (name, trailers)
        if status == 0 and "Health" not in options.get("path", ""):
            assert data == b"\0\0\0\0\0", name
        if status != 0:
            assert trailers.get("grpc-message"), name
            assert "google.rpc.retryinfo-bin" not in trailers, name
    conn.close()


@pytest.mark.parametrize(
    "options,status",
    [
        ({"content_type": "text/html"}, "415"),
        ({"content_type": "application/grpc-web+proto"}, "415"),
        ({"content_type": None}, "415"),
        ({"method": "GET"}, "405"),
    ],
)
def test_what_is_not_grpc_gets_plain_http(relay, options, status):
    conn = peers.Http2(relay.grpc)
    headers, _, trailers = conn.request(peers.grpc_message(GOOD), **options)
    assert headers[":status"] == status
    assert trailers == {}


def test_invalid_spans_are_rejected_one_by_one(relay, backend):
    bad = [
        otlp.span(trace_id=b"short"),
        otlp.span(span_id=bytes(8)),
        otlp.span(extra=otlp.field(4, b"odd")),
    ]
    good = [otlp.span(), otlp.span()]
    body = otlp.request(good[0], *bad, good[1])
    status, _, data = peers.post(relay.http, body)
    assert status == 200
    assert otlp.rejected(data) == 3
    code, message, _ = peers.export(relay.grpc, body)
    assert code == 0
    assert otlp.rejected(message) == 3
    relay.wait_until(lambda: len(backend.spans()) == 4)
    assert sorted(s[2] for s in backend.spans()) == sorted(good * 2)
    ledger = relay.status()["ledger"]
    assert (ledger["received"], ledger["rejected"], ledger["accepted"]) == (10, 6, 4)


def test_invalid_utf8_is_mended(relay, backend):
    body = otlp.request(otlp.span(extra=otlp.field(9, otlp.field(1, "http.url") + otlp.field(2, otlp.field(1, b"/\xff")))))
    assert peers.post(relay.http, body)[0] == 200
    relay.wait_until(lambda: backend.spans())
    assert b"/\xef\xbf\xbd" in backend.spans()[0][2]
    assert relay.metric("spanrelay_repaired_strings_total") == 1


def raw(port, data, want_close=True):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(data)
        out = b""
        while True:
            try:
                piece = s.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            out += piece
            if not want_close and b"\r\n\r\n" in out:
                break
        return out


def test_strict_http1_framing(relay):
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    for lines in (
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
    ):
        assert raw(relay.http, head + lines).startswith(b"HTTP/1.1 400 "), lines


def test_chunked_expect_and_upgrade(relay):
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    size = b"%x" % len(GOOD)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + GOOD + b"\r\n0\r\n\r\n"
    assert raw(relay.http, chunked, False).startswith(b"HTTP/1.1 200 ")
    length = b"Content-Length: %d\r\n" % len(GOOD)
    upgrade = head + length + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n"
    assert raw(relay.http, upgrade + GOOD, False).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", relay.http), timeout=10) as s:
        s.sendall(head + length + b"Expect: 100-continue\r\n\r\n")
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(GOOD)
        assert s.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_answered_in_order(relay):
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    one = head + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    two = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    out = raw(relay.http, one + two + one + last)
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", out)
    assert statuses == [b"200", b"200", b"200", b"404"]


def test_wrong_protocols_are_explained(relay):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(32)
    assert raw(relay.grpc, hello) == b""
    relay.wait_for("the client speaks TLS")
    answer = raw(relay.grpc, b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"4318" in answer
    relay.wait_for("HTTP/1.1 on the gRPC port")
    assert peers.export(relay.grpc, GOOD)[0] == 0


def test_http2_on_4318_serves_both(relay):
    conn = peers.Http2(relay.http)
    headers, body, _ = conn.request(GOOD, path="/v1/traces", content_type="application/x-protobuf")
    assert headers[":status"] == "200" and headers["content-length"] == "0"
    _, _, trailers = conn.request(peers.grpc_message(GOOD))
    assert trailers["grpc-status"] == "0"
    headers, _, _ = conn.request(GOOD, path="/v1/traces", content_type="text/plain")
    assert headers[":status"] == "415"


def test_a_reset_flood_is_cut_off(relay):
    conn = peers.Http2(relay.grpc)
    head = b"\x83\x86\x04\x02/x\x01\x01a"
    with pytest.raises((ConnectionError, OSError)):
        for i in range(100_000):
            stream = struct.pack(">I", 2 * i + 1)
            conn.sock.sendall(
                len(head).to_bytes(3, "big") + b"\x01\x04" + stream + head + b"\0\0\4\3\0" + stream + b"\0\0\0\x08"
            )
    assert relay.metric('spanrelay_connections_closed_total{reason="abuse"}') == 1
    assert peers.export(relay.grpc, GOOD)[0] == 0


def test_who_goes_amid_a_request_leaves_no_memory_behind(start, backend):
    relay = start()
    charged = lambda: relay.status()["memory"]["charged_bytes"]  # noqa: E731
    http2 = peers.Http2(relay.grpc)
    stream = http2.start(None, end=False)
    http2.send(stream, b"\0" + (8 << 20).to_bytes(4, "big") + bytes(40000), end=False)
    http1 = socket.create_connection(("127.0.0.1", relay.http))
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    http1.sendall(head + b"Content-Length: 80000\r\n\r\n" + bytes(40000))
    relay.wait_until(lambda: charged() >= 80000, seconds=5)
    for sock in (http2.sock, http1):
        sock.shutdown(socket.SHUT_WR)  # and it still could read
    relay.wait_until(lambda: charged() == 0, seconds=2)
    for sock in (http2.sock, http1):
        sock.settimeout(5)
        while sock.recv(65536):
            pass
        sock.close()
    # Who has said all there was gets an answer.
    http1 = socket.create_connection(("127.0.0.1", relay.http))
    http1.sendall(head + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
    http1.shutdown(socket.SHUT_WR)
    assert http1.recv(65536).startswith(b"HTTP/1.1 200 ")
    http1.close()


def test_memory_is_refused_with_a_delay(start):
    """Bodies that never end hold all the memory there is: their windows stay shut, others are told to
    come back, and when they are gone everything is as before."""
    relay = start(extra="limits: { memory: 16MiB }")
    conns = []
    for _ in range(4):
        conn = peers.Http2(relay.grpc)
        conn.sock.settimeout(0.5)
        stream = conn.start(None, end=False)
        with contextlib.suppress(TimeoutError):
            conn.send(stream, b"\0" + (8 << 20).to_bytes(4, "big") + bytes(7 << 20), end=False)
        conns.append(conn)
        if relay.get("/_ready")[0] == 503:
            break
    assert relay.get("/_ready")[0] == 503
    code, _, trailers = peers.export(relay.grpc, GOOD)
    assert code == 14
    assert trailers["google.rpc.retryinfo-bin"] == "CgIIAQ"
    assert "grpc-status-details-bin" in trailers
    status, headers, _ = peers.post(relay.http, GOOD)
    assert (status, headers["retry-after"]) == (503, "1")
    for conn in conns:
        conn.close()
    relay.wait_until(lambda: relay.get("/_ready")[0] == 200)
    assert peers.export(relay.grpc, GOOD)[0] == 0
