# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides of the relay: who is let in, who is told off, and certificates that change under load."""
import http.client
import os
import shutil
import socket
import ssl
import threading
import time

import pytest

import certs
import otlp
import peers
from relay import check_ledger

PLAIN_ON_TLS = 'spanrelay_connections_closed_total{reason="plaintext_on_tls"}'
BAD_HANDSHAKE = 'spanrelay_connections_closed_total{reason="tls_handshake"}'
TIMED_OUT = 'spanrelay_connections_closed_total{reason="tls_timeout"}'
GIVEN_UP = 'spanrelay_connections_closed_total{reason="tls_handshake_limit"}'
CHANGED = 'spanrelay_tls_certificate_reloads_total{result="changed"}'
KEPT = 'spanrelay_tls_certificate_reloads_total{result="kept"}'
HTTP_EXPIRY = 'spanrelay_tls_certificate_expiry_timestamp_seconds{where="receivers.otlp_http"}'


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("ca"))


def files(cert, ca=None):
    return f"cert_file: {cert[0]}, key_file: {cert[1]}" + (f", client_ca_file: {ca.cert}" if ca else "")


def replace(cert, by):
    """As a renewal does it: each file at once, but one after the other."""
    for old, new in zip(cert, by):
        shutil.copy(new, old + ".new")
        os.rename(old + ".new", old)


def test_spans_come_in_over_tls(start, backend, ca):
    """HTTP/1.1 and HTTP/2 on the HTTP port, gRPC on both."""
    leaf = files(ca.sign("leaf"))
    relay = start(grpc_tls=leaf, http_tls=leaf)
    spans = [otlp.span() for _ in range(4)]
    plain, h2 = certs.client(ca.cert), certs.client(ca.cert, alpn=["h2"])
    assert peers.post(relay.http, otlp.request(spans[0]), context=plain)[0] == 200
    conn = peers.Http2(relay.http, h2)
    headers, _, _ = conn.request(otlp.request(spans[1]), "/v1/traces", content_type="application/x-protobuf")
    assert headers[":status"] == "200"
    assert peers.export(relay.http, otlp.request(spans[2]), context=h2)[0] == 0
    assert peers.export(relay.grpc, otlp.request(spans[3]), context=h2)[0] == 0
    relay.wait_until(lambda: len(backend.spans()) == 4)
    assert {s[2] for s in backend.spans()} == set(spans)
    assert relay.metric("spanrelay_tls_handshakes_total") == 4
    assert 8 * 86400 < relay.metric(HTTP_EXPIRY) - time.time() < 10 * 86400


def test_a_large_request_passes_in_whole_records_and_in_single_bytes(start, backend, ca):
    relay = start(http_tls=files(ca.sign("leaf")))
    context = certs.client(ca.cert)
    spans = [otlp.span(f"span {i}" + "x" * 1000) for i in range(3000)]
    assert peers.post(relay.http, otlp.request(*spans), context=context)[0] == 200
    body = otlp.request(otlp.span())
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
    with context.wrap_socket(socket.create_connection(("127.0.0.1", relay.http)), server_hostname="localhost") as s:
        for byte in head.encode() + body:  # each a record of its own
            s.send(bytes([byte]))
        assert s.recv(100).startswith(b"HTTP/1.1 200")
    relay.wait_until(lambda: len(backend.spans()) == 3001)


def test_only_clients_with_a_certificate_are_let_in(start, ca, tmp_path):
    """And where it is optional a wrong one is still refused."""
    leaf, mine = ca.sign("leaf"), ca.sign("client")
    stranger = certs.Authority(tmp_path, "stranger").sign("client")
    must, may = files(leaf, ca), files(leaf, ca) + ", client_auth: optional"
    relay = start(grpc_tls=must, http_tls=may)
    h2 = {who: certs.client(ca.cert, who, ["h2"]) for who in (None, mine, stranger)}
    assert peers.export(relay.grpc, otlp.request(otlp.span()), context=h2[mine])[0] == 0
    assert peers.export(relay.http, otlp.request(otlp.span()), context=h2[mine])[0] == 0
    assert peers.export(relay.http, otlp.request(otlp.span()), context=h2[None])[0] == 0
    for port, who in ((relay.grpc, None), (relay.grpc, stranger), (relay.http, stranger)):
        with pytest.raises((OSError, ConnectionError)):
            peers.export(port, otlp.request(otlp.span()), context=h2[who])
    assert relay.metric(BAD_HANDSHAKE) == 3
    relay.wait_for('listener=otlp_grpc client=127.0.0.1 reason="the client shows no certificate"')
    assert relay.status()["listener_tls"]["otlp_grpc"]["client_certificates"] == "require"


