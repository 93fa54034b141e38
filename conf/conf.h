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
#include "base/secret.h"

enum {
	CONF_RECENT_LEAST = 8 << 20, /* of sampling.recent: eight files */
	CONF_MAX_EXPORTERS = 16,
	CONF_MAX_RULES = 256,
	CONF_MAX_SOURCES = 64,
	CONF_MAX_BUDGETS = 256,
	CONF_MAX_BY = 4,
	CONF_MAX_ALLOW = 256,
	CONF_MAX_NAMES = 256,
	CONF_MAX_CLIENTS = 256,
	CONF_HMAC_LEAST = 32, /* bytes of a key: as much as what it makes */
	CONF_RULE_NAME = 56,  /* bytes; a budget may put a word before it */
	CONF_FAULTY = 1
};

enum conf_protocol { PROTOCOL_GRPC, PROTOCOL_HTTP, PROTOCOL_TERMINAL };
enum conf_preset { PRESET_NONE, PRESET_LIGHTSTEP };
enum conf_compression { COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_NONE };

enum conf_when_full { WHEN_FULL_REFUSE, WHEN_FULL_DROP_OLDEST, WHEN_FULL_INHERIT };

/* What an exporter may hold back on disk while its backend does not keep up. */
struct conf_outbox {
	uint64_t limit_bytes, max_age_ms;
	enum conf_when_full when_full;
};

enum conf_tls_version { CONF_TLS_1_2, CONF_TLS_1_3 };
enum conf_client_auth { CLIENT_AUTH_REQUIRE, CLIENT_AUTH_OPTIONAL };

/* Of a receiver or an exporter; files are PEM, "" for none. */
struct conf_tls {
	char *cert_file, *key_file; /* our certificate with its chain, and its key */
	char *ca_file;              /* whom to trust; an exporter's "": the system's roots */
	enum conf_tls_version min_version;

	enum conf_client_auth client_auth; /* a receiver that has a ca_file */

	char *server_name; /* an exporter's; "": the endpoint's host; SNI, check and :authority */
	bool insecure;     /* ... whose headers may go in plain text */
	bool skip_verify;  /* ... who believes any certificate */
};

/* Where the value of a header comes from. All but plain text is a credential: it may change while
 * the relay runs, or be missing (exporters/credential.h). */
enum conf_value_source {
	SOURCE_TEXT,     /* it stands in the file; sent as it is, and never shown all the same */
	SOURCE_ENV,      /* the environment, for the life of the process */
	SOURCE_FILE,     /* the first line of a file, with a second one as an alternative */
	SOURCE_ENV_FILE, /* a line NAME=VALUE of a file */
	SOURCE_OAUTH2,   /* fetched with the exporter's oauth2 settings */
	SOURCE_MISSING   /* nowhere: nothing is sent, all is kept */
};

struct conf_header {
	char *name; /* lower case */
	enum conf_value_source source;
	char *value;           /* SOURCE_TEXT */
	struct secret *secret; /* SOURCE_ENV: with what stands around it */
	char *path;            /* SOURCE_FILE, SOURCE_ENV_FILE */
	char *prefix; /* what goes before a file's token, such as "Bearer "; NULL: nothing */
	char *from;   /* who named the source, for people: variables, or NULL: the file does */
};

/* A token that is fetched: OAuth 2.0 client credentials, RFC 6749, 4.4. */
enum conf_oauth2_auth { OAUTH2_BASIC, OAUTH2_POST };
struct conf_oauth2 {
	char *token_url; /* "": none of this */
	char *client_id_file, *client_secret_file;
	char *scopes;  /* parted by blanks; "": not sent */
	char *ca_file; /* "": the exporter's */
	enum conf_oauth2_auth auth;
};

/* How tokens that change are treated; see docs/credentials.md. */
struct conf_credentials {
	uint64_t overlap_ms;     /* the previous one lives so long after a change */
	uint64_t retry_ms;       /* a new one that is refused is tried so often */
	uint64_t give_up_ms;     /* and no more after this */
	uint64_t poll_ms;        /* files are read so often, events or not */
	unsigned world_readable; /* enum conf_world_readable */
};
enum conf_world_readable { WORLD_READABLE_REFUSE, WORLD_READABLE_ALLOW };

