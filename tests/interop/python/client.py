# SPDX-License-Identifier: Apache-2.0
"""client.py grpc|http COUNT: rounds of known spans, then flush. The endpoint comes from the environment."""
import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

ATTRIBUTES = {
    "string": "GET /ünïcödé?q=1",
    "empty string": "",
    "true": True,
    "false": False,
    "int64 min": -(2**63),
    "zero": 0,
    "double": -1.5e300,
    "bytes": b"\0\xffx\x80",
    "strings": ["a", "", "ß"],
    "bools": [True, False],
    "ints": [-1, 0, 2**63 - 1],
    "doubles": [0.0, 0.5, -0.25],
    "no strings": [],
    "map": {"k": "v", "list": [1, "a", None]},
    "empty": None,
}

exported = []


class Exporter(OTLPSpanExporter):
    def export(self, spans):
        result = super().export(spans)
        exported.append(result.name)
        return result


provider = TracerProvider(resource=Resource({"service.name": "interop-python", "list": ["x", "y"], "n": 3},
                                            "https://opentelemetry.io/schemas/1.37.0"))
provider.add_span_processor(BatchSpanProcessor(Exporter()))
tracer = provider.get_tracer("interop/python", "1.2.3", "https://opentelemetry.io/schemas/1.37.0",
                             {"scope.key": "scope value"})
remote = SpanContext(0x0102030405060708090A0B0C0D0E0F10, 0x1112131415161718, True,
                     TraceFlags(TraceFlags.SAMPLED), TraceState([("vendor", "one"), ("ot", "th:8")]))
context = trace.set_span_in_context(NonRecordingSpan(remote))
codes = [StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR]
for i in range(int(sys.argv[2])):
    for kind in SpanKind:
        links = [Link(remote, {"link": "one"})]
        with tracer.start_as_current_span(f"{kind.name} {i}", context, kind, ATTRIBUTES, links) as span:
            span.add_event("an event", ATTRIBUTES)
            span.record_exception(ValueError("an error"))
            span.set_status(Status(codes[i % 3], "why" if i % 3 == 2 else None))
            with provider.get_tracer("interop/python/other").start_as_current_span("child"):
                pass
provider.shutdown()
sys.exit(exported != ["SUCCESS"] * len(exported) or not exported)
