// SPDX-License-Identifier: Apache-2.0

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.*;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Client grpc|http COUNT: rounds of known spans, then flush. The endpoint comes from the environment. */
class Client {
	static final String SCHEMA = "https://opentelemetry.io/schemas/1.37.0";
	static final Attributes ATTRIBUTES = Attributes.builder()
		.put("string", "GET /ünïcödé?q=1").put("empty string", "")
		.put("true", true).put("false", false)
		.put("int64 min", Long.MIN_VALUE).put("zero", 0L).put("double", -1.5e300)
		.put("strings", "a", "", "ß").put("bools", true, false)
		.put("ints", -1L, 0L, Long.MAX_VALUE).put("doubles", 0.0, 0.5, -0.25)
		.put(AttributeKey.stringArrayKey("no strings"), List.of())
		.build();

	/** Counts what the exporter says of each request. */
	record Counting(SpanExporter inner, AtomicInteger ok, AtomicInteger failed) implements SpanExporter {
		public CompletableResultCode export(Collection<SpanData> spans) {
			CompletableResultCode result = inner.export(spans);
			result.whenComplete(() -> (result.isSuccess() ? ok : failed).incrementAndGet());
			return result;
		}
		public CompletableResultCode flush() { return inner.flush(); }
		public CompletableResultCode shutdown() { return inner.shutdown(); }
	}

	static SpanExporter exporter(String protocol) {
		String endpoint = System.getenv("OTEL_EXPORTER_OTLP_ENDPOINT");
		String compression = System.getenv().getOrDefault("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
		var grpc = OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression(compression);
		var http = OtlpHttpSpanExporter.builder().setEndpoint(endpoint + "/v1/traces").setCompression(compression);
		if (endpoint.startsWith("https:")) { // what autoconfiguration would do
			grpc.setTrustedCertificates(file("CERTIFICATE")).setClientTls(file("CLIENT_KEY"), file("CLIENT_CERTIFICATE"));
			http.setTrustedCertificates(file("CERTIFICATE")).setClientTls(file("CLIENT_KEY"), file("CLIENT_CERTIFICATE"));
		}
		return protocol.equals("grpc") ? grpc.build() : http.build();
	}

	static byte[] file(String name) {
		try {
			return java.nio.file.Files.readAllBytes(java.nio.file.Path.of(System.getenv("OTEL_EXPORTER_OTLP_" + name)));
		} catch (java.io.IOException e) {
			throw new java.io.UncheckedIOException(e);
		}
	}

	public static void main(String[] args) {
		var exporter = new Counting(exporter(args[0]), new AtomicInteger(), new AtomicInteger());
		var provider = SdkTracerProvider.builder()
			.setResource(Resource.create(ATTRIBUTES.toBuilder().put("service.name", "interop-java").build(), SCHEMA))
			.addSpanProcessor(BatchSpanProcessor.builder(exporter).setMaxExportBatchSize(100)
				.setMaxQueueSize(100_000).setScheduleDelay(Duration.ofMillis(100)).build())
			.build();
		var tracer = provider.tracerBuilder("interop/java").setInstrumentationVersion("1.2.3").setSchemaUrl(SCHEMA).build();
		var other = provider.tracerBuilder("interop/java/other").build();
		var remote = SpanContext.createFromRemoteParent("0102030405060708090a0b0c0d0e0f10", "1112131415161718",
			TraceFlags.getSampled(), TraceState.builder().put("vendor", "one").put("ot", "th:8").build());
		var parent = Context.root().with(Span.wrap(remote));
		var codes = new StatusCode[] {StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR};
		for (int i = 0; i < Integer.parseInt(args[1]); i++) {
			for (var kind : SpanKind.values()) {
				var span = tracer.spanBuilder(kind + " " + i).setParent(parent).setSpanKind(kind)
					.addLink(remote, ATTRIBUTES).setAllAttributes(ATTRIBUTES).startSpan();
				span.addEvent("an event", ATTRIBUTES);
				span.recordException(new IllegalStateException("an error"));
				span.setStatus(codes[i % 3], "why");
				other.spanBuilder("child").setParent(parent.with(span)).startSpan().end();
				span.end();
			}
		}
		boolean flushed = provider.shutdown().join(60, TimeUnit.SECONDS).isSuccess();
		System.exit(flushed && exporter.failed.get() == 0 && exporter.ok.get() > 0 ? 0 : 1);
	}
}
