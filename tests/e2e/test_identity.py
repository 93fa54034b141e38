# SPDX-License-Identifier: Apache-2.0
"""Who sends: a token or a certificate is looked up, what it stands for is written into every span by the relay
alone, and what nobody known sends is turned away where that is asked for."""
import http.client
import itertools
import os
import random

import pytest

import certs
import otlp
import peers
from relay import Relay, check_ledger

TOKENS = {"shop": "shop-0123456789abcdef", "next": "shop-next-456789abcdef", "edge": "edge-0123456789abcdef"}
OURS = "spanrelay.identity."


@pytest.fixture
def backend():
    b = peers.HttpBackend()
    yield b
    b.close()


def write(path, text, mode=0o600):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def clients(folder):
    shop = write(f"{folder}/shop.token", f"{TOKENS['shop']}\n{TOKENS['next']}\n")
    edge = write(f"{folder}/edge.token", f"{TOKENS['edge']}\n")
    return f"""
clients:
  - {{ name: shop, token: {{ file: {shop} }}, environment: production, role: team }}
  - {{ name: edge, token: {{ file: {edge} }}, certificate: {{ san: edge.example }} }}
  - {{ name: bank, certificate: {{ subject: "CN=bank" }} }}
"""


def start(folder, backend, policy="annotate", extra="", **more):
    exporter = (
        "{ name: main, protocol: http/protobuf, linger: 0ms, compression: none, "
        f'endpoint: "http://127.0.0.1:{backend.port}" }}'
    )
    return Relay(folder, [exporter], extra=f"identity: {{ policy: {policy} }}\n{extra}", **more)


def attributes(message, number):
    """Key and value of the attributes of a message, in which they have this number."""
    found = []
    for n, v in otlp.fields(message):
        if n == number:
            pair = dict(otlp.fields(v))
            value = next(iter(otlp.fields(pair[2])), (0, None))
            found.append((pair[1].decode(), value[1].decode() if value[0] == 1 else value[1]))
    return found


def said(resource):
    """What the relay says in a resource; nothing may stand there twice."""
    pairs = [p for n, v in resource if n == 1 for p in attributes(v, 1) if p[0].startswith(OURS)]
    assert len(dict(pairs)) == len(pairs), pairs
    return {k[len(OURS) :]: v for k, v in pairs}


def delivered(relay, backend, n):
    relay.wait_until(lambda: len(backend.spans()) >= n)
    return backend.spans()


NOBODY = {"verified": 0, "source": "none"}
SHOP = {"verified": 1, "source": "token", "client": "shop", "environment": "production", "role": "team"}
EDGE = {"verified": 1, "source": "token", "client": "edge"}

CASES = [
    ("its token", [f"Bearer {TOKENS['shop']}"], SHOP),
    ("its next token", [f"bearer {TOKENS['next']}"], SHOP),
    ("another's token", [f"Bearer {TOKENS['edge']}"], EDGE),
    ("the same twice", [f"Bearer {TOKENS['edge']}"] * 2, EDGE),
    ("nothing", [], NOBODY),
    ("empty", [""], NOBODY),
    ("the scheme alone", ["Bearer "], NOBODY),
    ("another scheme", ["Basic c2hvcDpzaG9w"], NOBODY),
    ("a prefix", [f"Bearer {TOKENS['shop'][:-1]}"], NOBODY),
    ("a suffix", [f"Bearer {TOKENS['shop'][1:]}"], NOBODY),
    ("with more behind it", [f"Bearer {TOKENS['shop']}x"], NOBODY),
    ("in other case", [f"Bearer {TOKENS['shop'].upper()}"], NOBODY),
    ("two that differ", [f"Bearer {TOKENS['shop']}", f"Bearer {TOKENS['edge']}"], NOBODY),
]


def send_http(relay, body, headers):
    conn = http.client.HTTPConnection("127.0.0.1", relay.http, timeout=15)
    conn.putrequest("POST", "/v1/traces")
    conn.putheader("Content-Type", "application/x-protobuf")
    conn.putheader("Content-Length", str(len(body)))
    for h in headers:
        conn.putheader("Authorization", h)
    conn.endheaders(body)
    answer = conn.getresponse()
    data = answer.read()
    conn.close()
    assert answer.status == 200, data
    return otlp.rejected(data)


def send_grpc(relay, body, headers, context=None):
    conn = peers.Http2(relay.grpc, context)
    stream = conn.h2.get_next_available_stream_id()
    head = [(":method", "POST"), (":scheme", "http"), (":path", peers.EXPORT), (":authority", "x")]
    head += [("content-type", "application/grpc"), ("te", "trailers")]
    conn.h2.send_headers(stream, head + [("authorization", h) for h in headers])
    conn.send(stream, peers.grpc_message(body))
    _, data, trailers = conn.wait(stream)
    conn.close()
    assert trailers["grpc-status"] == "0", trailers
    return otlp.rejected(data[5:])


