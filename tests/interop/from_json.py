# SPDX-License-Identifier: Apache-2.0
"""What a client said in JSON, as protobuf: a second opinion on wire/otlp_json.c, for text that SDKs write.
Field order is that of the text; what is empty or 0 is left out, but in AnyValue."""
import base64
import json
import struct

import otlp

NANOS, COUNT = ("fixed64", "<Q", 1), ("varint", None, None)
FLAGS = ("fixed32", "<I", 5)


def listed(message):
    return ("list", message, None)


def one(message):
    return ("one", message, None)


STRING, HEX, BASE64, BOOL, DOUBLE = ("string",), ("hex",), ("base64",), ("varint",), ("fixed64", "<d", 1)
DROPPED = "droppedAttributesCount"
FIELDS = {
    "Request": {"resourceSpans": (1, listed("ResourceSpans"))},
    "ResourceSpans": {"resource": (1, one("Resource")), "scopeSpans": (2, listed("ScopeSpans")), "schemaUrl": (3, STRING)},
    "Resource": {"attributes": (1, listed("KeyValue")), DROPPED: (2, COUNT)},
    "ScopeSpans": {"scope": (1, one("Scope")), "spans": (2, listed("Span")), "schemaUrl": (3, STRING)},
    "Scope": {"name": (1, STRING), "version": (2, STRING), "attributes": (3, listed("KeyValue")), DROPPED: (4, COUNT)},
    "Span": {
        "traceId": (1, HEX), "spanId": (2, HEX), "traceState": (3, STRING), "parentSpanId": (4, HEX), "name": (5, STRING),
        "kind": (6, COUNT), "startTimeUnixNano": (7, NANOS), "endTimeUnixNano": (8, NANOS),
        "attributes": (9, listed("KeyValue")), DROPPED: (10, COUNT), "events": (11, listed("Event")),
        "droppedEventsCount": (12, COUNT), "links": (13, listed("Link")), "droppedLinksCount": (14, COUNT),
        "status": (15, one("Status")), "flags": (16, FLAGS),
    },
    "Event": {"timeUnixNano": (1, NANOS), "name": (2, STRING), "attributes": (3, listed("KeyValue")), DROPPED: (4, COUNT)},
    "Link": {"traceId": (1, HEX), "spanId": (2, HEX), "traceState": (3, STRING), "attributes": (4, listed("KeyValue")),
             DROPPED: (5, COUNT), "flags": (6, FLAGS)},
    "Status": {"message": (2, STRING), "code": (3, COUNT)},
    "KeyValue": {"key": (1, STRING), "value": (2, one("AnyValue"))},
    "AnyValue": {"stringValue": (1, STRING), "boolValue": (2, BOOL), "intValue": (3, COUNT), "doubleValue": (4, DOUBLE),
                 "arrayValue": (5, one("ArrayValue")), "kvlistValue": (6, one("KvList")), "bytesValue": (7, BASE64)},
    "ArrayValue": {"values": (1, listed("AnyValue"))},
    "KvList": {"values": (1, listed("KeyValue"))},
}


def scalar(number, kind, value):
    if kind[0] == "varint":
        return otlp.field(number, int(value) % 2**64)
    if kind[0] in ("fixed32", "fixed64"):
        value = float(value) if kind is DOUBLE else int(value)
        return otlp.varint(number << 3 | kind[2]) + struct.pack(kind[1], value)
    return otlp.field(number, {"string": str, "hex": bytes.fromhex, "base64": base64.b64decode}[kind[0]](value))


def is_int64(value):
    return -(2**63) <= (int(value) if isinstance(value, str) else value) < 2**63


def message(name, values):
    out = b""
    for key, value in values.items():
        if key not in FIELDS[name] or value is None:
            continue
        number, kind = FIELDS[name][key]
        if kind[0] == "list":
            out += b"".join(otlp.field(number, message(kind[1], v)) for v in value)
        elif kind[0] == "one":
            out += otlp.field(number, message(kind[1], value))
        elif key == "intValue" and not is_int64(value):  # JavaScript calls -1.5e300 one
            out += scalar(4, DOUBLE, value)
        elif name == "AnyValue" or value not in (0, "0", ""):
            out += scalar(number, kind, value)
    return out


def protobuf(body):
    return message("Request", json.loads(body))
