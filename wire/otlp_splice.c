/* SPDX-License-Identifier: Apache-2.0
 * A group is a ResourceSpans or, under one, a ScopeSpans of the output. Its header is kept as
 * bytes; its spans are runs: slices of requests in which span follows span, written with one memcpy
 * each. */
#include "wire/otlp_splice.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/siphash.h"
#include "wire/otlp_walk.h"

#define NONE UINT32_MAX

struct run {
	struct slice spans; /* tag, length and value of each */
	uint32_t next;
};

struct group {
	uint64_t hash; /* of the header */
	uint32_t parent, next_in_bucket;
	uint32_t first, last;         /* of a resource: scopes; of a scope: runs */
	uint32_t next;                /* of the same parent */
	size_t header_at, header_len; /* in splice.headers */
	size_t body;                  /* bytes of the message: header and all that is below */
};

struct splice {
	size_t max_bytes, size;
	uint32_t spans;
	uint32_t end;         /* of the request being added: the first span that is not wanted */
	uint32_t first, last; /* resources */
	struct group *groups;
	struct run *runs;
	uint32_t n_groups, cap_groups, n_runs, cap_runs;
	uint32_t *buckets; /* of groups; cap_groups of them, a power of two */
	struct buf headers;
	struct siphash_key key;
};

/* Where spans are to go. The group comes to be with its first span; until then its header stands at
 * the end of splice.headers. */
struct spot {
	uint32_t group; /* or NONE */
	uint64_t hash;
	size_t header_at, header_len;
};

struct splice *splice_create(size_t max_bytes)
{
	struct splice *s = calloc(1, sizeof(*s));
	if (s == NULL || siphash_key_init(&s->key) != 0) {
		free(s);
		return NULL;
	}
	splice_reset(s, max_bytes);
	return s;
}

void splice_destroy(struct splice *s)
{
	if (s == NULL)
		return;
	free(s->groups);
	free(s->runs);
	free(s->buckets);
	buf_finish(&s->headers);
	free(s);
}

void splice_reset(struct splice *s, size_t max_bytes)
{
	for (uint32_t i = 0; i < s->n_groups; i++)
		s->buckets[s->groups[i].hash & (s->cap_groups - 1)] = NONE;
	s->n_groups = s->n_runs = s->spans = 0;
	s->first = s->last = NONE;
	s->headers.len = 0;
	s->size = 0;
	s->max_bytes = max_bytes;
}

/* Of a message as a field: all that stand here have numbers below 16, so the tag is one byte. */
static size_t framed(size_t body)
{
	size_t n = 2;
	for (size_t v = body; v >= 0x80; v >>= 7)
		n++;
	return n + body;
}

static struct slice header_of(const struct splice *s, size_t at, size_t len)
{
	return len != 0 ? slice_of(s->headers.data + at, len) : slice_of("", 0);
}

static uint32_t find_group(const struct splice *s, uint32_t parent, const struct spot *spot)
{
	if (s->n_groups == 0)
		return NONE;
	uint32_t i = s->buckets[spot->hash & (s->cap_groups - 1)];
	for (; i != NONE; i = s->groups[i].next_in_bucket) {
		const struct group *g = &s->groups[i];
		if (g->hash == spot->hash && g->parent == parent &&
		    slice_equal(header_of(s, g->header_at, g->header_len),
				header_of(s, spot->header_at, spot->header_len)))
			break;
	}
	return i;
}

static int grow_groups(struct splice *s)
{
	uint32_t cap = s->cap_groups == 0 ? 64 : s->cap_groups * 2;
	struct group *groups = realloc(s->groups, cap * sizeof(*groups));
	if (groups != NULL)
		s->groups = groups;
	uint32_t *buckets = malloc(cap * sizeof(*buckets));
	if (groups == NULL || buckets == NULL) {
		free(buckets);
		return fail(-ENOMEM, "splice: no memory for %u groups", cap);
	}
	free(s->buckets);
	s->buckets = buckets;
	s->cap_groups = cap;
	memset(buckets, 0xff, cap * sizeof(*buckets)); /* NONE */
	for (uint32_t i = 0; i < s->n_groups; i++) {
		uint32_t *bucket = &buckets[groups[i].hash & (cap - 1)];
		groups[i].next_in_bucket = *bucket;
		*bucket = i;
	}
	return 0;
}

