# SPDX-License-Identifier: Apache-2.0
"""OTLP/JSON: what comes in as JSON arrives as the same bytes that protobuf would have given, under the same
limits, and is answered in JSON."""
import base64
import collections
import contextlib
import gzip
import http.client
import json
import random
import struct
import zlib

import pytest

import otlp
import peers
from relay import is_sanitized

JSON = "application/json"
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
LIMIT = 1 << 20


# ---- the same random trace as JSON and as protobuf: each function gives both ----


def text(r):
    return "".join(r.choice('aZ/ "\\\n\té€😀\0') for _ in range(r.choice([0, 1, 5, 20, 140])))


def number(r, v):
    return r.choice([v, str(v)])


def value(r, depth=0):
    kind = r.randrange(8 if depth < 3 else 6)
    if kind == 0:
        s = text(r)
        return {"stringValue": s}, otlp.field(1, s)
    if kind == 1:
        v = r.random() < 0.5
        return {"boolValue": v}, otlp.field(2, int(v))
    if kind == 2:
        v = r.choice([0, 1, -1, 300, 2**53 + 1, 2**63 - 1, -(2**63), r.getrandbits(40)])
        return {"intValue": number(r, v)}, otlp.field(3, v % 2**64)
    if kind == 3:
        v = r.choice([0.0, -0.0, 1.5, 5e-324, 1.7976931348623157e308, r.random(), r.random() * 1e20])
        return {"doubleValue": r.choice([v, repr(v)])}, otlp.varint(4 << 3 | 1) + struct.pack("<d", v)
    if kind == 4:
        v = r.randbytes(r.choice([0, 1, 2, 3, 200]))
        coded = r.choice([base64.b64encode, base64.urlsafe_b64encode])(v).decode()
        return {"bytesValue": r.choice([coded, coded.rstrip("=")])}, otlp.field(7, v)
    if kind == 5:
        return {}, b""
    if kind == 6:
        parts = [value(r, depth + 1) for _ in range(r.randrange(4))]
        return {"arrayValue": {"values": [p[0] for p in parts]}}, otlp.field(5, b"".join(otlp.field(1, p[1]) for p in parts))
    parts = [attribute(r, depth + 1) for _ in range(r.randrange(4))]
    return {"kvlistValue": {"values": [p[0] for p in parts]}}, otlp.field(6, b"".join(otlp.field(1, p[1]) for p in parts))


def attribute(r, depth=0):
    key, (j, p) = text(r), value(r, depth)
    return {"key": key, "value": j}, (otlp.field(1, key) if key else b"") + otlp.field(2, p)


def attributes(r, number):
    parts = [attribute(r) for _ in range(r.randrange(5))]
    return [p[0] for p in parts], b"".join(otlp.field(number, p[1]) for p in parts)


def plain(number, v):
    """Protobuf leaves out what is empty or 0."""
    return otlp.field(number, v) if v else b""


