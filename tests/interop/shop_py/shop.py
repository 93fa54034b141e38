# SPDX-License-Identifier: Apache-2.0
"""shop.py PORT STOCK_PORT: a service that asks another one, instrumented with the SDK. Answers what that one
answers, with the id of the trace in a header. The endpoint for spans comes from the environment."""
import http.server
import signal
import sys
import threading
import urllib.error
import urllib.request

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

provider = TracerProvider(resource=Resource({"service.name": "shop"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=200))
tracer = provider.get_tracer("shop")


def ask_stock(path):
    with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"url.path": path}) as span:
        headers = {}
        propagate.inject(headers)
        request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[2]}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                status = answer.status
        except urllib.error.HTTPError as e:
            status = e.code
            span.set_status(Status(StatusCode.ERROR, "the stock service failed"))
        span.set_attribute("http.response.status_code", status)
        return status


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        context = propagate.extract({k.lower(): v for k, v in self.headers.items()})
        attributes = {"http.route": "/buy", "url.path": self.path}
        with tracer.start_as_current_span("GET /buy", context, SpanKind.SERVER, attributes) as span:
            status = ask_stock(self.path)
            span.set_attribute("http.response.status_code", status)
            trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        self.send_response(status)
        self.send_header("X-Trace-Id", trace_id)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
provider.shutdown()
