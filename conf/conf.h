/* SPDX-License-Identifier: Apache-2.0
 * conf/conf.h - the configuration: one YAML file, read into one struct that never changes again.
 * The option table (conf/option.c) is the only place that knows an option: its key, type, default,
 * range and help text. `spanrelay options`, docs/configuration.md and the checks all come from it.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { CONF_MAX_EXPORTERS = 16, CONF_FAULTY = 1 };

enum conf_protocol { PROTOCOL_GRPC, PROTOCOL_HTTP, PROTOCOL_TERMINAL };
enum conf_preset { PRESET_NONE, PRESET_LIGHTSTEP };
enum conf_compression { COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_NONE };

enum conf_when_full { WHEN_FULL_REFUSE, WHEN_FULL_DROP_OLDEST, WHEN_FULL_INHERIT };

/* What an exporter may hold back on disk while its backend does not keep up. */
struct conf_outbox {
	uint64_t limit_bytes, max_age_ms;
	enum conf_when_full when_full;
};

struct conf_header {
	char *name;  /* lower case */
	char *value; /* a secret: never logged, never shown */
};

struct conf_exporter {
	char *name; /* letters, digits, - and _; unique; at most 63 */
	enum conf_preset preset;
	enum conf_protocol protocol;
	char *endpoint; /* http://host:port or https://host:port, gRPC too; "" for terminal */
	char *path;     /* OTLP/HTTP only: default /v1/traces */
	enum conf_compression compression;
	struct conf_header *headers;
	size_t n_headers;
	char *ca_file;          /* "": the system's roots */
	char *server_name;      /* "": the endpoint's host; for SNI, verification and :authority */
	uint64_t timeout_ms;    /* one request, from sending to its answer */
	uint64_t linger_ms;     /* waits this long for a fuller request */
	uint64_t batch_bytes;   /* sends at once when this much waits */
	uint64_t request_bytes; /* never more than this in one request, uncompressed */
	uint64_t concurrency;   /* requests in flight */
	uint64_t retry_initial_ms, retry_max_ms;
	struct conf_outbox outbox; /* the general one where it says nothing */
	/* why this exporter exists, for the log: "configuration", "OTEL_..." */
	const char *chosen_by;
};

struct conf {
	char *data_dir;
	struct {
		char *listen; /* host:port, [v6]:port; "off" for none */
	} grpc, http, admin;
	struct {
		/* one request, before and after decompression; at most 16 MiB */
		uint64_t request_bytes;
		uint64_t connections;
		uint64_t memory_bytes; /* all that is held for clients */
		uint64_t spans;        /* in one request */
	} limits;
	struct {
		uint64_t linger_ms, group_bytes, limit_bytes;
	} journal;
	struct conf_outbox outbox; /* for exporters that say nothing */
	uint64_t quarantine_bytes; /* of each exporter */
	struct {
		uint64_t level; /* enum log_level */
		bool json;
	} log;
	uint64_t intake_threads;
	uint64_t shutdown_ms; /* deadline of a graceful stop */
	struct conf_exporter *exporters;
	size_t n_exporters;
};

/* Reads `path`, or, for NULL, takes the defaults and an exporter from the environment. Where the
 * file names no exporter, the environment chooses too. Everything wrong is told in one go: each
 * finding is a line `file:line:column: what was wanted` (about a variable: `environment: NAME:
 * ...`) appended to `findings`. Gives 0, where there may be lines that say `warning:`; CONF_FAULTY;
 * negative only for no memory. Unless it gives 0, `c` holds nothing. Values of the environment
 * never stand in `findings`. */
int conf_load(struct conf *c, const char *path, struct buf *findings);
int conf_parse(struct conf *c, const char *name, struct slice text, struct buf *findings);
void conf_finish(struct conf *c); /* wipes header values */

/* One exporter without a file: `settings` are keys and values by turns as they stand in an item of
 * `exporters`, up to a NULL; the key "header" adds one, as `name=value`. Otherwise as conf_parse().
 */
int conf_exporter_init(struct conf_exporter *e, const char *const *settings, const char *name,
		       struct buf *findings);
void conf_exporter_finish(struct conf_exporter *e);

/* The option table for people: plain text for the terminal, Markdown for docs/configuration.md. */
int conf_options_text(struct buf *out);
int conf_options_markdown(struct buf *out);

#endif
