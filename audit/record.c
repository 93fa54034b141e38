/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/hex.h"

const char *const AUDIT_KIND_NAMES[AUDIT_KINDS] = {
    "start",     "stop",      "upgrade", "configuration", "credential",
    "identity",  "redaction", "budget",  "exporter",      "drop",
    "decisions", "balance",   "gap",     "chain",         "retention"};

enum { PREV_BYTES = 32 };

void audit_record_init(struct audit_record *r, enum audit_kind kind, const char *subject,
		       const char *decision, const char *reason)
{
	memset(r, 0, sizeof(*r));
	r->kind = kind;
	snprintf(r->subject, sizeof(r->subject), "%s", subject);
	snprintf(r->decision, sizeof(r->decision), "%s", decision);
	snprintf(r->reason, sizeof(r->reason), "%s", reason != NULL ? reason : "");
}

void audit_detail(struct audit_record *r, const char *key, const char *value)
{
	if (r == NULL || value == NULL || *value == '\0' || r->n_details == AUDIT_DETAILS)
		return;
	struct audit_detail *d = &r->details[r->n_details++];
	d->key = key;
	snprintf(d->value, sizeof(d->value), "%s", value);
}

void audit_count(struct audit_record *r, const char *key, int64_t value)
{
	if (r == NULL || r->n_counts == AUDIT_COUNTS)
		return;
	r->counts[r->n_counts++] = (struct audit_count){key, value};
}

/* ---- time ---- */

void audit_print_time(uint64_t unix_ms, char out[AUDIT_TIME])
{
	static const uint64_t LAST_MS = 253402300799999; /* the end of year 9999 */
	struct tm tm;
	if (unix_ms > LAST_MS)
		unix_ms = LAST_MS;
	time_t s = (time_t)(unix_ms / 1000);
	gmtime_r(&s, &tm);
	char text[40];
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, AUDIT_TIME, "%.19s.%03uZ", text, (unsigned)(unix_ms % 1000));
}

static bool read_digits(const uint8_t *at, int n, int *out)
{
	for (*out = 0; n > 0; n--, at++) {
		if (*at < '0' || *at > '9')
			return false;
		*out = *out * 10 + (*at - '0');
	}
	return true;
}

bool audit_read_time(struct slice text, uint64_t *unix_ms)
{
	static const char SHAPE[] = "0000-00-00T00:00:00.000Z";
	struct tm tm = {.tm_sec = 0};
	const uint8_t *t = text.data;
	int ms;
	if (text.len != sizeof(SHAPE) - 1)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (SHAPE[i] != '0' && t[i] != (uint8_t)SHAPE[i])
			return false;
	if (!read_digits(t, 4, &tm.tm_year) || !read_digits(t + 5, 2, &tm.tm_mon) ||
	    !read_digits(t + 8, 2, &tm.tm_mday) || !read_digits(t + 11, 2, &tm.tm_hour) ||
	    !read_digits(t + 14, 2, &tm.tm_min) || !read_digits(t + 17, 2, &tm.tm_sec) ||
	    !read_digits(t + 20, 3, &ms) || tm.tm_year < 1970)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*unix_ms = (uint64_t)timegm(&tm) * 1000 + (uint64_t)ms;
	return true;
}

/* ---- the line ---- */

static int put_text(struct buf *out, const char *text)
{
	int full = buf_append(out, "\"", 1);
	for (; *text != '\0' && full == 0; text++) {
		char c = *text < 0x20 || *text > 0x7e ? '?' : *text;
		if (c == '"' || c == '\\')
			full |= buf_append(out, "\\", 1);
		full |= buf_append(out, &c, 1);
	}
	return full | buf_append(out, "\"", 1);
}

static int put_field(struct buf *out, const char *key, const char *text)
{
	return *text == '\0' ? 0 : buf_printf(out, ",\"%s\":", key) | put_text(out, text);
}

static int put_details(const struct audit_record *r, struct buf *out)
{
	int full = 0;
	for (unsigned i = 0; i < r->n_details; i++)
		full |= buf_printf(out, "%s\"%s\":", i == 0 ? ",\"detail\":{" : ",",
				   r->details[i].key) |
			put_text(out, r->details[i].value);
	return r->n_details == 0 ? 0 : full | buf_append(out, "}", 1);
}

static int put_counts(const struct audit_record *r, struct buf *out)
{
	int full = 0;
	for (unsigned i = 0; i < r->n_counts; i++)
		full |= buf_printf(out, "%s\"%s\":%" PRId64, i == 0 ? ",\"counts\":{" : ",",
				   r->counts[i].key, r->counts[i].value);
	return r->n_counts == 0 ? 0 : full | buf_append(out, "}", 1);
}

int audit_encode(const struct audit_record *r, const struct audit_stamp *s, struct buf *out)
{
	char time[AUDIT_TIME], prev[2 * PREV_BYTES + 1];
	audit_print_time(s->unix_ms, time);
	hex_print(s->prev, PREV_BYTES, prev);
	int full = buf_printf(out, "{\"seq\":%" PRIu64 ",\"ts\":\"%s\"", s->seq, time);
	full |= put_field(out, "boot_id", s->boot_id);
	full |= put_field(out, "kind", AUDIT_KIND_NAMES[r->kind]);
	full |= put_field(out, "subject", r->subject);
	full |= put_field(out, "decision", r->decision);
	full |= put_field(out, "reason", r->reason);
	full |= put_field(out, "rule_id", r->rule_id);
	full |= put_field(out, "policy_hash", r->policy_hash);
	full |= put_field(out, "config_hash", r->config_hash);
	full |= put_field(out, "sender", r->sender);
	full |= put_field(out, "trace_id", r->trace_id);
	full |= put_details(r, out);
	full |= put_counts(r, out);
	return full | put_field(out, "prev", prev);
}
