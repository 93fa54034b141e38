/* SPDX-License-Identifier: Apache-2.0
 * relay/audit_show.h - records of an audit log for people, out of its folder. Private to relay/. */
#ifndef RELAY_AUDIT_SHOW_H
#define RELAY_AUDIT_SHOW_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/record.h"

struct audit_wanted {
	enum audit_kind kind; /* AUDIT_KINDS: all */
	uint64_t since_ms;
	uint8_t trace_id[16];
	bool trace; /* decisions about that one, in place of records */
	bool json;
};

void audit_want_all(struct audit_wanted *w);
/* What the command line says; false for what makes no sense. */
bool audit_want_kind(struct audit_wanted *w, const char *name);
bool audit_want_since(struct audit_wanted *w, const char *text);
bool audit_want_trace(struct audit_wanted *w, const char *id);

/* Prints what is wanted. 0, or a negative errno: the folder cannot be read. */
int audit_show(const char *folder, const struct audit_wanted *w);

#endif
