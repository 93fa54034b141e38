/* SPDX-License-Identifier: Apache-2.0
 * conf/header.h - the extra headers of an exporter. A value is a secret, whatever its name is: it
 * is wiped when it is freed and stands in no message. */
#ifndef CONF_HEADER_H
#define CONF_HEADER_H

#include "conf/conf.h"

#define LIGHTSTEP_HEADER "lightstep-access-token"

enum { HEADER_MAX = 32, HEADER_VALUE_MAX = 8192 };

/* Adds a copy, its name in lower case. NULL when all is well, else what is wrong, for a message;
 * HEADER_OUT_OF_MEMORY when that is it. */
extern const char HEADER_OUT_OF_MEMORY[];
const char *header_add(struct conf_exporter *e, const char *name, const char *value);

/* Adds those of a list as OTEL_EXPORTER_OTLP_HEADERS has them, `a=b,c=d` with values percent-coded.
 */
const char *header_add_list(struct conf_exporter *e, const char *list);

const char *header_find(const struct conf_exporter *e, const char *name); /* its value, or NULL */
void headers_finish(struct conf_exporter *e);

/* Overwrites and frees; NULL is fine. */
void secret_free(char *text);

#endif