@pytest.mark.parametrize("send", [send_http, send_grpc], ids=["http", "grpc"])
def test_a_token_says_who_sends(tmp_path, backend, send):
    relay = start(str(tmp_path), backend, extra=clients(tmp_path))
    for n, (_, headers, _) in enumerate(CASES, 1):
        assert send(relay, otlp.request(otlp.span()), headers) == 0
        delivered(relay, backend, n)
    got = [said(resource) for resource, _, _ in backend.spans()]
    assert relay.metric('spanrelay_identity_spans_total{source="token"}') == 4
    assert relay.metric('spanrelay_identity_spans_total{source="none"}') == len(CASES) - 4
    check_ledger(relay.status())
    assert relay.stop() == 0
    for (name, _, expected), words in zip(CASES, got):
        assert words == expected, name
    assert not any(t in relay.text() for t in TOKENS.values())


@pytest.mark.parametrize("send", [send_http, send_grpc], ids=["http", "grpc"])
def test_require_turns_away_by_partial_success(tmp_path, backend, send):
    relay = start(str(tmp_path), backend, "require", clients(tmp_path))
    for _, headers, expected in CASES:
        turned_away = send(relay, otlp.request(otlp.span(), otlp.span()), headers)
        assert turned_away == (2 if expected == NOBODY else 0)
    good = sum(2 for _, _, expected in CASES if expected != NOBODY)
    assert len(delivered(relay, backend, good)) == good
    assert relay.metric("spanrelay_identity_rejected_spans_total") == 2 * len(CASES) - good
    status = relay.status()
    check_ledger(status)
    assert status["ledger"]["rejected"] == 2 * len(CASES) - good
    assert "nobody known sends spans" in relay.text()
    assert relay.stop() == 0
    assert len(backend.spans()) == good


def test_a_certificate_says_who_sends(tmp_path, backend):
    ca = certs.Authority(tmp_path)
    leaf = ca.sign("leaf")
    bank, edge, other = ca.sign("bank"), ca.sign("proxy", "DNS:edge.example"), ca.sign("other")
    tls = f"cert_file: {leaf[0]}, key_file: {leaf[1]}, client_ca_file: {ca.cert}, client_auth: optional"
    relay = start(str(tmp_path), backend, extra=clients(tmp_path), grpc_tls=tls)
    shop, next_, proxy = (f"Bearer {TOKENS[t]}" for t in ("shop", "next", "edge"))
    cases = [
        (bank, [], {"verified": 1, "source": "mtls", "client": "bank"}),
        (edge, [], {"verified": 1, "source": "mtls", "client": "edge"}),
        (edge, [proxy], {"verified": 1, "source": "mtls", "client": "edge"}),
        (other, [], NOBODY),
        (other, [shop], SHOP),
        (bank, [shop], NOBODY),  # two clients in one request
        (bank, ["Bearer of-nobody"], NOBODY),
        (None, [], NOBODY),
        (None, [next_], SHOP),
    ]
    for n, (cert, headers, expected) in enumerate(cases, 1):
        context = certs.client(ca.cert, cert, alpn=["h2"])
        assert send_grpc(relay, otlp.request(otlp.span()), headers, context) == 0
        spans = delivered(relay, backend, n)
        assert said(spans[-1][0]) == expected, (cert, headers)
    assert relay.stop() == 0


def forge(rng):
    """A request with one to three resources, in whose parts somebody claims to be somebody."""
    words = ["verified", "source", "client", "environment", "role", "", "x" * 200]

    def claims(number):
        kinds = [
            lambda k: otlp.attribute(number, OURS + k, "mtls"),
            lambda k: otlp.field(number, otlp.field(1, OURS + k) + otlp.field(2, otlp.field(2, 1))),
            lambda k: otlp.field(number, otlp.field(1, OURS + k)),
            lambda k: otlp.field(number, otlp.field(2, otlp.field(1, "mtls")) + otlp.field(1, OURS + k)),
            lambda k: otlp.field(number, otlp.field(1, "a") + otlp.field(1, OURS + k) + otlp.field(2, otlp.field(1, "v"))),
            lambda _: otlp.attribute(number, "plain", "value"),
        ]
        return b"".join(rng.choice(kinds)(rng.choice(words)) for _ in range(rng.randrange(4)))

    def one_span():
        event = otlp.field(11, otlp.field(2, "e") + claims(3))
        link = otlp.field(13, otlp.field(1, rng.randbytes(16)) + otlp.field(2, rng.randbytes(8)) + claims(4))
        return otlp.span(trace_id=rng.randbytes(16), span_id=rng.randbytes(8), extra=claims(9) + event + link)

    def resource_spans():
        resource = rng.choice([b"", otlp.field(1, b""), otlp.field(1, claims(1) + otlp.attribute(1, "service.name", "s"))])
        scope = otlp.field(1, otlp.field(1, "lib") + claims(3))
        return resource + otlp.field(2, scope + b"".join(otlp.field(2, one_span()) for _ in range(rng.randrange(1, 4))))

    return b"".join(otlp.field(1, resource_spans()) for _ in range(rng.randrange(1, 4)))


