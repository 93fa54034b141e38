/* SPDX-License-Identifier: Apache-2.0
 * OTLP/HTTP with binary protobuf: one POST a request, on HTTP/1.1 or, where TLS agrees on it,
 * HTTP/2. */
#include <stdlib.h>

#include "exporters/answer.h"
#include "exporters/backend.h"

static struct backend_protocol protocol_of(const struct conf_exporter *conf)
{
	struct backend_protocol p = {.path = conf->path, .judge = answer_http};
	backend_add_field(&p, "content-type", "application/x-protobuf");
	if (conf->compression != COMPRESSION_NONE)
		backend_add_field(&p, "content-encoding", CODING_NAMES[exporter_coding(conf)]);
	return p;
}

static void *http_create(const struct conf_exporter *conf, struct tls *tls, struct ev_loop *loop,
			 _Atomic uint64_t *connects)
{
	struct backend_protocol p = protocol_of(conf);
	return backend_create(conf, tls, loop, &p, connects);
}

static void http_renew(void *exporter, struct tls *tls)
{
	backend_renew(exporter, tls);
}

static int http_take(void *exporter, const struct conf_exporter *conf)
{
	struct backend_protocol p = protocol_of(conf);
	return backend_take(exporter, conf, &p);
}

static void http_send(void *exporter, struct export_call *call)
{
	backend_send(exporter, call);
}

static void http_destroy(void *exporter)
{
	backend_destroy(exporter);
}

const struct exporter_ops EXPORTER_HTTP = {
    .name = "otlp_http",
    .create = http_create,
    .take = http_take,
    .renew = http_renew,
    .send = http_send,
    .destroy = http_destroy,
    .compresses = true,
};
