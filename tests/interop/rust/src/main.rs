// SPDX-License-Identifier: Apache-2.0

//! client grpc|http|json COUNT: rounds of known spans, then flush. The endpoint comes from the environment.
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{trace::SdkTracerProvider, Resource};

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

fn attributes() -> Vec<KeyValue> {
    let strings: Vec<StringValue> = vec!["a".into(), "".into(), "ß".into()];
    vec![
        KeyValue::new("string", "GET /ünïcödé?q=1"),
        KeyValue::new("empty string", ""),
        KeyValue::new("true", true),
        KeyValue::new("false", false),
        KeyValue::new("int64 min", i64::MIN),
        KeyValue::new("zero", 0_i64),
        KeyValue::new("double", -1.5e300),
        KeyValue::new("strings", Value::Array(Array::String(strings))),
        KeyValue::new("bools", Value::Array(vec![true, false].into())),
        KeyValue::new("ints", Value::Array(vec![-1_i64, 0, i64::MAX].into())),
        KeyValue::new("doubles", Value::Array(vec![0.0, 0.5, -0.25].into())),
    ]
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let count: usize = args[2].parse().unwrap();
    // The blocking HTTP client refuses to be made or dropped inside of the runtime.
    let exporter = if args[1] == "grpc" {
        SpanExporter::builder().with_tonic().build().unwrap()
    } else {
        let protocol = if args[1] == "json" { Protocol::HttpJson } else { Protocol::HttpBinary };
        tokio::task::block_in_place(|| SpanExporter::builder().with_http().with_protocol(protocol).build().unwrap())
    };
    let resource = Resource::builder_empty()
        .with_schema_url(attributes(), SCHEMA)
        .with_attribute(KeyValue::new("service.name", "interop-rust"))
        .build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer_with_scope(
        InstrumentationScope::builder("interop/rust")
            .with_version("1.2.3")
            .with_schema_url(SCHEMA)
            .with_attributes([KeyValue::new("scope.key", "scope value")])
            .build(),
    );
    let other = provider.tracer("interop/rust/other");
    let state = TraceState::from_key_value([("vendor", "one"), ("ot", "th:8")]).unwrap();
    let trace = TraceId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let remote = SpanContext::new(trace, SpanId::from_bytes([9; 8]), TraceFlags::SAMPLED, true, state);
    let parent = Context::new().with_remote_span_context(remote.clone());
    let kinds =
        [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    for i in 0..count {
        for kind in &kinds {
            let builder = tracer
                .span_builder(format!("{kind:?} {i}"))
                .with_kind(kind.clone())
                .with_attributes(attributes())
                .with_links(vec![Link::new(remote.clone(), attributes(), 0)]);
            let context = parent.with_span(tracer.build_with_context(builder, &parent));
            let span = context.span();
            span.add_event("an event", attributes());
            span.set_status([Status::Unset, Status::Ok, Status::error("why")][i % 3].clone());
            drop(other.start_with_context("child", &context));
            span.end();
        }
    }
    provider.shutdown().unwrap();
}
