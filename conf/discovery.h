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

/* Gives `e` the header with its Lightstep token, from the first of these that is configured; no
 * weaker one is asked when that one holds nothing:
 *   1. LS_ACCESS_TOKEN_FILE, LIGHTSTEP_ACCESS_TOKEN_FILE: a file, read while the relay runs
 *   2. $CREDENTIALS_DIRECTORY/ls_access_token, where there is one: likewise
 *   3. SPANRELAY_ENV_FILE: a file with a line LS_ACCESS_TOKEN=..., likewise
 *   4. LS_ACCESS_TOKEN, LIGHTSTEP_ACCESS_TOKEN, LS_TOKEN, else lightstep-access-token in the OTLP
 *      header variables
 * Two that contradict each other are a fault; none at all, or one that can be no token, a warning,
 * and the header says that it is missing. */
void discover_token(struct conf_exporter *e, struct report *r);

#endif