def claims_in(resource, scope, span):
    """Keys of ours anywhere but in the resource."""
    parts = [attributes(v, 3) for n, v in scope if n == 1] + [attributes(span, 9)]
    parts += [attributes(v, 3) for n, v in otlp.fields(span) if n == 11]
    parts += [attributes(v, 4) for n, v in otlp.fields(span) if n == 13]
    return [k for pairs in parts for k, _ in pairs if k.startswith(OURS)]


def test_no_forged_identity_survives(tmp_path, backend):
    """FORGERIES (1000) requests; what is sent by whom is known by the request alone."""
    relay = start(str(tmp_path), backend, extra=clients(tmp_path))
    rng = random.Random(8)
    n, headers = 0, itertools.cycle([[], [f"Bearer {TOKENS['shop']}"], ["Bearer wrong"]])
    attempts = int(os.environ.get("FORGERIES", "1000"))
    expected = {}
    conn = http.client.HTTPConnection("127.0.0.1", relay.http, timeout=15)
    for _ in range(attempts):
        body, head = forge(rng), next(headers)
        ids = [dict(otlp.fields(s))[2] for _, _, s in otlp.spans_of(body)]
        expected |= {i: SHOP if head and "wrong" not in head[0] else NOBODY for i in ids}
        n += len(ids)
        extra = {"Authorization": head[0]} if head else {}
        conn.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf", **extra})
        answer = conn.getresponse()
        assert answer.status == 200 and not answer.read()
    conn.close()
    spans = delivered(relay, backend, n)
    assert len(spans) == n == len(expected)
    for resource, scope, span in spans:
        assert said(resource) == expected[dict(otlp.fields(span))[2]]
        assert claims_in(resource, scope, span) == []
    assert relay.metric("spanrelay_identity_forged_attributes_total") > attempts
    assert relay.stop() == 0


def test_a_reload_takes_new_tokens(tmp_path, backend):
    relay = start(str(tmp_path), backend, "require", clients(tmp_path))
    write(f"{tmp_path}/edge.token", "edge-fresh-0123456789\n")
    os.kill(relay.process.pid, 1)
    relay.wait_for("clients: their tokens changed|configuration applied|reloaded")
    relay.wait_until(lambda: send_http(relay, otlp.request(otlp.span()), ["Bearer edge-fresh-0123456789"]) == 0)
    assert send_http(relay, otlp.request(otlp.span()), [f"Bearer {TOKENS['edge']}"]) == 1
    write(f"{tmp_path}/edge.token", TOKENS["shop"] + "\n")  # another's: nothing changes
    os.kill(relay.process.pid, 1)
    relay.wait_for("token.file: another client is known by it")
    assert send_http(relay, otlp.request(otlp.span()), ["Bearer edge-fresh-0123456789"]) == 0
    assert relay.stop() == 0
    assert not any(t in relay.text() for t in ("edge-fresh", *TOKENS.values()))


FAULTS = [
    ("{ name: a, token: { file: %s/none } }", "token.file: missing"),
    ("{ name: a, token: { file: %s/empty } }", "token.file: empty"),
    ("{ name: a, token: { file: %s/open } }", "token.file: world_readable"),
    ("{ name: a, token: { file: %s/template } }", "template"),
    ("{ name: a, token: { file: %s/three } }", "more than two lines"),
    ("{ name: a }", "wanted what it is known by"),
    ("{ token: { file: %s/good } }", "name is missing"),
    ("{ name: a, token: { file: %s/good } }, { name: a, certificate: { san: x } }", "a is there twice"),
    ("{ name: a, token: { file: %s/good } }, { name: b, token: { file: %s/good } }", "another client is known by it"),
    ("{ name: a, certificate: { san: x } }, { name: b, certificate: { san: x } }", "another client is known by it"),
    ("", "no clients: nothing would be taken"),
]


@pytest.mark.parametrize("items,words", FAULTS)
def test_a_registry_with_a_fault_ends_the_start(tmp_path, backend, items, words):
    for name, text in (("empty", ""), ("template", "${TOKEN}"), ("three", "a1\nb2\nc3\n"), ("good", "very-secret-1")):
        write(f"{tmp_path}/{name}", text)
    write(f"{tmp_path}/open", "very-secret-2", 0o644)
    extra = f"clients: [ {items.replace('%s', str(tmp_path))} ]"
    relay = start(str(tmp_path), backend, "require", extra, wait=False)
    assert relay.process.wait(20) == 78
    assert words in relay.text() and "very-secret" not in relay.text()
    relay.log.close()