struct conf_exporter {
	char *name; /* letters, digits, - and _; unique; at most 63 */
	enum conf_preset preset;
	enum conf_protocol protocol;
	char *endpoint; /* http://host:port or https://host:port, gRPC too; "" for terminal */
	char *path;     /* OTLP/HTTP only: default /v1/traces */
	enum conf_compression compression;
	struct conf_header *headers;
	size_t n_headers;
	struct conf_tls tls;    /* for https:// endpoints */
	uint64_t timeout_ms;    /* one request, from sending to its answer */
	uint64_t linger_ms;     /* waits this long for a fuller request */
	uint64_t batch_bytes;   /* sends at once when this much waits */
	uint64_t request_bytes; /* never more than this in one request, uncompressed */
	uint64_t concurrency;   /* requests in flight */
	uint64_t retry_initial_ms, retry_max_ms;
	struct conf_outbox outbox; /* the general one where it says nothing */
	struct conf_oauth2 oauth2;
	struct conf_credentials credentials; /* a copy of the general ones */
	/* why this exporter exists, for the log: "configuration", "OTEL_..." */
	const char *chosen_by;
};

/* In the file, from 1; for messages (conf/report.h). */
struct conf_place {
	uint32_t line, column;
};

/* A text in a language of its own, for others to read: conditions and fields
 * (pipeline/condition.h). Their messages point into it. */
struct conf_text {
	char *text;           /* NULL: not said */
	struct conf_place at; /* of the scalar */
	char quote;           /* enum node_quote */
	bool secret;          /* from the environment: never shown, nor any word of it */
};

/* Where a byte of the text stands in the file, or, where that cannot be told, its beginning. */
struct conf_place conf_text_place(const struct conf_text *t, size_t offset);

struct conf_by {
	struct conf_text fields[CONF_MAX_BY];
	size_t n;
	struct conf_place at;
};

enum conf_keep { KEEP_SHARE, KEEP_GOAL, KEEP_SATELLITE };

struct conf_rule {
	struct conf_place at;
	char *name;
	struct conf_text when; /* none: all traces */
	struct {
		enum conf_keep kind;
		double share, satellite;
		/* KEEP_GOAL: what is not 0 */
		uint64_t spans_per_second, bytes_per_second;
		double goal;
		struct conf_by by;
		uint64_t max_keys;
	} keep;
	bool protected, dry_run;
	double rollout;        /* 1: all traces see it */
	char *budget;          /* "" for none */
	uint32_t budget_index; /* in conf.budgets, or CONF_NO_BUDGET: also where it keeps nothing */
};
#define CONF_NO_BUDGET UINT32_MAX

struct conf_source {
	struct conf_place at;
	struct conf_text when;
	double sampled; /* 0: not said */
	bool hash;
};

enum conf_month_policy { MONTH_PACE, MONTH_CAP, MONTH_REPORT };

struct conf_budget {
	struct conf_place at;
	char *name, *parent; /* "" for none */
	uint32_t parent_index;
	struct conf_by by; /* then the rates are each key's */
	uint64_t spans_per_second, bytes_per_second, spans_per_month, bytes_per_month; /* 0: none */
	enum conf_month_policy month_policy;
	uint64_t billing_day, weight, burst_ms, debt_ms, max_keys;
	double reserve;
};

/* A list of texts. */
struct conf_names {
	char **names;
	struct conf_place *at; /* of each */
	size_t n;
};

enum conf_mask {
	CONF_MASK_KEEP_LENGTH,
	CONF_MASK_REPLACE,
	CONF_MASK_TYPED,
	CONF_MASK_HMAC,
	CONF_MASK_KEEP_LAST_4,
	CONF_MASK_DROP
};

