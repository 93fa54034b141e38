# SPDX-License-Identifier: Apache-2.0
"""What needs nothing but the distribution's packages: curl, nghttp, h2load, python3-h2, and Kong's bytes.
`make interop INTEROP=local` runs this file alone, and so does CI."""
import os
import random
import socket
import struct
import subprocess

import pytest

import otlp
import peers
import programs
from checks import all_arrived, compare

EXPORT_URL = "http://127.0.0.1:{}/v1/traces"


def request_file(folder, spans, bytes_each=200, framed=False):
    """A file with an OTLP request; its spans."""
    batch = [otlp.span(f"span {i}", extra=otlp.attribute(9, "filler", "x" * bytes_each)) for i in range(spans)]
    body = otlp.request(*batch)
    path = os.path.join(str(folder), "request.bin")
    with open(path, "wb") as f:
        f.write(peers.grpc_message(body) if framed else body)
    return path, batch


def tool(*command):
    programs.need(command[0])
    done = subprocess.run(command, text=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


CURL = {
    "chunked": (["-H", "Transfer-Encoding: chunked"], 50, 200),
    "Expect: 100-continue": (["-H", "Expect: 100-continue"], 50, 200),
    "2 MiB, its own Expect": ([], 20, 100_000),
    "HTTP/2 prior knowledge": (["--http2-prior-knowledge"], 50, 200),
    "HTTP/2 by Upgrade, ignored": (["--http2"], 50, 200),
    "HTTP/1.0": (["--http1.0"], 50, 200),
}


@pytest.mark.parametrize("habit", CURL)
def test_curl(tapped, backend, figure, tmp_path, habit):
    options, spans, size = CURL[habit]
    path, batch = request_file(tmp_path, spans, size)
    # Fails on every status but 2xx; a 100 that is late would show as a second in the time.
    said = tool("curl", "-sS", "--fail-with-body", "-o", os.devnull, "-w", "%{http_code} %{http_version} %{time_total}",
                "-H", "Content-Type: application/x-protobuf", *options, "--data-binary", f"@{path}",
                EXPORT_URL.format(tapped.taps["http"].port))
    status, version, seconds = said.split()
    assert status == "200" and float(seconds) < 0.9, said
    if "Expect" in habit:
        assert tapped.taps["http"].exports()[0].headers["expect"] == "100-continue"
    count, _ = compare(tapped, backend, "http")
    assert sorted(s[2] for s in backend.spans()) == sorted(batch)
    figure("curl", f"http, {habit}", count, "byte-equal")


def kong_span(i, name="GET /shop", path=b"/shop"):
    """A span in the order in which Kong's protobuf library writes it (otlp-wire I2), with Kong's values (I11)."""
    padded = bytes(8) + os.urandom(8) if i % 3 == 0 else os.urandom(16)
    start = 1_790_000_000_000_000_000 // 256 * 256
    status = otlp.field(15, otlp.field(2, "refused") + otlp.field(3, 2)) if i % 2 else b""
    dropped = otlp.field(10, 0) if i % 5 == 0 else b""
    event = otlp.field(11, otlp.field(2, "exception") + otlp.fixed64(1, start) + otlp.attribute(3, "k", "v"))
    number = otlp.field(9, otlp.field(2, b"\x21" + struct.pack("<d", 1.5)) + otlp.field(1, "kong.latency"))
    return (otlp.field(6, 2) + status + otlp.field(1, padded) + otlp.field(2, os.urandom(8)) + otlp.field(4, os.urandom(8))
            + otlp.fixed64(7, start) + otlp.fixed64(8, start + 256 * i) + (event if i % 2 else b"") + otlp.field(5, name)
            + number + otlp.field(9, otlp.field(2, otlp.field(1, path)) + otlp.field(1, "http.url"))
            + otlp.field(9, otlp.field(2, b"") + otlp.field(1, "empty")) + dropped)


def kong_request(spans):
    """ResourceSpans has 2 before 1, and so does ScopeSpans."""
    scope_spans = b"".join(otlp.field(2, s) for s in spans) + otlp.field(1, otlp.field(2, "0.1.0") + otlp.field(1, "kong-internal"))
    resource = otlp.attribute(1, "service.name", "kong") + otlp.attribute(1, "service.instance.id", "6e9")
    return otlp.field(1, otlp.field(2, scope_spans) + otlp.field(1, resource))


def kong_post(sock, body):
    """lua-resty-http on a kept connection: header order is random; all that comes back."""
    headers = [b"Host: 127.0.0.1", b"User-Agent: lua-resty-http/0.17.2 (Lua) ngx_lua/10026",
               b"Content-Type: application/x-protobuf", b"Content-Length: %d" % len(body)]
    random.shuffle(headers)
    sock.sendall(b"POST /v1/traces HTTP/1.1\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(4096)
        assert piece, answer
        answer += piece
    return answer


def test_kong(tapped, backend, figure):
    """I4: exactly 200 with a Content-Length at once, never a 100 that was not asked for."""
    sock = socket.create_connection(("127.0.0.1", tapped.taps["http"].port), timeout=5)
    for n in range(20):
        answer = kong_post(sock, kong_request([kong_span(i) for i in range(n + 1)])).lower()
        assert answer.startswith(b"http/1.1 200 "), answer
        assert b"\r\ncontent-length: 0\r\n" in answer and answer.endswith(b"\r\n\r\n"), answer
        assert b"transfer-encoding" not in answer and b"content-encoding" not in answer
    sock.close()
    count, _ = compare(tapped, backend, "http")
    assert count == sum(range(1, 21))
    figure("Kong's bytes", "http, random header order", count, "byte-equal")


def test_kong_with_a_raw_ff_in_the_path(start, backend, figure):
    """I3: a strict backend refuses such a batch for ever, so the relay repairs that string and nothing else."""
    relay = start()
    sock = socket.create_connection(("127.0.0.1", relay.http), timeout=5)
    span = kong_span(1, path=b"/a\xffb")
    assert kong_post(sock, kong_request([span, kong_span(2)])).startswith(b"HTTP/1.1 200 ")
    relay.wait_until(lambda: len(backend.spans()) == 2)
    urls = [v for _, _, s in backend.spans() for n, v in otlp.fields(s) if n == 9 and b"http.url" in v]
    assert any("/a\ufffdb".encode() in v for v in urls), urls
    assert not any(b"/a\xffb" in v for v in urls)
    figure("Kong's bytes", "http, 0xff in http.url", 2, "repaired to U+FFFD")


def test_h2load_grpc(start, backend, figure, tmp_path):
    relay = start()
    path, batch = request_file(tmp_path, 10, framed=True)
    said = tool("h2load", "-n", "2000", "-c", "8", "-m", "20", "-d", path, "-H", "content-type: application/grpc",
                "-H", "te: trailers", f"http://127.0.0.1:{relay.grpc}{peers.EXPORT}")
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    all_arrived(relay, backend, batch * 2000)
    figure("h2load", "grpc, 8 connections x 20 streams", 20_000, "byte-equal")


@pytest.mark.parametrize("version", ["2", "1.1"])
def test_h2load_http(start, backend, figure, tmp_path, version):
    relay = start()
    path, batch = request_file(tmp_path, 10)
    said = tool("h2load", "-n", "2000", "-c", "8", *(["--h1"] if version == "1.1" else ["-m", "20"]), "-d", path,
                "-H", "content-type: application/x-protobuf", EXPORT_URL.format(relay.http))
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    all_arrived(relay, backend, batch * 2000)
    figure("h2load", f"http, HTTP/{version}", 20_000, "byte-equal")


@pytest.mark.parametrize("upgrade", [False, True])
def test_nghttp(start, backend, figure, tmp_path, upgrade):
    """By prior knowledge, with padding and with the body cut into trailers; --upgrade gets no HTTP/2 (D9)."""
    relay = start()
    path, batch = request_file(tmp_path, 5)
    command = ["nghttp", "-v", "-b", "200", "-d", path, "-H", "content-type: application/x-protobuf",
               "--trailer", "x-late: yes", EXPORT_URL.format(relay.http)]
    if upgrade:
        programs.need("nghttp")
        done = subprocess.run(command[:1] + ["-u"] + command[1:], text=True, timeout=30, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert "HTTP Upgrade failed" in done.stdout, done.stdout
        return
    assert ":status: 200" in tool(*command)
    all_arrived(relay, backend, batch)
    figure("nghttp", "http, HTTP/2, padded frames, trailers", 5, "byte-equal")


def test_grpc_by_python_h2(tapped, backend, figure):
    for n in range(10):
        body = otlp.request(*[otlp.span(f"{n}.{i}") for i in range(20)])
        assert peers.export(tapped.taps["grpc"].port, body, compress=n % 2 == 1)[0] == 0
    count, _ = compare(tapped, backend, "grpc")
    assert count == 200
    figure("python3-h2", "grpc, plain and gzip", count, "byte-equal")
