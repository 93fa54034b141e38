/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/audit_show.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "audit/block.h"
#include "audit/chain.h"
#include "audit/folder.h"
#include "base/clock.h"
#include "base/hex.h"
#include "conf/unit.h"
#include "pipeline/decision.h"

void audit_want_all(struct audit_wanted *w)
{
	*w = (struct audit_wanted){.kind = AUDIT_KINDS};
}

bool audit_want_kind(struct audit_wanted *w, const char *name)
{
	for (unsigned k = 0; k < AUDIT_KINDS; k++)
		if (strcmp(AUDIT_KIND_NAMES[k], name) == 0)
			w->kind = (enum audit_kind)k;
	return w->kind != AUDIT_KINDS;
}

bool audit_want_since(struct audit_wanted *w, const char *text)
{
	uint64_t ago_ms, now_ms = clock_wall_ms();
	if (audit_read_time(slice_str(text), &w->since_ms))
		return true;
	if (unit_time(text, &ago_ms) != 0)
		return false;
	w->since_ms = now_ms > ago_ms ? now_ms - ago_ms : 0;
	return true;
}

bool audit_want_trace(struct audit_wanted *w, const char *id)
{
	w->trace = strlen(id) == 2 * sizeof(w->trace_id) &&
		   hex_read((const uint8_t *)id, w->trace_id, sizeof(w->trace_id));
	return w->trace;
}

/* ---- records ---- */

static const char *text_of(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));
	return text != NULL ? text : "";
}

static void print_text(const json_t *record, const char *key, const char *before, const char *after)
{
	const char *text = text_of(record, key);
	if (*text != '\0')
		printf("%s%s%s", before, text, after);
}

static void print_pairs(json_t *record, const char *key)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(record, key), name, value)
	{
		if (json_is_string(value))
			printf(" %s=%s", name, json_string_value(value));
		else
			printf(" %s=%" PRId64, name, (int64_t)json_integer_value(value));
	}
}

static void print_record(struct slice line)
{
	json_t *r = json_loadb((const char *)line.data, line.len, 0, NULL);
	if (r == NULL) {
		printf("(a line that is no record)\n");
		return;
	}
	printf("%s %6" PRId64 " %-13s", text_of(r, "ts"),
	       (int64_t)json_integer_value(json_object_get(r, "seq")), text_of(r, "kind"));
	print_text(r, "subject", " ", "");
	print_text(r, "decision", " ", "");
	print_text(r, "reason", " (", ")");
	print_text(r, "rule_id", " rule=", "");
	print_text(r, "sender", " sender=", "");
	print_text(r, "trace_id", " trace=", "");
	print_pairs(r, "detail");
	print_pairs(r, "counts");
	putchar('\n');
	json_decref(r);
}

static void show_records(struct slice file, const struct audit_wanted *w)
{
	struct slice text;
	struct audit_line l;
	while (audit_next_line(&file, &text)) {
		bool is_record = audit_line_read(&l, text);
		if (is_record && (l.unix_ms < w->since_ms ||
				  (w->kind != AUDIT_KINDS && !audit_line_is(&l, w->kind))))
			continue;
		if (w->json)
			printf("%.*s\n", (int)text.len, (const char *)text.data);
		else
			print_record(text);
	}
}

/* ---- decisions ---- */

static void print_decision(const struct audit_block *b, const struct audit_decision *d)
{
	char time[AUDIT_TIME], id[33];
	const char *verdict = d->verdict < VERDICTS ? VERDICT_NAMES[d->verdict] : "unknown";
	const char *trigger = d->trigger < TRIGGERS ? TRIGGER_NAMES[d->trigger] : "unknown";
	double probability = 1. - (double)d->threshold / 0x1p56;
	audit_print_time(b->begin_ms + d->after_ms, time);
	hex_print(d->trace_id, sizeof(d->trace_id), id);
	printf("%s block %" PRIu64 " trace=%s verdict=%s rule=%u policy=%016" PRIx64
	       " probability=%.6g trigger=%s spans=%" PRIu32 " errors=%" PRIu32 "\n",
	       time, b->number, id, verdict, (unsigned)d->rule, b->policy, probability, trigger,
	       d->spans, d->errors);
}

static void show_decisions(struct slice file, const struct audit_wanted *w)
{
	struct audit_block b;
	struct slice records;
	size_t len;
	while ((len = audit_block_read(file, &b, &records, NULL)) != 0) {
		file = slice_of(file.data + len, file.len - len);
		for (uint32_t i = 0; b.end_ms >= w->since_ms && i < b.n; i++) {
			struct audit_decision d;
			audit_block_at(records, i, &d);
			if (memcmp(d.trace_id, w->trace_id, sizeof(d.trace_id)) == 0)
				print_decision(&b, &d);
		}
	}
}

int audit_show(const char *folder, const struct audit_wanted *w)
{
	enum audit_file_kind kind = w->trace ? AUDIT_BLOCK_FILE : AUDIT_CHAIN_FILE;
	struct audit_files l;
	int rc = audit_list(&l, folder, kind);
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		char path[AUDIT_PATH];
		struct buf bytes = {.data = NULL};
		if (l.files[i].changed_ms < w->since_ms)
			continue;
		rc = audit_path(path, folder, kind, l.files[i].first);
		if (rc == 0)
			rc = audit_read_file(path, &bytes);
		if (rc == -ENOENT) /* it was given up just now */
			rc = 0;
		else if (rc == 0 && w->trace)
			show_decisions(buf_slice(&bytes), w);
		else if (rc == 0)
			show_records(buf_slice(&bytes), w);
		buf_finish(&bytes);
	}
	audit_list_finish(&l);
	return rc;
}
