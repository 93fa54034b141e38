# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between a client and the relay that keeps every byte, and reads them afterwards.

What it keeps is what the client really sent, so "unaltered" can be said of each span as bytes. It decides
nothing and waits for nobody: reading is for later, with python3-hyperframe and python3-hpack."""
import gzip
import socket
import threading
import zlib

import hpack
import hyperframe.frame

import from_json
import otlp

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Request:
    def __init__(self, version, headers, body):
        self.version, self.headers, self.body = version, headers, body

    def message(self):
        """The OTLP request in it, as protobuf."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return from_json.protobuf(self.plain())
        return self.plain()

    def plain(self):
        """The body out of its gRPC frame and its compression."""
        body, coding = self.body, self.headers.get("content-encoding", "identity")
        if self.headers.get("content-type", "").startswith("application/grpc"):
            assert len(body) - 5 == int.from_bytes(body[1:5], "big"), "not one gRPC message"
            coding = self.headers.get("grpc-encoding", "identity") if body[0] else "identity"
            body = body[5:]
        if coding == "gzip":
            return gzip.decompress(body)
        if coding == "deflate":
            return zlib.decompress(body)
        assert coding == "identity", coding
        return body


def http1_requests(data):
    at = 0
    while at < len(data):
        end = data.index(b"\r\n\r\n", at)
        line, *fields = data[at:end].decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (f.split(":", 1) for f in fields)}
        at, body = end + 4, b""
        if headers.get("transfer-encoding") == "chunked":
            size = -1
            while size != 0:
                end = data.index(b"\r\n", at)
                size = int(data[at:end].split(b";")[0], 16)
                body += data[end + 2 : end + 2 + size]
                at = end + 2 + size + 2
        else:
            size = int(headers.get("content-length", 0))
            body, at = data[at : at + size], at + size
        headers[":method"], headers[":path"] = line.split(" ")[:2]
        yield Request("1.1", headers, body)


def http2_requests(data):
    at, decoder, streams, block = len(PREFACE), hpack.Decoder(), {}, b""
    while at < len(data):
        frame, size = hyperframe.frame.Frame.parse_frame_header(memoryview(data)[at : at + 9])
        frame.parse_body(memoryview(data)[at + 9 : at + 9 + size])
        at += 9 + size
        if isinstance(frame, (hyperframe.frame.HeadersFrame, hyperframe.frame.ContinuationFrame)):
            block += frame.data
            if "END_HEADERS" in frame.flags:
                streams[frame.stream_id] = Request("2", dict(decoder.decode(block)), b"")
                block = b""
        elif isinstance(frame, hyperframe.frame.DataFrame):
            streams[frame.stream_id].body += frame.data
    return streams.values()


class Tap:
    def __init__(self, port):
        self.target, self.recorded, self.lock = port, [], threading.Lock()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.server.accept()[0]
            except OSError:
                return
            relay = socket.create_connection(("127.0.0.1", self.target))
            record = bytearray()
            with self.lock:
                self.recorded.append(record)
            threading.Thread(target=self.copy, args=(client, relay, record), daemon=True).start()
            threading.Thread(target=self.copy, args=(relay, client, None), daemon=True).start()

    @staticmethod
    def copy(source, sink, record):
        try:
            while data := source.recv(65536):
                if record is not None:
                    record += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, sink):
                s.close()

    def requests(self):
        with self.lock:
            streams = [bytes(r) for r in self.recorded]
        out = []
        for data in streams:
            out += http2_requests(data) if data.startswith(PREFACE) else http1_requests(data)
        return out

    def exports(self):
        traces = ("/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        return [r for r in self.requests() if r.headers[":path"] in traces]

    def spans(self):
        return [s for r in self.exports() for s in otlp.spans_of(r.message())]

    def close(self):
        self.server.close()


VALUES = {1: "string", 2: "bool", 3: "int", 4: "double", 5: "array", 6: "kvlist", 7: "bytes"}


def value_kinds(attributes):
    """Which kinds of value these attributes have: names of AnyValue's members, and "empty"."""
    kinds = set()
    for attribute in attributes:
        value = list(otlp.fields(dict(otlp.fields(attribute)).get(2, b"")))
        kinds |= {VALUES[n] for n, _ in value} or {"empty"}
    return kinds


def shapes(spans):
    """What these spans have to show, so that a test says what was compared."""
    seen = set()
    for resource, scope, span in spans:
        fields = list(otlp.fields(span))
        names = {3: "tracestate", 4: "parent", 11: "event", 13: "link", 16: "flags"}
        seen |= {names[n] for n, _ in fields if n in names}
        seen |= value_kinds(v for n, v in fields if n == 9)
        seen |= {f"kind {v}" for n, v in fields if n == 6}
        for _, status in (f for f in fields if f[0] == 15):
            seen |= {f"status {v}" for n, v in otlp.fields(status) if n == 3}
        inner = {n for _, v in scope for n, _ in (otlp.fields(v) if _ == 1 else ())}
        seen |= {"scope version"} if 2 in inner else set()
        seen |= {"scope attributes"} if 3 in inner else set()
        seen |= {"schema url"} if any(n == 3 for n, _ in resource + scope) else set()
    return seen
