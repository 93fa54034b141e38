/* SPDX-License-Identifier: Apache-2.0
 * OTLP/gRPC: one unary call a request, on HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/answer.h"
#include "exporters/backend.h"

static const char PATH[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
struct grpc {
	struct backend *backend;
	char timeout[24]; /* grpc-timeout: at most eight digits and a unit */
};

/* In milliseconds, or in seconds where eight digits are too few. */
static void print_timeout(char *out, size_t size, uint64_t ms)
{
	if (ms < 100000000)
		snprintf(out, size, "%" PRIu64 "m", ms);
	else
		snprintf(out, size, "%" PRIu64 "S", ms / 1000 < 99999999 ? ms / 1000 : 99999999);
}

static void grpc_destroy(void *exporter)
{
	struct grpc *g = exporter;
	backend_destroy(g->backend);
	free(g);
}

static struct backend_protocol protocol_of(struct grpc *g, const struct conf_exporter *conf)
{
	struct backend_protocol p = {.http2_only = true,
				     .prefixed = true,
				     .compressed_flag = conf->compression != COMPRESSION_NONE,
				     .path = PATH,
				     .judge = answer_grpc};
	print_timeout(g->timeout, sizeof(g->timeout), conf->timeout_ms);
	backend_add_field(&p, "grpc-timeout", g->timeout);
	backend_add_field(&p, "te", "trailers");
	backend_add_field(&p, "content-type", "application/grpc");
	if (conf->compression != COMPRESSION_NONE)
		backend_add_field(&p, "grpc-encoding", CODING_NAMES[exporter_coding(conf)]);
	backend_add_field(&p, "grpc-accept-encoding", "identity"); /* an answer is a few bytes */
	return p;
}

static void *grpc_create(const struct conf_exporter *conf, struct tls *tls, struct ev_loop *loop,
			 _Atomic uint64_t *connects)
{
	struct grpc *g = calloc(1, sizeof(*g));
	if (g == NULL)
		return NULL;
	struct backend_protocol p = protocol_of(g, conf);
	g->backend = backend_create(conf, tls, loop, &p, connects);
	if (g->backend == NULL) {
		grpc_destroy(g);
		return NULL;
	}
	return g;
}

static int grpc_take(void *exporter, const struct conf_exporter *conf)
{
	struct grpc *g = exporter;
	struct backend_protocol p = protocol_of(g, conf);
	return backend_take(g->backend, conf, &p);
}

static void grpc_renew(void *exporter, struct tls *tls)
{
	backend_renew(((struct grpc *)exporter)->backend, tls);
}

static void grpc_send(void *exporter, struct export_call *call)
{
	backend_send(((struct grpc *)exporter)->backend, call);
}

const struct exporter_ops EXPORTER_GRPC = {
    .name = "otlp_grpc",
    .create = grpc_create,
    .take = grpc_take,
    .renew = grpc_renew,
    .send = grpc_send,
    .destroy = grpc_destroy,
    .compresses = true,
};
