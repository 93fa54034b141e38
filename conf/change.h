/* SPDX-License-Identifier: Apache-2.0
 * conf/change.h - what differs between two configurations, told by the keys of the option table:
 *
 *   sampling.rules[errors].keep: 10% -> 20%
 *   exporters[b]: added
 *   exporters[main].headers: changed
 *
 * Items that have names are compared by name, others by their place. What may hold a secret, or
 * came out of the environment, is said to have changed, and no more. */
#ifndef CONF_CHANGE_H
#define CONF_CHANGE_H

#include "conf/conf.h"
#include "conf/report.h"

/* Appends a line for each difference. 0 or BUF_FULL. */
int change_write(const struct conf *was, const struct conf *is, struct buf *out);

/* Whether anything differs in what stands under the key: "sampling", "exporters". `was` and `is` as
 * above. false: they are the same to whoever reads them. */
bool change_under(const char *key, const struct conf *was, const struct conf *is);

/* The same of one exporter under its name, its headers included. `except` may be NULL: it says of
 * which keys no difference counts ("exporters[].timeout"). */
bool change_of_exporter(const struct conf_exporter *was, const struct conf_exporter *is,
			bool (*except)(const char *key));

/* Whether it gets its credential from elsewhere, or sends it otherwise: where its secret headers
 * come from, their names, its oauth2. And whether these headers have other names, or another number
 * of them: what was read for the old ones cannot be sent with the new ones. */
bool change_of_credential(const struct conf_exporter *was, const struct conf_exporter *is);
bool change_of_secret_names(const struct conf_exporter *was, const struct conf_exporter *is);

/* Appends all that a configuration says, as it holds after defaults and the environment, a line for
 * each option: the same text for the same configuration. For a hash and nothing else: texts that
 * came out of the environment are in it, secrets as their fingerprints. 0 or BUF_FULL. */
int change_canonical(const struct conf *c, struct buf *out);

/* Options that only a restart changes, and whether a port speaks TLS: `c` gets what `running` has,
 * and a line for each difference is appended to `restart`. */
void change_keep(struct conf *c, const struct conf *running, struct buf *restart, struct report *r);

#endif