def span(r):
    trace, own, parent = r.randbytes(16), r.randbytes(8), r.choice([b"", r.randbytes(8)])
    state, name, kind, flags = r.choice(["", "a=b,ot=th:8"]), text(r), r.randrange(6), r.choice([0, 0x101, 2**32 - 1])
    start, end, dropped = r.getrandbits(64), r.choice([0, 2**64 - 1, r.getrandbits(60)]), r.choice([0, 1, 2**32 - 1])
    own_j, own_p = attributes(r, 9)
    event_j, event_p = attributes(r, 3)
    link_j, link_p = attributes(r, 4)
    code, message = r.randrange(3), text(r)
    names = ["SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"]
    codes = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]
    j = {
        "traceId": r.choice([trace.hex(), trace.hex().upper()]), "spanId": own.hex(), "traceState": state,
        "parentSpanId": parent.hex(), "name": name, "kind": r.choice([kind, names[kind]]),
        "startTimeUnixNano": number(r, start), "endTimeUnixNano": number(r, end), "attributes": own_j,
        "droppedAttributesCount": number(r, dropped), "somethingNew": {"name": [1, None, {"x": "y"}]},
        "events": [{"timeUnixNano": str(end), "name": name, "attributes": event_j}], "droppedEventsCount": dropped,
        "links": [{"traceId": trace.hex(), "spanId": own.hex(), "traceState": state, "attributes": link_j, "flags": flags}],
        "status": {"message": message, "code": r.choice([code, codes[code]])}, "flags": number(r, flags),
    }
    fixed = lambda n, v: otlp.fixed64(n, v) if v else b""  # noqa: E731
    fixed32 = lambda n, v: otlp.varint(n << 3 | 5) + struct.pack("<I", v) if v else b""  # noqa: E731
    event = fixed(1, end) + plain(2, name) + event_p
    link = otlp.field(1, trace) + otlp.field(2, own) + plain(3, state) + link_p + fixed32(6, flags)
    p = (otlp.field(1, trace) + otlp.field(2, own) + plain(3, state) + plain(4, parent) + plain(5, name) + plain(6, kind)
         + fixed(7, start) + fixed(8, end) + own_p + plain(10, dropped) + otlp.field(11, event) + plain(12, dropped)
         + otlp.field(13, link) + otlp.field(15, plain(2, message) + plain(3, code)) + fixed32(16, flags))
    return j, p


def snake(v):
    """The same with snake_case keys."""
    if isinstance(v, dict):
        return {"".join("_" + c.lower() if c.isupper() else c for c in k): snake(x) for k, x in v.items()}
    return [snake(x) for x in v] if isinstance(v, list) else v


def trace(r):
    """One request: its JSON text and its protobuf bytes."""
    resource_j, resource_p = attributes(r, 1)
    scope_j, scope_p = attributes(r, 3)
    spans = [span(r) for _ in range(r.randrange(1, 5))]
    name, url = text(r), r.choice(["", "https://example.com/1"])
    scope_spans = {"scope": {"name": name, "version": "1", "attributes": scope_j}, "spans": [s[0] for s in spans], "schemaUrl": url}
    j = {"resourceSpans": [{"resource": {"attributes": resource_j}, "scopeSpans": [scope_spans], "schemaUrl": url}]}
    inner = otlp.field(1, plain(1, name) + otlp.field(2, "1") + scope_p) + b"".join(otlp.field(2, s[1]) for s in spans) + plain(3, url)
    p = otlp.field(1, otlp.field(1, resource_p) + otlp.field(2, inner) + plain(3, url))
    if r.random() < 0.3:
        j = snake(j)
    body = json.dumps(j, indent=r.choice([None, None, 2]), ensure_ascii=r.random() < 0.5)
    return body.encode(), p


def request(*spans):
    """JSON of so many spans, of which only what is special is given."""
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": TRACE, "spanId": SPAN, **s} for s in spans]}]}]}).encode()


GOOD = request({"name": "GET /"})


@pytest.mark.parametrize("seed", range(2))
def test_json_and_protobuf_arrive_as_the_same_bytes(start, backend, seed):
    relay, r = start(), random.Random(seed)
    traces = [trace(r) for _ in range(200)]
    conn = http.client.HTTPConnection("127.0.0.1", relay.http, timeout=10)
    for body, protobuf in traces:
        for data, kind in ((body, JSON), (protobuf, "application/x-protobuf")):
            conn.request("POST", "/v1/traces", data, {"Content-Type": kind})
            answer = conn.getresponse()
            assert (answer.status, answer.read()) == (200, b"{}" if kind == JSON else b""), body
    conn.close()
    want = collections.Counter()
    for _, protobuf in traces:
        for s in otlp.spans_of(protobuf):
            want[s] += 2
    relay.wait_until(lambda: len(backend.spans()) == sum(want.values()))
    assert collections.Counter(backend.spans()) == want
    assert relay.metric('spanrelay_requests_total{protocol="http_json"}') == len(traces)
    assert relay.metric('spanrelay_requests_total{protocol="http"}') == len(traces)
    assert relay.metric("spanrelay_repaired_strings_total") == 0


