# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides of the relay: who is let in, who is told off, and certificates that change under load."""
import pytest

import certs
import otlp
import peers


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("ca"))


def files(cert, ca=None):
    return f"cert_file: {cert[0]}, key_file: {cert[1]}" + (f", client_ca_file: {ca.cert}" if ca else "")


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
