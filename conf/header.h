/* SPDX-License-Identifier: Apache-2.0
 * conf/header.h - the extra headers of an exporter. A value is a secret, whatever its name is: it
 * is wiped when it is freed and stands in no message. */
#ifndef CONF_HEADER_H
#define CONF_HEADER_H

#include "conf/conf.h"
#include "conf/report.h"

#define LIGHTSTEP_HEADER "lightstep-access-token"

enum { HEADER_MAX = 32, HEADER_VALUE_MAX = 8192 };

/* Adds a copy, its name in lower case. NULL when all is well, else what is wrong, for a message;
 * HEADER_OUT_OF_MEMORY when that is it. */
extern const char HEADER_OUT_OF_MEMORY[];
const char *header_add(struct conf_exporter *e, const char *name, const char *value);

/* Adds one whose value came out of the environment: a credential. Copies `value`. */
const char *header_add_secret(struct conf_exporter *e, const char *name, const char *value,
			      const char *from);

/* Adds one whose value is read while the relay runs, or is missing. `prefix` may be NULL. */
const char *header_add_source(struct conf_exporter *e, const char *name,
			      enum conf_value_source source, const char *path, const char *prefix,
			      const char *from);

/* The same as a file's `{ file: PATH, prefix: "Bearer " }` says it; NULL: not said. Variables are
 * looked up here, and what contradicts itself is reported at `at`. */
struct header_source {
	const char *file, *file_env, *env, *prefix;
	struct place at;
};
const char *header_add_sourced(struct conf_exporter *e, const char *name,
			       const struct header_source *s, struct report *r);

/* Adds those of a list as OTEL_EXPORTER_OTLP_HEADERS has them, `a=b,c=d` with values percent-coded;
 * `from` is the variable. They are credentials. */
const char *header_add_list(struct conf_exporter *e, const char *list, const char *from);

const struct conf_header *header_find(const struct conf_exporter *e,
				      const char *name); /* or NULL */

/* How many headers are not plain text. */
size_t headers_secret(const struct conf_exporter *e);

/* Whether a header is one that carries credentials, by its name: authorization, ...token, ... */
bool header_is_credential(const char *name);
void headers_finish(struct conf_exporter *e);

/* Overwrites and frees; NULL is fine. */
void secret_free(char *text);

#endif
