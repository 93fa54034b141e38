// SPDX-License-Identifier: Apache-2.0
// stock.js PORT: a service at the end of a call, instrumented with the SDK. /fail... fails, /slow... takes 400 ms.
// The endpoint for spans comes from the environment.
'use strict';
const http = require('http');
const api = require('@opentelemetry/api');
const { W3CTraceContextPropagator } = require('@opentelemetry/core');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchSpanProcessor, TracerProvider } = require('@opentelemetry/sdk-trace');

const provider = new TracerProvider({
	resource: resourceFromAttributes({ 'service.name': 'stock' }),
	spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), scheduledDelayMillis: 200 })],
});
const tracer = provider.getTracer('stock');
const propagator = new W3CTraceContextPropagator();

const server = http.createServer((request, response) => {
	const context = propagator.extract(api.ROOT_CONTEXT, request.headers, api.defaultTextMapGetter);
	const attributes = { 'http.request.method': 'GET', 'url.path': request.url };
	const span = tracer.startSpan('GET /stock', { kind: api.SpanKind.SERVER, attributes }, context);
	setTimeout(() => {
		const status = request.url.startsWith('/fail') ? 500 : 200;
		span.setAttribute('http.response.status_code', status);
		if (status === 500)
			span.setStatus({ code: api.SpanStatusCode.ERROR, message: 'out of stock' });
		span.end();
		response.writeHead(status, { 'Content-Length': 0 }).end();
	}, request.url.startsWith('/slow') ? 400 : 0);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => provider.shutdown().then(() => process.exit(0))));
