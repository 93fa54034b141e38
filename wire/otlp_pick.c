/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/otlp_pick.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"
#include "wire/otlp_splice.h"
#include "wire/otlp_walk.h"
#include "wire/tracestate.h"

enum { TRACE_STATE_TAG = SPAN_TRACE_STATE << 3 | WIRE_BYTES };
enum { SPAN_TAG = SCOPE_SPANS_SPANS << 3 | WIRE_BYTES, HEAD_MAX = 11 /* a tag and a length */ };

struct otlp_pick {
	struct splice *splice;
	struct arena arena; /* of spans that were rewritten */
	uint32_t *offsets;  /* of the list at hand */
	size_t cap_offsets;
	const struct picked *list;
	struct buf text; /* a tracestate in the making */
	uint32_t unmarked;
	/* What was made of no tracestate last, for most spans of a rule get the same. */
	struct buf plain;
	uint64_t plain_threshold; /* THRESHOLD_NEVER: none yet */
};

struct otlp_pick *otlp_pick_create(void)
{
	struct otlp_pick *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	arena_init(&p->arena, SIZE_MAX);
	p->plain_threshold = THRESHOLD_NEVER;
	p->splice = splice_create(SIZE_MAX);
	if (p->splice == NULL) {
		free(p);
		return NULL;
	}
	return p;
}

void otlp_pick_destroy(struct otlp_pick *p)
{
	if (p == NULL)
		return;
	splice_destroy(p->splice);
	arena_finish(&p->arena);
	free(p->offsets);
	buf_finish(&p->text);
	buf_finish(&p->plain);
	free(p);
}

void otlp_pick_reset(struct otlp_pick *p, size_t max_bytes)
{
	splice_reset(p->splice, max_bytes);
	arena_finish(&p->arena);
	p->unmarked = 0;
}

/* ---- one span ---- */

static uint8_t *put_head(uint8_t *at, uint8_t tag, size_t len)
{
	*at++ = tag;
	for (; len >= 0x80; len >>= 7)
		*at++ = (uint8_t)(len | 0x80);
	*at++ = (uint8_t)len;
	return at;
}

static uint8_t *put_bytes(uint8_t *at, struct slice bytes)
{
	if (bytes.len != 0)
		memcpy(at, bytes.data, bytes.len);
	return at + bytes.len;
}

/* Its tracestate as protobuf reads it: the last one counts. `at` is where that stands. */
struct seen {
	struct slice text;
	const uint8_t *at; /* NULL: none */
};

static struct seen look_for_state(struct slice span)
{
	struct seen seen = {.at = NULL};
	struct field f;
	while (field_next(&span, &f))
		if (field_is(&f, SPAN_TRACE_STATE)) {
			seen.text = f.value;
			seen.at = f.whole.data;
		}
	return seen;
}

/* Whether the tracestate changes, and how. */
static bool apply_mark(struct tracestate *t, const struct pick_mark *m)
{
	struct tracestate was = *t;
	if (m->erase_th) {
		t->has_th = false;
	} else if (m->write_th) {
		t->th = t->has_th && t->th > m->threshold ? t->th : m->threshold;
		t->has_th = true;
	}
	if (t->has_th && t->th > m->randomness)
		t->has_th = false; /* it would not have been kept with that */
	if (m->write_rv && !t->has_rv) {
		t->has_rv = true;
		t->rv = m->randomness;
	}
	return t->has_th != was.has_th || t->has_rv != was.has_rv || (t->has_th && t->th != was.th);
}

/* The span with another tracestate where the old one stood, or at its end. */
static struct slice rebuild(struct otlp_pick *p, struct slice span, const struct seen *seen,
			    struct slice text)
{
	uint8_t *body = arena_alloc(&p->arena, HEAD_MAX + span.len + HEAD_MAX + text.len);
	if (body == NULL)
		return slice_of(NULL, 0);
	uint8_t *start = body + HEAD_MAX, *at = start;
	struct field f;
	while (field_next(&span, &f)) {
		if (!field_is(&f, SPAN_TRACE_STATE))
			at = put_bytes(at, f.whole);
		else if (f.whole.data == seen->at && text.len != 0)
			at = put_bytes(put_head(at, TRACE_STATE_TAG, text.len), text);
	}
	if (seen->at == NULL && text.len != 0)
		at = put_bytes(put_head(at, TRACE_STATE_TAG, text.len), text);
	size_t len = (size_t)(at - start);
	uint8_t head[HEAD_MAX];
	size_t head_len = (size_t)(put_head(head, SPAN_TAG, len) - head);
	memcpy(start - head_len, head, head_len);
	return slice_of(start - head_len, head_len + len);
}

