/* SPDX-License-Identifier: Apache-2.0
 * exporters/backend.h - what OTLP/gRPC and OTLP/HTTP have in common: the connections to one
 * backend, opened when a call needs one, and the calls on them, each with its time limit. A
 * protocol brings its header fields and its way of reading answers. On one loop: that of the export
 * room, and, for tokens that are fetched, that of the keys room (exporters/oauth2.h). */
#ifndef EXPORTERS_BACKEND_H
#define EXPORTERS_BACKEND_H

#include "exporters/exporter.h"
#include "wire/http.h"

enum { BACKEND_PREFIX = 5, BACKEND_FIELDS = 8 };

struct backend_protocol {
	bool http2_only;      /* else: HTTP/1.1, and under TLS whatever ALPN says */
	bool prefixed;        /* five bytes before the body: gRPC's message frame */
	bool compressed_flag; /* their first byte */
	const char *path;
	/* Fields after the pseudo-headers and before those of the configuration; borrowed. */
	struct http_field fields[BACKEND_FIELDS];
	size_t n_fields;
	struct outcome (*judge)(const struct http_response *r, uint64_t now_unix_ms);
};

/* Adds a field; borrows both texts. */
void backend_add_field(struct backend_protocol *p, const char *name, const char *value);

/* Borrows conf and counts its connection attempts in *connects. Takes a reference of its own of
 * `tls`, which an https:// endpoint needs. Copies `protocol`, but what its slices point at must
 * live as long. Gives NULL when conf cannot be used (logged). */
struct backend *backend_create(const struct conf_exporter *conf, struct tls *tls,
			       struct ev_loop *loop, const struct backend_protocol *protocol,
			       _Atomic uint64_t *connects);
/* As exporter_ops.take; `protocol` as above. */
int backend_take(struct backend *b, const struct conf_exporter *conf,
		 const struct backend_protocol *protocol);
/* As exporter_ops.renew, .send and .destroy say. */
void backend_renew(struct backend *b, struct tls *tls);
void backend_send(struct backend *b, struct export_call *call);
void backend_destroy(struct backend *b);

#endif