static int grow_runs(struct splice *s)
{
	uint32_t cap = s->cap_runs == 0 ? 64 : s->cap_runs * 2;
	struct run *runs = realloc(s->runs, cap * sizeof(*runs));
	if (runs == NULL)
		return fail(-ENOMEM, "splice: no memory for %u runs", cap);
	s->runs = runs;
	s->cap_runs = cap;
	return 0;
}

static void make_group(struct splice *s, uint32_t parent, struct spot *spot)
{
	uint32_t i = s->n_groups++, *bucket = &s->buckets[spot->hash & (s->cap_groups - 1)];
	uint32_t *first = parent == NONE ? &s->first : &s->groups[parent].first;
	uint32_t *last = parent == NONE ? &s->last : &s->groups[parent].last;
	s->groups[i] = (struct group){.hash = spot->hash,
				      .parent = parent,
				      .next_in_bucket = *bucket,
				      .first = NONE,
				      .last = NONE,
				      .next = NONE,
				      .header_at = spot->header_at,
				      .header_len = spot->header_len,
				      .body = spot->header_len};
	if (*last == NONE)
		*first = i;
	else
		s->groups[*last].next = i;
	*last = *bucket = spot->group = i;
}

static void append_run(struct splice *s, struct group *scope, struct slice spans)
{
	struct run *last = scope->last != NONE ? &s->runs[scope->last] : NULL;
	if (last != NULL && last->spans.data + last->spans.len == spans.data) {
		last->spans.len += spans.len;
		return;
	}
	assert(s->runs != NULL && s->n_runs < s->cap_runs);
	s->runs[s->n_runs] = (struct run){spans, NONE};
	if (last != NULL)
		last->next = s->n_runs;
	else
		scope->first = s->n_runs;
	scope->last = s->n_runs++;
}

/* What the resource's body and the whole would be with `bytes` more of spans in the scope. */
struct growth {
	size_t resource_body, size;
};

static struct growth growth_of(const struct splice *s, const struct spot *resource,
			       const struct spot *scope, size_t bytes)
{
	struct growth g = {resource->header_len, s->size};
	size_t scope_body = scope->header_len + bytes;
	if (resource->group != NONE) {
		g.resource_body = s->groups[resource->group].body;
		g.size -= framed(g.resource_body);
	}
	if (scope->group != NONE) {
		scope_body = s->groups[scope->group].body + bytes;
		g.resource_body -= framed(s->groups[scope->group].body);
	}
	g.resource_body += framed(scope_body);
	g.size += framed(g.resource_body);
	return g;
}

/* 0, SPLICE_FULL with nothing changed, or negative. */
static int put_spans(struct splice *s, struct spot *resource, struct spot *scope,
		     struct slice spans, uint32_t n)
{
	struct growth g = growth_of(s, resource, scope, spans.len);
	if (g.size > s->max_bytes && (s->spans != 0 || n > 1))
		return SPLICE_FULL;
	if (s->n_groups + 2 > s->cap_groups && grow_groups(s) != 0)
		return -ENOMEM;
	if (s->n_runs == s->cap_runs && grow_runs(s) != 0)
		return -ENOMEM;
	if (resource->group == NONE)
		make_group(s, NONE, resource);
	if (scope->group == NONE)
		make_group(s, resource->group, scope);
	append_run(s, &s->groups[scope->group], spans);
	s->groups[scope->group].body += spans.len;
	s->groups[resource->group].body = g.resource_body;
	s->size = g.size;
	s->spans += n;
	return 0;
}

/* Begins a spot whose header will be appended to splice.headers; settled when it is all there. */
static struct spot begin_spot(const struct splice *s)
{
	return (struct spot){.group = NONE, .header_at = s->headers.len};
}

static void settle_spot(struct splice *s, struct spot *spot, const struct spot *parent)
{
	spot->header_len = s->headers.len - spot->header_at;
	struct slice header = header_of(s, spot->header_at, spot->header_len);
	spot->hash = siphash(&s->key, header.data, header.len);
	if (parent == NULL)
		spot->group = find_group(s, NONE, spot);
	else if (parent->group != NONE)
		spot->group = find_group(s, parent->group, spot);
	if (spot->group != NONE)
		s->headers.len = spot->header_at; /* it is known already */
}

static void end_spot(struct splice *s, const struct spot *spot)
{
	if (spot->group == NONE)
		s->headers.len = spot->header_at; /* none of its spans was taken */
}

/* The first of two looks at a ScopeSpans: its header, and its spans as one run where they are one.
 */
struct scope_scan {
	struct slice run;
	uint32_t spans, runs;
};

