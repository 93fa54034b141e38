# SPDX-License-Identifier: Apache-2.0
"""Clients and backends for the tests: sockets and python3-h2, which is none of our code."""
import errno
import gzip
import http.client
import http.server
import socket
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

import otlp

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def post(
    port, body, path="/v1/traces", method="POST", content_type="application/x-protobuf", context=None, **headers
):
    """One HTTP/1.1 request: (status, headers, body). `context`: over TLS."""
    if context is None:
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    else:
        conn = http.client.HTTPSConnection("127.0.0.1", port, timeout=15, context=context)
    all_headers = {k.replace("_", "-"): v for k, v in headers.items()}
    if content_type is not None:
        all_headers["Content-Type"] = content_type
    conn.request(method, path, body, all_headers)
    answer = conn.getresponse()
    data = answer.read()
    conn.close()
    return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), data


class Http2:
    """A client connection; request() gives (headers, body, trailers)."""

    def __init__(self, port, context=None):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=15)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname="127.0.0.1")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.sock.sendall(self.h2.data_to_send())
        self.events = []

    def start(self, body, path=EXPORT, method="POST", content_type="application/grpc", end=True, **headers):
        stream = self.h2.get_next_available_stream_id()
        all_headers = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")]
        if content_type is not None:
            all_headers.append(("content-type", content_type))
        all_headers += [(k.replace("_", "-"), v) for k, v in headers.items()]
        self.h2.send_headers(stream, all_headers, end_stream=end and body is None)
        if body is not None:
            self.send(stream, body, end)
        return stream

    def send(self, stream, body, end=True):
        while body and not any(isinstance(e, h2.events.StreamReset) for e in self.events):
            n = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if n == 0:
                self.pump()
                continue
            self.h2.send_data(stream, body[:n])
            body = body[n:]
        if end and not body:
            self.h2.end_stream(stream)
        self.sock.sendall(self.h2.data_to_send())

    def pump(self):
        self.sock.sendall(self.h2.data_to_send())
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the relay")
        self.events += self.h2.receive_data(data)
        self.sock.sendall(self.h2.data_to_send())

    def wait(self, stream):
        headers, body, trailers = {}, b"", {}
        while True:
            while not self.events:
                self.pump()
            events, self.events = self.events, []
            for e in events:
                if getattr(e, "stream_id", stream) != stream:
                    continue
                if isinstance(e, h2.events.ResponseReceived):
                    headers = {k.decode(): v.decode() for k, v in e.headers}
                elif isinstance(e, h2.events.DataReceived):
                    body += e.data
                elif isinstance(e, h2.events.TrailersReceived):
                    trailers = {k.decode(): v.decode() for k, v in e.headers}
                elif isinstance(e, h2.events.StreamReset):
                    return headers, body, trailers
                elif isinstance(e, h2.events.StreamEnded):
                    return headers, body, trailers
                elif isinstance(e, h2.events.ConnectionTerminated):
                    raise ConnectionError(f"GOAWAY {e.error_code}")

    def request(self, *args, **kwargs):
        return self.wait(self.start(*args, **kwargs))

    def close(self):
        self.sock.close()


def grpc_message(body, flag=0):
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


def export(port, body, compress=False, context=None):
    """One gRPC Export: (grpc-status, response message, trailers)."""
    conn = Http2(port, context)
    extra = {"te": "trailers"}
    if compress:
        body, extra["grpc-encoding"] = gzip.compress(body), "gzip"
    headers, data, trailers = conn.request(grpc_message(body, int(compress)), **extra)
    conn.close()
    assert headers[":status"] == "200", headers
    return int(trailers["grpc-status"]), data[5:], trailers


def listen(make):
    """A relay that tries a port of its own choosing may have it for a moment: a socket can connect to itself."""
    for _ in range(100):
        try:
            return make()
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            time.sleep(0.05)
    return make()


