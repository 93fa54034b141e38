// SPDX-License-Identifier: Apache-2.0
// client.js grpc|http|json COUNT: rounds of known spans, then flush. The endpoint comes from the environment.
'use strict';
const api = require('@opentelemetry/api');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchSpanProcessor, TracerProvider } = require('@opentelemetry/sdk-trace');
const [protocol, count] = process.argv.slice(2);
const names = { grpc: 'grpc', http: 'proto', json: 'http' };
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-' + names[protocol]);

const attributes = {
	string: 'GET /ünïcödé?q=1',
	'empty string': '',
	true: true,
	false: false,
	integer: -9007199254740991,
	zero: 0,
	double: -1.5e300,
	bytes: new Uint8Array([0, 255, 120, 128]),
	strings: ['a', '', 'ß'],
	bools: [true, false],
	numbers: [-1, 0, 0.5],
	'no strings': [],
	map: { k: 'v', list: [1, 'a'] },
	empty: null,
};

const exporter = new OTLPTraceExporter();
const results = [];
const send = exporter.export.bind(exporter);
exporter.export = (spans, done) => send(spans, r => { results.push(r.code); if (r.error) console.error(r.error); done(r); });

const provider = new TracerProvider({
	resource: resourceFromAttributes({ 'service.name': 'interop-js', list: ['x', 'y'], n: 3 },
		{ schemaUrl: 'https://opentelemetry.io/schemas/1.37.0' }),
	spanProcessors: [new BatchSpanProcessor({ exporter })],
});
const tracer = provider.getTracer('interop/js', '1.2.3', { schemaUrl: 'https://opentelemetry.io/schemas/1.37.0' });
const remote = {
	traceId: '0102030405060708090a0b0c0d0e0f10', spanId: '1112131415161718', isRemote: true,
	traceFlags: api.TraceFlags.SAMPLED, traceState: api.createTraceState('vendor=one,ot=th:8'),
};
const context = api.trace.setSpanContext(api.ROOT_CONTEXT, remote);
for (let i = 0; i < count; i++) {
	for (let kind = 0; kind < 5; kind++) {
		const span = tracer.startSpan(`${kind} ${i}`,
			{ kind, attributes, links: [{ context: remote, attributes: { link: 'one' } }] }, context);
		span.addEvent('an event', attributes);
		span.recordException(new Error('an error'));
		span.setStatus({ code: i % 3, message: 'why' });
		provider.getTracer('interop/js/other').startSpan('child', {}, api.trace.setSpan(context, span)).end();
		span.end();
	}
}
provider.shutdown().then(() => process.exit(results.length > 0 && results.every(c => c === 0) ? 0 : 1));
