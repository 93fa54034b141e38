/* SPDX-License-Identifier: Apache-2.0
 * exporters/exporter.h - one way of handing spans to a backend.
 * A protocol is one const struct of functions and one line in exporters/registry.c. The sender
 * (exporters/sender.h) does what is common: which spans, how many at a time, again or not. */
#ifndef EXPORTERS_EXPORTER_H
#define EXPORTERS_EXPORTER_H

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"
#include "base/tls.h"
#include "conf/conf.h"
#include "wire/codec.h"

struct key; /* exporters/credential.h */
struct http_response;

/* What a backend made of one request, by the classes of docs/architecture.md ("Answers"). */
enum verdict {
	SENT,          /* taken; `rejected` spans of it were not (partial success) */
	RETRY,         /* passing fault: wait, then again */
	HOLD_AUTH,     /* the credential was refused: keep, probe rarely, for ever */
	HOLD_UPSTREAM, /* wrong path or protocol: keep, probe rarely, for ever, warn */
	SPLIT,         /* too large for this backend */
	REFUSED        /* the backend calls the data bad */
};

struct outcome {
	enum verdict verdict;
	uint64_t rejected;  /* SENT: spans the backend counted as rejected */
	uint64_t retry_ms;  /* RETRY: the server's own wish, 0 if none; at most 5 min */
	int status;         /* gRPC or HTTP status for the log, -1: none came */
	const char *reason; /* static text of ours, never the backend's words */
};

/* One request under way. The sender embeds it and owns it. */
struct export_call {
	struct slice body; /* as it goes on the wire but for framing; compressed already; borrowed
			      until on_done */
	uint32_t spans;
	/* What the secret headers of the configuration hold; NULL: they are not sent. */
	struct key *key;
	/* Just before its head goes out, once for each connection it is tried on: the last moment
	 * to put another key there. NULL: nothing to do. */
	void (*on_going)(struct export_call *call);
	struct list link; /* for the exporter's use, from send to on_done */
	void (*on_done)(struct export_call *call, struct outcome outcome);
	/* Just before on_done, for who wants to read more of a response than the protocol's
	 * judgement; it is the backend's and ends after this. NULL: nobody does. */
	void (*on_response)(struct export_call *call, struct http_response *r);
};

struct exporter_ops {
	const char *name;
	/* Export room. create gives a connection-less exporter or NULL (logged); nothing blocks. It
	 * borrows conf and counts its connection attempts in *connects. `tls`, of which it takes a
	 * reference of its own, is for https:// endpoints. */
	void *(*create)(const struct conf_exporter *conf, struct tls *tls, struct ev_loop *loop,
			_Atomic uint64_t *connects);
	/* A reload: conf is what it borrows from now on. It differs from the last one in headers,
	 * timeout and concurrency at most; connections stay, and calls under way go on as they
	 * began. 0 or -ENOMEM, with nothing changed. */
	int (*take)(void *exporter, const struct conf_exporter *conf);
	/* Takes a reference: new connections use this one, old ones end when their calls have. */
	void (*renew)(void *exporter, struct tls *tls);
	/* Starts `call`; on_done follows later, never from within, and always, also after a lost
	 * connection or the timeout. At most conf->concurrency calls are under way. */
	void (*send)(void *exporter, struct export_call *call);
	void (*destroy)(void *exporter); /* calls still under way end with RETRY first */
	/* Whether the body is compressed as conf->compression says (terminal: no, it wants plain
	 * OTLP). */
	bool compresses;
};

extern const struct exporter_ops EXPORTER_GRPC, EXPORTER_HTTP, EXPORTER_TERMINAL;
/* exporters/registry.c */
const struct exporter_ops *exporter_find(enum conf_protocol protocol);
enum coding exporter_coding(const struct conf_exporter *conf); /* of the bodies on the wire */

#endif