class HttpBackend:
    """Records what is exported over OTLP/HTTP. `answer` is a function of the request number; a request
    that holds one of the byte strings in `bad` is bad data."""

    def __init__(self, port=0, answer=None, bad=()):
        self.requests, self.headers, self.bodies, self.bad = 0, [], [], bad
        self.answer = answer or (lambda n: (200, {}))
        self.lock = threading.Lock()
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with backend.lock:
                    status, headers = backend.answer(backend.requests)
                    if any(b in body for b in backend.bad):
                        status, headers = 400, {}
                    backend.requests += 1
                    backend.headers.append({k.lower(): v for k, v in self.headers.items()})
                    if status == 200:
                        backend.bodies.append(body)
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = listen(lambda: http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler))
        self.server.handle_error = lambda request, address: None  # relays that are killed, and tell nobody
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def spans(self):
        with self.lock:
            return [s for body in self.bodies for s in otlp.spans_of(body)]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def frame(kind, flags, stream, payload=b""):
    """A raw HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Http2Peer:
    """The server's side of a connection, for backends that misbehave."""

    def __init__(self, sock, settings=None):
        self.sock = sock
        config = h2.config.H2Configuration(
            client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            self.h2.local_settings.update(settings)
        self.h2.initiate_connection()
        self.flush()
        self.bodies = {}
        self.whole = []

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def pump(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the relay")
        for e in self.h2.receive_data(data):
            if isinstance(e, h2.events.DataReceived):
                self.bodies[e.stream_id] = self.bodies.get(e.stream_id, b"") + e.data
                if e.flow_controlled_length:
                    self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded):
                self.whole.append(e.stream_id)
        self.flush()

    def request(self):
        """The next whole request: (stream, body)."""
        while not self.whole:
            self.pump()
        stream = self.whole.pop(0)
        return stream, self.bodies.pop(stream, b"")

    def head(self, stream, end=False, **fields):
        fields = [(k.replace("_", "-"), v) for k, v in fields.items()]
        self.h2.send_headers(
            stream, [(":status", "200"), ("content-type", "application/grpc"), *fields], end_stream=end
        )
        self.flush()

    def trailers(self, stream, **fields):
        self.h2.send_headers(stream, [(k.replace("_", "-"), v) for k, v in fields.items()], end_stream=True)
        self.flush()

    def data(self, stream, data):
        """As the relay's windows allow."""
        while data:
            n = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if n == 0:
                self.pump()
                continue
            self.h2.send_data(stream, data[:n])
            self.flush()
            data = data[n:]

    def ok(self, stream):
        self.head(stream)
        self.data(stream, grpc_message(b""))
        self.trailers(stream, grpc_status="0")


class RawBackend:
    """A port on which each connection is played by `hostile(sock, n)` until turn(), then by `good(sock,
    taken)`, which appends the bodies it takes. A hostile player may append to self.taken too."""

    def __init__(self, hostile, good, context=None):
        self.hostile, self.good, self.context = hostile, good, context
        self.taken, self.accepted, self.is_good = [], 0, False
        self.open = set()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock = self.server.accept()[0]
            except OSError:
                return
            sock.settimeout(20)
            self.accepted += 1
            self.open.add(sock)
            threading.Thread(target=self.play, args=(sock, self.accepted), daemon=True).start()

    def play(self, sock, n):
        mine = sock
        try:
            if self.is_good:
                if self.context is not None:
                    mine = self.context.wrap_socket(sock, server_side=True)
                self.good(mine, self.taken)
            else:
                self.hostile(self, sock, n)
        except (OSError, ConnectionError, h2.exceptions.ProtocolError, KeyError):
            pass  # the relay has had enough
        finally:
            self.open.discard(sock)
            mine.close()

    def turn(self):
        """From now on it behaves."""
        self.is_good = True
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def spans(self):
        return [s[2] for body in list(self.taken) for s in otlp.spans_of(body)]

    def close(self):
        self.is_good = True
        self.server.close()
        self.turn()


def good_grpc(sock, taken):
    peer = Http2Peer(sock)
    while True:
        stream, body = peer.request()
        taken.append(body[5:])
        peer.ok(stream)


def read_http1(sock):
    """The body of one request."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise ConnectionError("closed by the relay")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < size:
        more = sock.recv(65536)
        if not more:
            raise ConnectionError("closed by the relay")
        body += more
    return body


def good_http1(sock, taken):
    while True:
        body = read_http1(sock)
        taken.append(body)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


class GrpcBackend(RawBackend):
    """HttpBackend's twin over OTLP/gRPC; `answer` gives a grpc-status and trailers."""

    def __init__(self, answer=None, bad=()):
        self.requests, self.bodies, self.bad = 0, [], bad
        self.answer = answer or (lambda n: (0, {}))
        self.lock = threading.Lock()
        super().__init__(None, self.serve)
        self.is_good = True

    def serve(self, sock, taken):
        peer = Http2Peer(sock)
        while True:
            stream, message = peer.request()
            body = gzip.decompress(message[5:]) if message[0] else message[5:]
            with self.lock:
                status, extra = self.answer(self.requests)
                if any(b in body for b in self.bad):
                    status, extra = 3, {}
                self.requests += 1
                if status == 0:
                    self.bodies.append(body)
            if status == 0:
                peer.ok(stream)
            else:
                peer.head(stream, end=True, grpc_status=str(status), **extra)

    def spans(self):
        return [s for body in list(self.bodies) for s in otlp.spans_of(body)]
