# SPDX-License-Identifier: Apache-2.0
"""Just enough protobuf to write OTLP requests and to read them back, with nobody's generated code."""
import os
import struct


def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number, value):
    """A length-delimited field for bytes and str, a varint for int."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def attribute(number, key, value):
    return field(number, field(1, key) + field(2, field(1, value)))


def span(name="GET /", trace_id=None, span_id=None, extra=b""):
    return (
        field(1, trace_id if trace_id is not None else os.urandom(16))
        + field(2, span_id if span_id is not None else os.urandom(8))
        + field(5, name)
        + field(6, 2)
        + fixed64(7, 1_700_000_000_000_000_000)
        + fixed64(8, 1_700_000_000_005_000_000)
        + attribute(9, "http.request.method", "GET")
        + extra
    )


def request(*spans, service="shop", scope="e2e"):
    resource = field(1, attribute(1, "service.name", service))
    scope_spans = field(1, field(1, scope)) + b"".join(field(2, s) for s in spans)
    return field(1, resource + field(2, scope_spans))


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """(number, value) of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 2:
            size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def spans_of(body):
    """(resource header, scope header, span) of each span, as bytes."""
    out = []
    for number, resource_spans in fields(body):
        assert number == 1
        parts = list(fields(resource_spans))
        resource = tuple(p for p in parts if p[0] != 2)
        for scope_spans in (v for n, v in parts if n == 2):
            inner = list(fields(scope_spans))
            scope = tuple(p for p in inner if p[0] != 2)
            out += [(resource, scope, v) for n, v in inner if n == 2]
    return out


def rejected(body):
    """rejected_spans of an ExportTraceServiceResponse."""
    for number, partial in fields(body):
        if number == 1:
            return dict(fields(partial)).get(1, 0)
    return 0