def chunks(body):
    for at in range(0, len(body), 7):
        yield body[at : at + 7]


def test_every_way_in(start, backend):
    relay, ways = start(), 0
    for kind in (JSON, "application/json; charset=utf-8", "Application/JSON ;charset=\"utf-8\""):
        for body, headers in ((GOOD, {}), (gzip.compress(GOOD), {"Content_Encoding": "gzip"}),
                              (zlib.compress(GOOD), {"Content_Encoding": "deflate"}), (chunks(GOOD), {})):
            status, answer, data = peers.post(relay.http, body, content_type=kind, **headers)
            assert (status, answer["content-type"], answer["content-length"], data) == (200, JSON, "2", b"{}")
            assert "content-encoding" not in answer
            ways += 1
    conn = peers.Http2(relay.http)
    for body, headers in ((GOOD, {}), (gzip.compress(GOOD), {"content-encoding": "gzip"})):
        answer, data, _ = conn.request(body, path="/v1/traces", content_type=JSON, **headers)
        assert (answer[":status"], answer["content-type"], answer["content-length"], data) == ("200", JSON, "2", b"{}")
        ways += 1
    conn.close()
    relay.wait_until(lambda: len(backend.spans()) == ways)
    assert len(set(backend.spans())) == 1


def test_bad_spans_are_rejected_one_by_one(start, backend):
    relay = start()
    bad = [{"traceId": "no hex"}, {"spanId": ""}, {"traceId": TRACE[:-2]}, {"parentSpanId": "abc"}, {"spanId": None}]
    status, headers, data = peers.post(relay.http, request({"name": "a"}, *bad, {"name": "b"}), content_type=JSON)
    assert (status, headers["content-type"]) == (200, JSON)
    why = "trace_id must be 16 bytes, span_id 8 bytes, and neither all zero"
    assert json.loads(data) == {"partialSuccess": {"rejectedSpans": "5", "errorMessage": why}}
    relay.wait_until(lambda: len(backend.spans()) == 2)
    assert sorted(dict(otlp.fields(s[2]))[5] for s in backend.spans()) == [b"a", b"b"]
    ledger = relay.status()["ledger"]
    assert (ledger["received"], ledger["rejected"], ledger["accepted"]) == (7, 5, 2)


def test_broken_strings_are_mended(start, backend):
    relay = start()
    body = request({"name": "NAME"}).replace(b"NAME", b"caf\xe9 \\ud83d!")
    assert peers.post(relay.http, body, content_type=JSON)[0] == 200
    relay.wait_until(lambda: backend.spans())
    assert dict(otlp.fields(backend.spans()[0][2]))[5].decode() == "caf\ufffd \ufffd!"
    assert relay.metric("spanrelay_repaired_strings_total") == 1


def inside(body):
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + body + b"]}]}]}"


DEEP = {"intValue": 1}
for _ in range(60):
    DEEP = {"arrayValue": {"values": [DEEP]}}