/* Of a span without a tracestate. */
static struct slice mark_plain(struct otlp_pick *p, uint64_t threshold)
{
	if (threshold == p->plain_threshold)
		return buf_slice(&p->plain);
	struct tracestate t = {.has_th = true, .th = threshold};
	p->plain_threshold = THRESHOLD_NEVER;
	p->plain.len = 0;
	if (tracestate_write(&t, &p->plain) != 0)
		return slice_of(NULL, 0);
	p->plain_threshold = threshold;
	return buf_slice(&p->plain);
}

/* The text of what is marked; an empty one may stand for none. 0, or what tracestate_write() says.
 */
static int write_marked(struct otlp_pick *p, struct tracestate *t, struct slice *text)
{
	p->text.len = 0;
	int rc = tracestate_write(t, &p->text);
	if (rc == TRACESTATE_BAD) {
		p->unmarked++;
		t->has_th = false; /* better none than one that is not true */
		rc = tracestate_write(t, &p->text);
	}
	*text = buf_slice(&p->text);
	return rc;
}

static struct slice take(void *ctx, uint32_t i, struct slice whole)
{
	struct otlp_pick *p = ctx;
	const struct pick_mark *m = &p->list[i].mark;
	struct slice bytes = whole, text;
	struct field f;
	struct tracestate t;
	if (m->as_is || !field_next(&bytes, &f))
		return whole;
	struct seen seen = look_for_state(f.value);
	if (seen.text.len == 0 && !m->write_rv) {
		if (!m->write_th || m->erase_th || m->threshold > m->randomness)
			return whole;
		text = mark_plain(p, m->threshold);
		return text.len != 0 ? rebuild(p, f.value, &seen, text) : text;
	}
	if (tracestate_read(&t, seen.text) != 0) {
		p->unmarked += m->write_th;
		return whole;
	}
	if (!apply_mark(&t, m))
		return whole;
	int rc = write_marked(p, &t, &text);
	if (rc == TRACESTATE_BAD)
		return whole;
	return rc == 0 ? rebuild(p, f.value, &seen, text) : slice_of(NULL, 0);
}

/* ---- many ---- */

static int note_offsets(struct otlp_pick *p, const struct picked *list, uint32_t n)
{
	if (n > p->cap_offsets) {
		size_t cap = n < 256 ? 256 : (size_t)n * 2;
		uint32_t *offsets = reallocarray(p->offsets, cap, sizeof(*offsets));
		if (offsets == NULL)
			return fail(-ENOMEM, "pick: no memory for %zu spans", cap);
		p->offsets = offsets;
		p->cap_offsets = cap;
	}
	for (uint32_t i = 0; i < n; i++)
		p->offsets[i] = list[i].offset;
	return 0;
}

static bool all_as_is(const struct picked *list, uint32_t n)
{
	bool is = true;
	for (uint32_t i = 0; is && i < n; i++)
		is = list[i].mark.as_is;
	return is;
}

int otlp_pick_add(struct otlp_pick *p, struct slice request, bool tails, const struct picked *list,
		  uint32_t n, uint32_t *done)
{
	*done = 0;
	int rc = note_offsets(p, list, n);
	if (rc != 0)
		return rc;
	p->list = list;
	struct splice_choice choice = {.offsets = p->offsets,
				       .n = n,
				       .tails = tails,
				       .take = all_as_is(list, n) ? NULL : take,
				       .ctx = p};
	rc = splice_add_some(p->splice, request, &choice, done);
	return rc == SPLICE_FULL ? PICK_FULL : rc;
}

uint32_t otlp_pick_spans(const struct otlp_pick *p)
{
	return splice_spans(p->splice);
}

uint32_t otlp_pick_unmarked(const struct otlp_pick *p)
{
	return p->unmarked;
}

int otlp_pick_write(const struct otlp_pick *p, struct buf *out)
{
	return splice_write(p->splice, out);
}
