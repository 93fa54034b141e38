/* SPDX-License-Identifier: Apache-2.0
 * One request: harvested, scanned, what was found brought back to where it stands, masked. */
#include "redaction/redact.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "redaction/changes.h"
#include "redaction/decode.h"
#include "redaction/mask.h"
#include "redaction/search.h"

const char *const POSITION_NAMES[POSITIONS] = {
    [POSITION_RESOURCE_ATTRIBUTE] = "resource_attribute",
    [POSITION_ENTITY_REF] = "entity_ref",
    [POSITION_RESOURCE_SCHEMA_URL] = "resource_schema_url",
    [POSITION_SCOPE_SCHEMA_URL] = "scope_schema_url",
    [POSITION_SCOPE_NAME] = "scope_name",
    [POSITION_SCOPE_VERSION] = "scope_version",
    [POSITION_SCOPE_ATTRIBUTE] = "scope_attribute",
    [POSITION_SPAN_NAME] = "span_name",
    [POSITION_TRACE_STATE] = "trace_state",
    [POSITION_SPAN_ATTRIBUTE] = "span_attribute",
    [POSITION_EVENT_NAME] = "event_name",
    [POSITION_EVENT_ATTRIBUTE] = "event_attribute",
    [POSITION_LINK_TRACE_STATE] = "link_trace_state",
    [POSITION_LINK_ATTRIBUTE] = "link_attribute",
    [POSITION_STATUS_MESSAGE] = "status_message",
    [POSITION_KEY] = "key",
    [POSITION_TEXT] = "text",
};

/* How often each number was found at each position. Others read it while the redactor counts. */
struct tally {
	struct tally *older; /* somebody may still read it: it goes with the redactor */
	uint32_t numbers;
	_Atomic uint64_t counts[];
};

struct redactor {
	struct ruleset *set; /* of the last request */
	_Atomic(struct tally *) tally;
	struct harvest harvest;
	struct scanner *scanner;
	struct changes changes;
	struct search search;
};

/* More than a request of common size takes is given back after it. */
enum { KEPT_BYTES = 4 << 20 };

struct redactor *redactor_create(void)
{
	struct redactor *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->scanner = scanner_create();
	if (r->scanner == NULL || harvest_init(&r->harvest) != 0 || search_init(&r->search) != 0) {
		redactor_destroy(r);
		return NULL;
	}
	return r;
}

void redactor_destroy(struct redactor *r)
{
	if (r == NULL)
		return;
	struct tally *t = atomic_load(&r->tally);
	while (t != NULL) {
		struct tally *older = t->older;
		free(t);
		t = older;
	}
	changes_finish(&r->changes);
	harvest_finish(&r->harvest);
	search_finish(&r->search);
	scanner_destroy(r->scanner);
	ruleset_release(r->set);
	free(r);
}

/* ---- counts ---- */

static int begin_tally(struct redactor *r, uint32_t numbers)
{
	struct tally *t = atomic_load_explicit(&r->tally, memory_order_relaxed);
	size_t n = (size_t)numbers * POSITIONS;
	if (t == NULL || t->numbers < numbers) {
		struct tally *bigger = calloc(1, sizeof(*t) + n * sizeof(t->counts[0]));
		if (bigger == NULL)
			return fail(-ENOMEM, "redaction: no memory for %u counts", numbers);
		bigger->older = t;
		bigger->numbers = numbers;
		atomic_store_explicit(&r->tally, bigger, memory_order_release);
		return 0;
	}
	for (size_t i = 0; i < (size_t)t->numbers * POSITIONS; i++)
		atomic_store_explicit(&t->counts[i], 0, memory_order_relaxed);
	return 0;
}