# name, body, options, HTTP status, google.rpc.Code, reason counted
REFUSALS = [
    ("nothing", b"", {}, 400, 3, "malformed"),
    ("garbage", b"\xff" * 60, {}, 400, 3, "malformed"),
    ("protobuf", otlp.request(otlp.span()), {}, 400, 3, "malformed"),
    ("truncated", GOOD[:-1], {}, 400, 3, "malformed"),
    ("trailing garbage", GOOD + b"}", {}, 400, 3, "malformed"),
    ("null", b"null", {}, 400, 3, "malformed"),
    ("a list", b"[" + GOOD + b"]", {}, 400, 3, "malformed"),
    ("a NaN", inside(b'{"kind":NaN}'), {}, 400, 3, "malformed"),
    ("a wrong type", request({"name": 1}), {}, 400, 3, "malformed"),
    ("a huge time", request({"endTimeUnixNano": 2**64}), {}, 400, 3, "malformed"),
    ("deep lists", b'{"a":' + b"[" * 100_000, {}, 400, 3, "limit"),
    ("deep objects", b'{"a":' * 100_000, {}, 400, 3, "limit"),
    ("deep values", request({"attributes": [{"key": "k", "value": DEEP}]}), {}, 400, 3, "limit"),
    ("empty flood", b'{"resourceSpans":[' + b"{}," * 340_000 + b"{}]}", {}, 400, 3, "limit"),
    ("many spans", inside(b",".join([b'{"kind":1}'] * 90_000)), {}, 400, 3, "limit"),
    ("too large", b" " * (LIMIT + 1), {}, 413, 8, "too_large"),
    ("64 MiB of {},", b"{}," * ((64 << 20) // 3), {}, 413, 8, "too_large"),
    ("bomb", gzip.compress(b'{"a":"' + b" " * 8 * LIMIT), {"Content_Encoding": "gzip"}, 413, 8, "too_large"),
    ("corrupt gzip", b"\x1f\x8b\x08garbage", {"Content_Encoding": "gzip"}, 400, 13, "encoding"),
    ("unknown encoding", GOOD, {"Content_Encoding": "br"}, 415, 12, "encoding"),
    ("get", None, {"method": "GET"}, 405, 2, "method"),
    ("metrics", GOOD, {"path": "/v1/metrics"}, 404, 12, "path"),
]


def peak_kib(relay):
    with open(f"/proc/{relay.worker_pid()}/status") as f:
        return int(next(line for line in f if line.startswith("VmHWM")).split()[1])


def test_each_refusal_has_one_answer_in_json(start):
    relay = start(extra="limits: { request: 1MiB }")
    for name, body, options, status, code, reason in REFUSALS:
        counter = f'spanrelay_refused_requests_total{{reason="{reason}"}}'
        before = relay.metric(counter)
        with contextlib.suppress(ConnectionError):  # of our sending, when it is answered before its end
            got, headers, data = peers.post(relay.http, body, content_type=JSON, **options)
            assert got == status, (name, data)
            assert headers["content-type"] == JSON and int(headers["content-length"]) == len(data), name
            answer = json.loads(data)
            assert list(answer) == ["code", "message"] and answer["code"] == code and answer["message"], name
        relay.wait_until(lambda: relay.metric(counter) == before + 1)
    assert relay.get("/_live")[0] == 200
    assert relay.status()["ledger"]["received"] == 0


def test_floods_take_no_more_memory_than_text_and_protobuf(start):
    relay = start()
    assert peers.post(relay.http, GOOD, content_type=JSON)[0] == 200
    before, size = peak_kib(relay), 15 << 20
    for unit in (b"{}", b"[[[]]]", b'{"a":[{}]}', b'"\\ud800"', b"1e400"):
        for head, tail in ((b'{"a":[', b"]}"), (b'{"resourceSpans":[', b"]}")):
            peers.post(relay.http, head + b",".join([unit] * (size // (len(unit) + 1))) + tail, content_type=JSON)
    assert peers.post(relay.http, b'{"a":"' + b"\\u0000" * (size // 6) + b'"}', content_type=JSON)[0] == 200
    assert is_sanitized() or peak_kib(relay) - before < 3.5 * size / 1024  # a buffer that doubles; protobuf
    assert peers.post(relay.http, GOOD, content_type=JSON)[0] == 200


def test_no_memory_is_said_in_json_with_a_delay(start):
    relay = start(extra="limits: { memory: 16MiB }")
    conns = []
    for _ in range(4):
        conn = peers.Http2(relay.http)
        conn.sock.settimeout(0.5)
        stream = conn.start(None, path="/v1/traces", content_type=JSON, end=False)
        with contextlib.suppress(TimeoutError):
            conn.send(stream, b" " * (7 << 20), end=False)
        conns.append(conn)
        if relay.get("/_ready")[0] == 503:
            break
    status, headers, data = peers.post(relay.http, GOOD, content_type=JSON)
    assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", JSON)
    assert json.loads(data) == {"code": 14, "message": "the relay is at its memory limit"}
    for conn in conns:
        conn.close()
    relay.wait_until(lambda: peers.post(relay.http, GOOD, content_type=JSON)[0] == 200)
