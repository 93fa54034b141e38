/* SPDX-License-Identifier: Apache-2.0
 * relay/admin_reload.c - what came of a reload, as JSON. */
#include <string.h>

#include "relay/admin_page.h"
#include "relay/reload.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *lines(const struct buf *all)
{
	json_t *list = json_array();
	const char *at = (const char *)all->data, *end = at + all->len;
	while (all->len != 0 && at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((stop != NULL ? stop : end) - at);
		json_t *line = json_stringn(at, len);
		json_array_append_new(list, line != NULL ? line : json_string("(not UTF-8)"));
		at += len + 1;
	}
	return list;
}

static int append(const char *bytes, size_t len, void *out)
{
	return buf_append(out, bytes, len) == 0 ? 0 : -1;
}

int page_reload(const struct reload_note *n, struct buf *out)
{
	bool applied = n->result == RELOAD_APPLIED && !n->dry_run;
	json_t *o = json_object();
	json_object_set_new(o, "result", json_string(RELOAD_RESULT_NAMES[n->result]));
	json_object_set_new(o, "dry_run", json_boolean(n->dry_run));
	json_object_set_new(o, "generation", number(applied ? n->world->number : n->was->number));
	json_object_set_new(o, "changes", lines(&n->news.changes));
	json_object_set_new(o, "needs_restart", lines(&n->news.restart));
	json_object_set_new(o, "findings", lines(&n->news.findings));
	int rc = json_dump_callback(o, append, out, JSON_INDENT(2));
	json_decref(o);
	return rc == 0 ? buf_append(out, "\n", 1) : BUF_FULL;
}

json_t *page_configuration(const struct page *p)
{
	static const enum metric COUNTERS[RELOAD_RESULTS] = {
	    METRIC_RELOADS_APPLIED, METRIC_RELOADS_UNCHANGED, METRIC_RELOADS_INVALID,
	    METRIC_RELOADS_FAILED};
	json_t *o = json_object(), *reloads = json_object();
	json_object_set_new(o, "generation",
			    number(metric_get(p->metrics, METRIC_RELOAD_GENERATION)));
	json_object_set_new(o, "unix_ms", number(metric_get(p->metrics, METRIC_RELOAD_GOOD)));
	for (int i = 0; i < RELOAD_RESULTS; i++)
		json_object_set_new(reloads, RELOAD_RESULT_NAMES[i],
				    number(metric_get(p->metrics, COUNTERS[i])));
	json_object_set_new(o, "reloads", reloads);
	return o;
}