static void count(struct redactor *r, uint32_t number, enum position p)
{
	struct tally *t = atomic_load_explicit(&r->tally, memory_order_relaxed);
	_Atomic uint64_t *at = &t->counts[(size_t)number * POSITIONS + p];
	/* one writer: no need for a locked addition */
	atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

uint64_t redactor_count(const struct redactor *r, uint32_t number, enum position p)
{
	const struct tally *t = atomic_load_explicit(&r->tally, memory_order_acquire);
	if (t == NULL || number >= t->numbers)
		return 0;
	return atomic_load_explicit(&t->counts[(size_t)number * POSITIONS + p],
				    memory_order_relaxed);
}

static int begin(struct redactor *r, struct ruleset *set)
{
	if (set != r->set) {
		int rc = begin_tally(r, ruleset_numbers(set));
		if (rc != 0)
			return rc;
		ruleset_release(r->set);
		r->set = ruleset_take(set);
		r->harvest.numbers = harvest_wants_numbers(set);
	}
	r->search.n = 0;
	return scanner_begin(r->scanner, set);
}

/* ---- requests ---- */

static void count_ranges(struct redactor *r, const struct spot *p, uint32_t n,
			 struct redaction_counts *counts)
{
	for (uint32_t i = 0; i < n; i++) {
		count(r, r->search.ranges[i].number, (enum position)p->position);
		counts->masked_bytes += r->search.ranges[i].end - r->search.ranges[i].start;
	}
	counts->hits += n;
}

static void cut_all(struct redactor *r, struct redaction_counts *counts)
{
	const struct harvest *g = &r->harvest;
	uint32_t unlisted = ruleset_rules(r->set) + EXTRA_KEY_UNLISTED;
	for (uint32_t i = 0; i < g->n_cuts; i++) {
		changes_cut(&r->changes, &g->cuts[i]);
		if (!g->cuts[i].is_attribute)
			continue;
		count(r, unlisted, (enum position)g->cuts[i].position);
		counts->hits++;
		counts->masked_bytes += g->cuts[i].len;
	}
	counts->unknown_fields += g->unknown_fields;
}

static int change(struct redactor *r, struct buf *body, size_t max_bytes,
		  struct redaction_counts *counts)
{
	const struct harvest *g = &r->harvest;
	uint64_t spans = 0;
	if (r->search.n == 0 && g->n_cuts == 0)
		return 0;
	changes_begin(&r->changes, r->set, g, body);
	for (uint32_t i = 0, next, n; i < r->search.n && !r->changes.failed; i = next) {
		const struct spot *p = &g->spots[r->search.list[i].value];
		int rc = search_ranges(&r->search, r->set, i, &next, &n);
		if (rc != 0)
			return rc;
		count_ranges(r, p, n, counts);
		changes_mask(&r->changes, p, r->search.ranges, n);
	}
	if (!r->changes.failed)
		cut_all(r, counts);
	int rc = changes_apply(&r->changes, max_bytes, &spans);
	counts->spans += spans;
	return rc;
}

int redact_request(struct redactor *r, struct ruleset *set, struct buf *body, size_t max_bytes,
		   struct redaction_counts *counts)
{
	*counts = (struct redaction_counts){0};
	int rc = begin(r, set);
	if (rc == 0)
		rc = harvest_request(&r->harvest, body, set, r->scanner);
	if (rc == 0)
		rc = decode_copies(&r->harvest);
	if (rc == 0)
		rc = search_run(&r->search, r->scanner, &r->harvest);
	if (rc == 0)
		rc = change(r, body, max_bytes, counts);
	if (r->harvest.text.cap > KEPT_BYTES)
		harvest_trim(&r->harvest);
	if (r->search.again.text.cap > KEPT_BYTES)
		harvest_trim(&r->search.again);
	return rc;
}

/* ---- texts ---- */

int redact_text(struct redactor *r, struct ruleset *set, struct slice key, struct slice text,
		const struct redact_range **ranges, uint32_t *n)
{
	uint32_t next;
	*n = 0;
	int rc = begin(r, set);
	if (rc == 0)
		rc = harvest_text(&r->harvest, key, text, set, r->scanner);
	if (rc == 0)
		rc = decode_copies(&r->harvest);
	if (rc == 0)
		rc = search_run(&r->search, r->scanner, &r->harvest);
	if (rc == 0 && r->search.n != 0)
		rc = search_ranges(&r->search, set, 0, &next, n);
	for (uint32_t i = 0; rc == 0 && i < *n; i++)
		count(r, r->search.ranges[i].number, POSITION_TEXT);
	*ranges = r->search.ranges;
	return rc;
}

int redact_write(const struct ruleset *set, struct slice text, const struct redact_range *ranges,
		 uint32_t n, struct buf *out)
{
	char mark[MASK_TEXT_MAX];
	size_t at = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct redact_range *r = &ranges[i];
		enum mask style = ruleset_mask(set, r->number);
		struct slice secret = slice_of(text.data + r->start, r->end - r->start);
		if (buf_append(out, text.data + at, r->start - at) != 0)
			return BUF_FULL;
		at = r->end;
		if (mask_keeps_length(style)) {
			if (buf_append(out, secret.data, secret.len) != 0)
				return BUF_FULL;
			mask_in_place(style, out->data + out->len - secret.len, secret.len);
		} else if (buf_append(out, mark, mask_text(set, r, text, mark)) != 0) {
			return BUF_FULL;
		}
	}
	return buf_append(out, text.data + at, text.len - at);
}