static int scan_header(struct splice *s, const struct field *f)
{
	if (buf_append(&s->headers, f->whole.data, f->whole.len) != 0)
		return fail(-ENOMEM, "splice: no memory for a header");
	return 0;
}

static int scan_scope(struct splice *s, struct slice scope, struct scope_scan *sc)
{
	struct field f;
	int rc = 0;
	*sc = (struct scope_scan){0};
	while (rc == 0 && field_next(&scope, &f)) {
		if (!field_is(&f, SCOPE_SPANS_SPANS)) {
			rc = scan_header(s, &f);
			continue;
		}
		if (sc->spans++ == 0 || sc->run.data + sc->run.len != f.whole.data) {
			sc->run = f.whole;
			sc->runs++;
		} else {
			sc->run.len += f.whole.len;
		}
	}
	return rc;
}

/* The second look, needed when not all of the spans are taken or unknown fields stand between them.
 * `*span` is counted on from `at`, the number of this scope's first one. */
static int add_one_by_one(struct splice *s, struct spot *resource, struct spot *spot,
			  struct slice scope, uint32_t at, uint32_t *span)
{
	struct field f;
	while (at < s->end && field_next(&scope, &f)) {
		if (!field_is(&f, SCOPE_SPANS_SPANS) || at++ < *span)
			continue;
		int rc = put_spans(s, resource, spot, f.whole, 1);
		if (rc != 0)
			return rc;
		++*span;
	}
	return 0;
}

static int add_scope(struct splice *s, struct spot *resource, struct slice scope, uint32_t *at,
		     uint32_t *span)
{
	struct spot spot = begin_spot(s);
	struct scope_scan sc;
	uint32_t first = *at;
	int rc = scan_scope(s, scope, &sc);
	*at += sc.spans;
	if (rc == 0 && *at > *span && first < s->end) {
		settle_spot(s, &spot, resource);
		bool whole = first >= *span && *at <= s->end && sc.runs == 1;
		rc = whole ? put_spans(s, resource, &spot, sc.run, sc.spans) : SPLICE_FULL;
		if (rc == 0)
			*span += sc.spans;
		else if (rc == SPLICE_FULL)
			rc = add_one_by_one(s, resource, &spot, scope, first, span);
	}
	end_spot(s, &spot);
	return rc;
}

/* All of a ResourceSpans but its scopes. */
static int scan_resource(struct splice *s, struct slice resource)
{
	struct field f;
	int rc = 0;
	while (rc == 0 && field_next(&resource, &f))
		if (!field_is(&f, RESOURCE_SPANS_SCOPE_SPANS))
			rc = scan_header(s, &f);
	return rc;
}

static int add_resource(struct splice *s, struct slice resource, uint32_t *at, uint32_t *span)
{
	struct spot spot = begin_spot(s);
	struct field f;
	int rc = scan_resource(s, resource);
	if (rc == 0)
		settle_spot(s, &spot, NULL);
	while (rc == 0 && field_next(&resource, &f))
		if (field_is(&f, RESOURCE_SPANS_SCOPE_SPANS))
			rc = add_scope(s, &spot, f.value, at, span);
	end_spot(s, &spot);
	return rc;
}

int splice_add(struct splice *s, struct slice request, uint32_t *span, uint32_t end)
{
	struct field f;
	uint32_t at = 0;
	int rc = 0;
	s->end = end;
	while (rc == 0 && at < end && field_next(&request, &f))
		if (field_is(&f, REQUEST_RESOURCE_SPANS))
			rc = add_resource(s, f.value, &at, span);
	return rc;
}

/* ---- a choice of spans ---- */

struct choosing {
	struct splice *splice;
	const struct splice_choice *choice;
	const uint8_t *base; /* of the request */
	uint32_t *i;         /* the next that is not in */
};

/* The next one of the choice, if it lies in `within`. */
static const uint8_t *next_in(const struct choosing *x, struct slice within)
{
	if (*x->i == x->choice->n)
		return NULL;
	const uint8_t *at = x->base + x->choice->offsets[*x->i];
	return at >= within.data && at < within.data + within.len ? at : NULL;
}

static bool span_at(struct slice scope, const uint8_t *at, struct field *f)
{
	struct slice rest = slice_of(at, (size_t)(scope.data + scope.len - at));
	return field_next(&rest, f) && field_is(f, SCOPE_SPANS_SPANS);
}

/* Spans that stay as they are, and follow each other, go together. */
static uint32_t run_of(const struct choosing *x, struct slice scope, struct slice *run)
{
	const struct splice_choice *c = x->choice;
	uint32_t n = 1;
	struct field f;
	while (*x->i + n < c->n && x->base + c->offsets[*x->i + n] == run->data + run->len &&
	       span_at(scope, run->data + run->len, &f)) {
		run->len += f.whole.len;
		n++;
	}
	return n;
}

