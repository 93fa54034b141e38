// SPDX-License-Identifier: Apache-2.0

// client grpc|http COUNT       COUNT rounds of known spans, then flush.
// client grpc|http load SECS   keeps exporting; prints what the exporter said of each request.
// The endpoint and the compression come from the environment, as for any program with this SDK.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return v
}

func exporter(ctx context.Context, protocol string) *otlptrace.Exporter {
	if protocol == "grpc" {
		return must(otlptracegrpc.New(ctx))
	}
	return must(otlptracehttp.New(ctx))
}

var attributes = []attribute.KeyValue{
	attribute.String("string", "GET /ünïcödé?q=1"),
	attribute.String("empty string", ""),
	attribute.Bool("true", true),
	attribute.Bool("false", false),
	attribute.Int64("int64 min", -1<<63),
	attribute.Int64("zero", 0),
	attribute.Float64("double", -1.5e300),
	attribute.StringSlice("strings", []string{"a", "", "ß"}),
	attribute.BoolSlice("bools", []bool{true, false}),
	attribute.Int64Slice("ints", []int64{-1, 0, 1<<63 - 1}),
	attribute.Float64Slice("doubles", []float64{0, 0.5, -0.25}),
	attribute.StringSlice("no strings", []string{}),
	attribute.ByteSlice("bytes", []byte{0, 0xff, 'x', 0x80}),
	attribute.Slice("mixed", attribute.StringValue("a"), attribute.Int64Value(1)),
	attribute.Map("map", attribute.String("k", "v"), attribute.Bool("b", true)),
	{Key: "empty", Value: attribute.Value{}},
}

func spans(ctx context.Context, provider *sdk.TracerProvider, rounds int) {
	tracer := provider.Tracer("interop/go", trace.WithInstrumentationVersion("1.2.3"),
		trace.WithSchemaURL("https://opentelemetry.io/schemas/1.37.0"),
		trace.WithInstrumentationAttributes(attribute.String("scope.key", "scope value")))
	other := provider.Tracer("interop/go/other")
	state := must(trace.ParseTraceState("vendor=one,ot=th:8"))
	kinds := []trace.SpanKind{trace.SpanKindInternal, trace.SpanKindServer, trace.SpanKindClient,
		trace.SpanKindProducer, trace.SpanKindConsumer}
	for i := range rounds {
		id := trace.TraceID{1, 2, 3, byte(i >> 8), byte(i), 15: 7}
		remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{9, 7: 9},
			TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
		ctx := trace.ContextWithRemoteSpanContext(ctx, remote)
		for _, kind := range kinds {
			ctx, span := tracer.Start(ctx, fmt.Sprintf("%s %d", kind, i), trace.WithSpanKind(kind),
				trace.WithAttributes(attributes...),
				trace.WithLinks(trace.Link{SpanContext: remote,
					Attributes: []attribute.KeyValue{attribute.String("link", "one")}}))
			span.AddEvent("an event", trace.WithAttributes(attributes...))
			span.RecordError(errors.New("an error"))
			span.SetStatus([]codes.Code{codes.Unset, codes.Ok, codes.Error}[i%3], "why")
			_, child := other.Start(ctx, "child")
			child.End()
			span.End()
		}
	}
}

// load: four callers, each with one request in flight and a breath between them; a request has 10 spans.
func load(ctx context.Context, protocol string, seconds int) {
	var lock sync.Mutex
	var wait sync.WaitGroup
	ok, failed := 0, map[string]int{}
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	for c := range 4 {
		wait.Go(func() {
			e := exporter(ctx, protocol)
			for n := 0; time.Now().Before(end); n++ {
				var stubs tracetest.SpanStubs
				for s := range 10 {
					stubs = append(stubs, tracetest.SpanStub{Name: fmt.Sprintf("%d.%d.%d", c, n, s),
						SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
							TraceID: trace.TraceID{1, byte(c), byte(n >> 16), byte(n >> 8), byte(n)},
							SpanID:  trace.SpanID{1, byte(c), byte(n >> 16), byte(n >> 8), byte(n), byte(s)}}),
						StartTime: time.Now(), EndTime: time.Now()})
				}
				err := e.ExportSpans(ctx, stubs.Snapshots())
				lock.Lock()
				if err == nil {
					ok++
					fmt.Printf("ok %d.%d\n", c, n)
				} else {
					failed[err.Error()]++
				}
				lock.Unlock()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wait.Wait()
	for why, n := range failed {
		fmt.Printf("failed %d %s\n", n, why)
	}
	fmt.Printf("done %d\n", ok)
}

func main() {
	ctx := context.Background()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}))
	if os.Args[2] == "load" {
		load(ctx, os.Args[1], must(strconv.Atoi(os.Args[3])))
		return
	}
	res := resource.NewWithAttributes("https://opentelemetry.io/schemas/1.37.0",
		append([]attribute.KeyValue{attribute.String("service.name", "interop-go")}, attributes...)...)
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter(ctx, os.Args[1])), sdk.WithResource(res))
	spans(ctx, provider, must(strconv.Atoi(os.Args[2])))
	if err := provider.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