def test_clients_that_are_set_up_wrong_are_told(start, ca):
    """Plain text, no h2 on the gRPC port, and a version that is too old."""
    leaf = files(ca.sign("leaf"))
    relay = start(grpc_tls=leaf + ", min_version: 1.3", http_tls=leaf)
    status, _, body = peers.post(relay.http, otlp.request(otlp.span()))
    assert status == 400 and b"https://" in body
    with pytest.raises((OSError, ConnectionError, peers.h2.exceptions.ProtocolError)):
        peers.export(relay.grpc, otlp.request(otlp.span()))
    assert relay.metric(PLAIN_ON_TLS) == 2
    relay.wait_for('msg="the client does not speak TLS" listener=otlp_http client=127.0.0.1 hint=')
    for context in (certs.client(ca.cert, alpn=["http/1.1"]), certs.client(ca.cert, alpn=["h2"], most=ssl.TLSVersion.TLSv1_2)):
        with pytest.raises(ssl.SSLError):
            peers.Http2(relay.grpc, context)
    with pytest.raises((OSError, ConnectionError)):  # without ALPN there is a handshake, and no more
        peers.export(relay.grpc, otlp.request(otlp.span()), context=certs.client(ca.cert))
    assert relay.metric(BAD_HANDSHAKE) == 3
    assert peers.export(relay.grpc, otlp.request(otlp.span()), context=certs.client(ca.cert, alpn=["h2"]))[0] == 0


def test_handshakes_that_never_end_hold_nobody_up(start, ca):
    """300 begin and say no more; the oldest make place, the others end after 10 s."""
    relay = start(http_tls=files(ca.sign("leaf")))
    idle = [socket.create_connection(("127.0.0.1", relay.http)) for _ in range(300)]
    for sock in idle:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    relay.wait_until(lambda: relay.metric(GIVEN_UP) == 300 - 256)
    assert peers.post(relay.http, otlp.request(otlp.span()), context=certs.client(ca.cert))[0] == 200
    assert relay.metric(GIVEN_UP) == 300 - 256 + 1
    relay.wait_until(lambda: relay.metric(TIMED_OUT) == 255, seconds=15)
    assert relay.metric("spanrelay_connections") == 0


class Load(threading.Thread):
    """Posts spans, each on a connection of its own, until stop()."""

    def __init__(self, port, contexts):
        super().__init__(daemon=True)
        self.port, self.contexts, self.sent, self.faults, self.done = port, contexts, [], [], False
        self.start()

    def run(self):
        while not self.done:
            span = otlp.span()
            try:
                assert peers.post(self.port, otlp.request(span), context=self.contexts[0])[0] == 200
                self.sent.append(span)
            except (OSError, AssertionError, http.client.HTTPException) as e:
                self.faults.append(e)

    def stop(self):
        self.done = True
        self.join()


