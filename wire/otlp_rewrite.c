/* SPDX-License-Identifier: Apache-2.0
 * A frame is open for each payload around the change at hand. Its length gets a patch when it is
 * opened, so that patches are in the order of their bytes, and its value when it is closed. Each
 * frame steps over its fields once, whatever the number of changes. */
#include "wire/otlp_rewrite.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "wire/otlp_walk.h"

enum { MAX_FRAMES = 128 /* the index lets 104 pass */ };

struct otlp_patch {
	uint32_t at, drop;
	const uint8_t *with; /* NULL: `length` as a varint */
	size_t len;
	uint64_t length;
};

struct frame {
	struct slice rest; /* fields not stepped over */
	uint32_t start, end;
	uint32_t patch; /* of its length */
	int64_t delta;  /* what the changes within add */
};

struct plan {
	struct otlp_rewrite *w;
	struct slice request;
	uint32_t top, done; /* bytes before `done` are settled */
	struct frame stack[MAX_FRAMES];
};

static int by_place(const void *a, const void *b)
{
	const struct otlp_change *x = a, *y = b;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->within > y->within ? -1 : x->within < y->within;
}

void otlp_changes_sort(struct otlp_change *list, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (by_place(&list[i - 1], &list[i]) > 0) {
			qsort(list, n, sizeof(*list), by_place);
			return;
		}
}

static unsigned varint_size(uint64_t v)
{
	unsigned n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static struct otlp_patch *append_patch(struct otlp_rewrite *w, uint32_t at, uint32_t drop)
{
	if (w->n == w->cap) {
		uint32_t cap = w->cap == 0 ? 64 : w->cap * 2;
		struct otlp_patch *patches = reallocarray(w->patches, cap, sizeof(*patches));
		if (patches == NULL)
			return NULL;
		w->patches = patches;
		w->cap = cap;
	}
	struct otlp_patch *p = &w->patches[w->n++];
	*p = (struct otlp_patch){.at = at, .drop = drop};
	return p;
}

static void close_frame(struct plan *p)
{
	struct frame *f = &p->stack[p->top--];
	struct otlp_patch *patch = &p->w->patches[f->patch];
	patch->length = (uint64_t)((int64_t)(f->end - f->start) + f->delta);
	patch->len = varint_size(patch->length);
	p->stack[p->top].delta += f->delta + (int64_t)patch->len - (int64_t)patch->drop;
}

/* Opens the payload of `f`, a field of the top frame. */
static int open_frame(struct plan *p, const struct field *f)
{
	uint32_t start = (uint32_t)(f->value.data - p->request.data);
	uint32_t length_at = (uint32_t)(f->whole.data - p->request.data);
	while (p->request.data[length_at++] >= 0x80) /* the tag */
		;
	if (p->top + 1 == MAX_FRAMES)
		return REWRITE_LOST;
	if (append_patch(p->w, length_at, start - length_at) == NULL)
		return fail(-ENOMEM, "rewrite: no memory for %u changes", p->w->cap * 2);
	p->stack[++p->top] = (struct frame){.rest = f->value,
					    .start = start,
					    .end = start + (uint32_t)f->value.len,
					    .patch = p->w->n - 1};
	return 0;
}

/* Until the top frame is the payload that begins at `within`. A payload may be empty and begin
 * where those around it end; but behind each of them stands at least a tag and a length before the
 * next one begins. */
static int go_to(struct plan *p, uint32_t within)
{
	struct field f;
	while (within < p->stack[p->top].start || within > p->stack[p->top].end)
		close_frame(p);
	while (p->stack[p->top].start != within) {
		struct frame *top = &p->stack[p->top];
		size_t end = 0;
		while (end < within) {
			if (!field_next(&top->rest, &f))
				return REWRITE_LOST;
			end = (size_t)(f.whole.data - p->request.data) + f.whole.len;
		}
		if (f.type != WIRE_BYTES || (size_t)(f.value.data - p->request.data) > within)
			return REWRITE_LOST;
		int rc = open_frame(p, &f);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int plan_change(struct plan *p, const struct otlp_change *c)
{
	if (c->at < p->done)
		return 0; /* it went with what is around it */
	int rc = go_to(p, c->within);
	if (rc != 0)
		return rc;
	struct frame *top = &p->stack[p->top];
	if (c->at < top->start || c->at > top->end || c->drop > top->end - c->at)
		return REWRITE_LOST;
	struct otlp_patch *patch = append_patch(p->w, c->at, c->drop);
	if (patch == NULL)
		return fail(-ENOMEM, "rewrite: no memory for %u changes", p->w->cap * 2);
	patch->with = c->with.len != 0 ? c->with.data : (const uint8_t *)"";
	patch->len = c->with.len;
	top->delta += (int64_t)c->with.len - (int64_t)c->drop;
	p->done = c->at + c->drop;
	return 0;
}

int otlp_rewrite_plan(struct otlp_rewrite *w, struct slice request, const struct otlp_change *list,
		      uint32_t n)
{
	struct plan p;
	p.w = w;
	p.request = request;
	p.top = p.done = 0;
	p.stack[0] = (struct frame){.rest = request, .end = (uint32_t)request.len};
	w->n = 0;
	w->size = 0;
	for (uint32_t i = 0; i < n; i++) {
		int rc = plan_change(&p, &list[i]);
		if (rc != 0)
			return rc;
	}
	while (p.top != 0)
		close_frame(&p);
	w->size = (size_t)((int64_t)request.len + p.stack[0].delta);
	return 0;
}

static uint8_t *put_varint(uint8_t *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*out++ = (uint8_t)(v | 0x80);
	*out++ = (uint8_t)v;
	return out;
}

void otlp_rewrite_write(const struct otlp_rewrite *w, struct slice request, uint8_t *out)
{
	size_t at = 0;
	for (uint32_t i = 0; i < w->n; i++) {
		const struct otlp_patch *p = &w->patches[i];
		memcpy(out, request.data + at, p->at - at);
		out += p->at - at;
		at = (size_t)p->at + p->drop;
		if (p->with == NULL) {
			out = put_varint(out, p->length);
		} else {
			memcpy(out, p->with, p->len);
			out += p->len;
		}
	}
	if (at < request.len)
		memcpy(out, request.data + at, request.len - at);
}

static int64_t growth(const struct otlp_patch *p)
{
	size_t len = p->with == NULL ? varint_size(p->length) : p->len;
	return (int64_t)len - (int64_t)p->drop;
}

/* From the back: what stands between two changes moves by what those before it add. */
bool otlp_rewrite_in_place(const struct otlp_rewrite *w, struct slice request, uint8_t *same)
{
	int64_t by = 0;
	for (uint32_t i = 0; i < w->n; i++) {
		by += growth(&w->patches[i]);
		if (by < 0)
			return false;
	}
	size_t end = request.len;
	for (uint32_t i = w->n; i-- > 0;) {
		const struct otlp_patch *p = &w->patches[i];
		size_t from = (size_t)p->at + p->drop;
		memmove(same + from + by, request.data + from, end - from);
		by -= growth(p);
		end = p->at;
		if (p->with == NULL)
			put_varint(same + end + by, p->length);
		else
			memcpy(same + end + by, p->with, p->len);
	}
	return true;
}

void otlp_rewrite_finish(struct otlp_rewrite *w)
{
	free(w->patches);
	*w = (struct otlp_rewrite){0};
}