static int put_chosen(struct choosing *x, struct spot *resource, struct spot *spot,
		      struct slice scope)
{
	const struct splice_choice *c = x->choice;
	const uint8_t *at;
	struct field f;
	int rc = 0;
	while (rc == 0 && (at = next_in(x, scope)) != NULL && span_at(scope, at, &f)) {
		struct slice span = f.whole;
		uint32_t n = 1;
		if (c->take == NULL)
			n = run_of(x, scope, &span);
		else
			span = c->take(c->ctx, *x->i, span);
		if (span.len == 0)
			return -ENOMEM;
		rc = put_spans(x->splice, resource, spot, span, n);
		if (rc == SPLICE_FULL && n > 1) {
			n = 1;
			rc = put_spans(x->splice, resource, spot, f.whole, n);
		}
		if (rc == 0)
			*x->i += n;
	}
	return rc;
}

static int choose_scope(struct choosing *x, struct spot *resource, struct slice scope)
{
	struct splice *s = x->splice;
	struct spot spot = begin_spot(s);
	struct slice rest = scope;
	struct field f;
	int rc = 0;
	while (rc == 0 && field_next(&rest, &f))
		if (!field_is(&f, SCOPE_SPANS_SPANS))
			rc = scan_header(s, &f);
		else if (!x->choice->tails)
			break;
	if (rc == 0) {
		settle_spot(s, &spot, resource);
		rc = put_chosen(x, resource, &spot, scope);
	}
	end_spot(s, &spot);
	return rc;
}

static int choose_resource(struct choosing *x, struct slice resource)
{
	struct spot spot = begin_spot(x->splice);
	struct field f;
	int rc = scan_resource(x->splice, resource);
	if (rc == 0)
		settle_spot(x->splice, &spot, NULL);
	while (rc == 0 && field_next(&resource, &f))
		if (field_is(&f, RESOURCE_SPANS_SCOPE_SPANS) && next_in(x, f.value) != NULL)
			rc = choose_scope(x, &spot, f.value);
	end_spot(x->splice, &spot);
	return rc;
}

int splice_add_some(struct splice *s, struct slice request, const struct splice_choice *c,
		    uint32_t *done)
{
	struct choosing x = {s, c, request.data, done};
	struct field f;
	int rc = 0;
	*done = 0;
	while (rc == 0 && *done < c->n && field_next(&request, &f))
		if (field_is(&f, REQUEST_RESOURCE_SPANS) && next_in(&x, f.value) != NULL)
			rc = choose_resource(&x, f.value);
	return rc;
}

uint32_t splice_spans(const struct splice *s)
{
	return s->spans;
}

size_t splice_size(const struct splice *s)
{
	return s->size;
}

static uint8_t *write_bytes(uint8_t *at, struct slice bytes)
{
	if (bytes.len != 0)
		memcpy(at, bytes.data, bytes.len);
	return at + bytes.len;
}

static uint8_t *write_head(const struct splice *s, uint8_t *at, uint32_t number,
			   const struct group *g)
{
	*at++ = (uint8_t)(number << 3 | WIRE_BYTES);
	size_t v = g->body;
	for (; v >= 0x80; v >>= 7)
		*at++ = (uint8_t)(v | 0x80);
	*at++ = (uint8_t)v;
	return write_bytes(at, header_of(s, g->header_at, g->header_len));
}

static uint8_t *write_scope(const struct splice *s, uint8_t *at, const struct group *scope)
{
	at = write_head(s, at, RESOURCE_SPANS_SCOPE_SPANS, scope);
	for (uint32_t i = scope->first; i != NONE; i = s->runs[i].next)
		at = write_bytes(at, s->runs[i].spans);
	return at;
}

int splice_write(const struct splice *s, struct buf *out)
{
	if (s->size == 0)
		return 0;
	if (buf_reserve(out, s->size) != 0)
		return BUF_FULL;
	uint8_t *at = out->data + out->len;
	for (uint32_t r = s->first; r != NONE; r = s->groups[r].next) {
		at = write_head(s, at, REQUEST_RESOURCE_SPANS, &s->groups[r]);
		for (uint32_t i = s->groups[r].first; i != NONE; i = s->groups[i].next)
			at = write_scope(s, at, &s->groups[i]);
	}
	out->len += s->size;
	return 0;
}