/* What rule `rule` finds is no secret where the expression `match` is found in it. */
struct conf_allow {
	struct conf_place at;
	char *rule;
	struct conf_text match;
};

enum conf_marks { MARKS_SILENT, MARKS_COUNT };

struct conf_redaction {
	const char *file; /* the configuration's name, for messages; not owned */
	struct conf_names
	    packs;       /* none: nothing is redacted but what `keys` and rules_dir ask for */
	char *rules_dir; /* "": no rules of one's own */
	enum conf_mask mask;
	struct {
		struct conf_names block, allow_only, ignore; /* globs */
	} keys;
	struct conf_allow *allow;
	size_t n_allow;
	char *hmac_key_file; /* "": none */
	uint8_t *hmac_key;   /* what is in it: a secret, wiped */
	size_t hmac_key_len;
	char hmac_key_id[9]; /* of its bytes: eight hex digits */
	enum conf_marks marks;
};

/* What was decided, by whom and why, on disk (docs/audit.md). */
struct conf_audit {
	bool enabled, decisions;
	char *key_file;     /* "": none */
	struct secret *key; /* what is in it; NULL: none */
	uint64_t limit_bytes, keep_ms;
	uint64_t interval_ms; /* of balances and checkpoints */
};

struct conf_sampling {
	uint64_t wait_ms, root_wait_ms, trace_spans, trace_bytes, memory_bytes, pending_bytes;
	uint64_t kept_records, dropped_records, records_ms;
	uint64_t recent_bytes; /* 0: nothing is recorded for `spanrelay plan` */
	bool dry_run;
	struct conf_rule *rules; /* where there are any, the last one takes everything */
	size_t n_rules;
	struct conf_source *sources;
	size_t n_sources;
};

enum conf_identity { IDENTITY_OFF, IDENTITY_ANNOTATE, IDENTITY_REQUIRE };

/* One that sends, and by what it is known; "" for what it is not known by. */
struct conf_client {
	struct conf_place at;
	char *name;                /* unique */
	char *token_file;          /* two lines are two tokens, both good */
	char *certificate_subject; /* RFC 2253: "CN=edge,O=Example" */
	char *certificate_san;     /* DNS name, URI or e-mail address */
	char *environment, *role;  /* what spans are to say of it */
};

struct conf {
	char *data_dir;
	struct {
		char *listen;        /* host:port, [v6]:port; "off" for none */
		struct conf_tls tls; /* with a cert_file TLS, else plain text; admin: never */
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
	struct conf_credentials credentials;
	struct conf_sampling sampling;
	struct conf_budget *budgets; /* no way of parents is a circle */
	size_t n_budgets;
	struct conf_redaction redaction;
	struct conf_audit audit;
	enum conf_identity identity;
	struct conf_client *clients;
	size_t n_clients;
};

/* Reads `path`, or, for NULL, takes the defaults and an exporter from the environment. Borrows the
 * name as long as `c` lives. Where the
 * file names no exporter, the environment chooses too. Everything wrong is told in one go: each
 * finding is a line `file:line:column: what was wanted` (about a variable: `environment: NAME:
 * ...`) appended to `findings`. Gives 0, where there may be lines that say `warning:`; CONF_FAULTY;
 * negative only for no memory. Unless it gives 0, `c` holds nothing. Values of the environment
 * never stand in `findings`. */
int conf_load(struct conf *c, const char *path, struct buf *findings);
int conf_parse(struct conf *c, const char *name, struct slice text, struct buf *findings);
/* conf_load() for a relay that runs with `running`: what only a restart changes stays as it is
 * there, before anything that follows from it is looked at, and is told in `restart`, a line each
 * (conf/change.h). */
int conf_reload(struct conf *c, const char *path, const struct conf *running, struct buf *findings,
		struct buf *restart);
void conf_finish(struct conf *c); /* wipes header values; a zeroed one is fine */

/* All of a file of at most YAML_MAX_BYTES: 0, or the errno (EFBIG). */
int conf_read_file(const char *path, struct buf *out);

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