def test_certificates_change_under_load(start, backend, ca, tmp_path):
    """A new leaf, then a new CA with a new leaf, and files that are no good: not one request fails."""
    other = certs.Authority(tmp_path, "other")
    leaf = ca.sign("changing")
    relay = start(http_tls=files(leaf))
    trust = tmp_path / "both.pem"
    trust.write_text(open(ca.cert).read() + open(other.cert).read())
    old = http.client.HTTPSConnection("127.0.0.1", relay.http, context=certs.client(ca.cert))
    old.connect()
    load = Load(relay.http, [certs.client(str(trust))])
    before = relay.metric(HTTP_EXPIRY)
    replace(leaf, ca.sign("next", days=20))
    relay.wait_until(lambda: relay.metric(CHANGED) == 1)
    assert relay.metric(HTTP_EXPIRY) > before + 5 * 86400
    replace(leaf, other.sign("last"))
    relay.wait_until(lambda: relay.metric(CHANGED) == 2)
    for bad in ("", "no certificate", open(ca.cert).read()):  # empty, nonsense, not the key's
        with open(leaf[0], "w") as f:
            f.write(bad)
        kept = relay.metric(KEPT)
        relay.wait_until(lambda: relay.metric(KEPT) == kept + 1)
    relay.wait_for('msg="certificate kept" reason="receivers.otlp_http.tls.key_file: .*is not the key of')
    now = certs.client(other.cert)
    assert peers.post(relay.http, otlp.request(otlp.span()), context=now)[0] == 200
    load.stop()
    old.request("POST", "/v1/traces", otlp.request(otlp.span()), {"Content-Type": "application/x-protobuf"})
    assert old.getresponse().status == 200  # on the connection that was there before all this
    assert load.faults == [] and len(load.sent) > 20
    relay.wait_until(lambda: len(backend.spans()) == len(load.sent) + 2)
    check_ledger(relay.status())


class TlsBackend(peers.HttpBackend):
    """Notes the serial number of the certificate that each connection showed."""

    def __init__(self, context):
        self.shown, self.context = [], context
        super().__init__()
        self.server.get_request = self.get_request

    def get_request(self):
        sock, address = self.server.socket.accept()
        sock.settimeout(10)
        tls = self.context[0].wrap_socket(sock, server_side=True)
        cert = tls.getpeercert()
        self.shown.append(cert["serialNumber"] if cert else None)
        return tls, address


def exporter(backend, *more, scheme="https"):
    return (
        "{ name: main, protocol: http/protobuf, linger: 1ms, retry: { initial: 50ms, max: 200ms }, "
        f"endpoint: '{scheme}://127.0.0.1:{backend.port}', tls: {{ {', '.join(more)} }} }}"
    )


def test_a_new_client_certificate_is_shown_to_the_backend(start, ca, tmp_path):
    """On a new connection; the CA for the backend changes too, vanishes, and nothing is lost."""
    other, mine = certs.Authority(tmp_path, "other"), ca.sign("shown")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(open(ca.cert).read())
    backend = TlsBackend([certs.server(ca.sign("backend"), ca.cert)])
    relay = start(exporters=[exporter(backend, f"ca_file: {trusted}", f"cert_file: {mine[0]}", f"key_file: {mine[1]}")])
    n = 0

    def send(count=10):
        nonlocal n
        for _ in range(count):
            assert peers.post(relay.http, otlp.request(otlp.span()))[0] == 200
            time.sleep(0.005)
        n += count

    send()
    relay.wait_until(lambda: len(backend.spans()) == n)
    assert len(set(backend.shown)) == 1
    replace(mine, ca.sign("new"))
    relay.wait_until(lambda: relay.metric(CHANGED) == 1)
    send()
    relay.wait_until(lambda: len(backend.spans()) == n)
    assert len(set(backend.shown)) == 2 and relay.exporter()["retries"] == 0
    backend.context[0] = certs.server(other.sign("backend2"), ca.cert)
    trusted.write_text(open(other.cert).read())
    relay.wait_until(lambda: relay.metric(CHANGED) == 2)
    trusted.unlink()
    relay.wait_for('msg="certificate kept" reason="exporters\\[main\\].tls.ca_file: .*: No such file')
    send()
    relay.wait_until(lambda: len(backend.spans()) == n)
    assert relay.exporter()["tls"]["mode"] == "verified"
    check_ledger(relay.status())
    backend.close()


def test_what_is_not_safe_is_said_at_each_start_and_in_the_status(start, tmp_path):
    stranger = certs.Authority(tmp_path, "stranger").sign("backend", san="DNS:elsewhere.test")
    backend = TlsBackend([certs.server(stranger)])
    relay = start(exporters=[exporter(backend, "skip_verify: true")])
    relay.wait_for('warn msg="any certificate is believed" exporter=main')
    assert peers.post(relay.http, otlp.request(otlp.span()))[0] == 200
    relay.wait_until(lambda: len(backend.spans()) == 1)
    assert relay.exporter()["tls"]["mode"] == "skip_verify"
    backend.close()
