/* SPDX-License-Identifier: Apache-2.0
 * conf/discovery.h - the exporter of somebody who configured none: what OpenTelemetry's and
 * Lightstep's own variables ask for. An empty variable is one that is not set. */
#ifndef CONF_DISCOVERY_H
#define CONF_DISCOVERY_H

#include "conf/conf.h"
#include "conf/report.h"

/* Fills in `e`, which holds the defaults, and says in e->chosen_by why: the OTLP endpoint
 * variables, else Lightstep where there is a token, else the terminal. */
void discover_exporter(struct conf_exporter *e, struct report *r);

/* The Lightstep token: LS_ACCESS_TOKEN, LIGHTSTEP_ACCESS_TOKEN, LS_TOKEN, else
 * lightstep-access-token in the OTLP header variables; gives it, to be freed by secret_free().
 * NULL: there is none, or no usable one (a warning), or there are two that differ (a fault). */
char *discover_token(struct report *r, const char **variable);

#endif
