/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/recording.h"

#include <math.h>

#include "base/endian.h"
#include "pipeline/rulebook.h"

static const uint8_t MAGIC[4] = {'R', 'L', 'T', '1'};
enum { TALLY_WORDS = 6, TALLY_BYTES = 8 * TALLY_WORDS };
_Static_assert(sizeof(struct tally) == TALLY_BYTES, "as on disk");

/* ---- making ---- */

void part_count(struct part *p, const struct decision *d, bool is_kept)
{
	struct tally *t = &p->tallies[d->rule];
	t->traces++;
	t->spans += d->spans;
	t->bytes += d->bytes;
	if (!is_kept)
		return;
	t->kept_traces++;
	t->kept_spans += d->spans;
	t->kept_bytes += d->bytes;
}

int part_add(struct part *p, const struct decision *d, double share, uint64_t generation)
{
	uint64_t bits;
	memcpy(&bits, &share, sizeof(bits));
	bits = htole64(bits);
	if (p->chapter.len == 0 && chapter_begin(&p->chapter, generation, p->begin_ms) != 0)
		return BUF_FULL;
	p->traces++;
	p->spans += d->spans;
	return buf_append(&p->shares, &bits, sizeof(bits)) != 0 || chapter_add(&p->chapter, d) != 0
		   ? BUF_FULL
		   : 0;
}

static int append32(struct buf *out, uint32_t v)
{
	v = htole32(v);
	return buf_append(out, &v, sizeof(v));
}

static int append64(struct buf *out, uint64_t v)
{
	v = htole64(v);
	return buf_append(out, &v, sizeof(v));
}

int part_write(const struct part *p, const struct policy *policy, uint64_t end_ms, struct buf *out)
{
	struct buf book = {.data = NULL};
	int rc = rulebook_write(&book, slice_of(NULL, 0), policy);
	rc |= buf_append(out, MAGIC, sizeof(MAGIC)) | append32(out, policy->n_rules) |
	      append32(out, (uint32_t)book.len) | append32(out, p->traces) |
	      append64(out, p->begin_ms) | append64(out, end_ms) | append64(out, p->late_spans) |
	      append64(out, p->late_bytes) | buf_append(out, book.data, book.len);
	for (uint32_t i = 0; i < policy->n_rules; i++) {
		uint64_t words[TALLY_WORDS];
		memcpy(words, &p->tallies[i], sizeof(words));
		for (int w = 0; w < TALLY_WORDS; w++)
			rc |= append64(out, words[w]);
	}
	rc |= buf_append(out, p->shares.data, p->shares.len) |
	      buf_append(out, p->chapter.data, p->chapter.len) |
	      buf_append(out, p->request.data, p->request.len);
	buf_finish(&book);
	return rc != 0 ? BUF_FULL : 0;
}

void part_clear(struct part *p, uint64_t begin_ms)
{
	memset(p->tallies, 0, sizeof(p->tallies));
	p->begin_ms = begin_ms;
	p->late_spans = p->late_bytes = 0;
	p->shares.len = p->chapter.len = p->request.len = 0;
	p->traces = p->spans = 0;
}

void part_finish(struct part *p)
{
	buf_finish(&p->shares);
	buf_finish(&p->chapter);
	buf_finish(&p->request);
}

/* ---- reading ---- */

/* The next `len` bytes; false: there are fewer. */
static bool take(struct slice *from, uint64_t len, struct slice *out)
{
	if (len > from->len)
		return false;
	*out = slice_of(from->data, (size_t)len);
	*from = slice_of(from->data + len, from->len - (size_t)len);
	return true;
}

static bool shares_are_sound(const struct part_view *v)
{
	for (uint32_t i = 0; i < v->chapter.n; i++) {
		struct decision d;
		double share = part_trace(v, i, &d);
		if (!(share > 0 && share <= 1) || d.rule >= v->n_rules)
			return false;
	}
	return true;
}

int part_read(struct part_view *v, struct slice bytes)
{
	struct slice head, chapter;
	if (!take(&bytes, RECORDING_HEADER, &head) || memcmp(head.data, MAGIC, sizeof(MAGIC)) != 0)
		return RECORDING_BAD;
	uint32_t traces = get32(head.data + 12);
	*v = (struct part_view){.n_rules = get32(head.data + 4),
				.begin_ms = get64(head.data + 16),
				.end_ms = get64(head.data + 24),
				.late_spans = get64(head.data + 32),
				.late_bytes = get64(head.data + 40)};
	if (v->n_rules == 0 || v->n_rules > POLICY_RULES || v->end_ms < v->begin_ms ||
	    !take(&bytes, get32(head.data + 8), &v->book) ||
	    !take(&bytes, (uint64_t)v->n_rules * TALLY_BYTES, &v->tallies) ||
	    !take(&bytes, (uint64_t)traces * 8, &v->shares) ||
	    !take(&bytes, CHAPTER_HEADER + (uint64_t)traces * sizeof(struct decision), &chapter) ||
	    chapter_read(&v->chapter, chapter) != 0 || v->chapter.n != traces)
		return RECORDING_BAD;
	v->request = bytes;
	return shares_are_sound(v) ? 0 : RECORDING_BAD;
}

void part_tally(const struct part_view *v, uint32_t rule, struct tally *out)
{
	uint64_t words[TALLY_WORDS];
	for (int w = 0; w < TALLY_WORDS; w++)
		words[w] = get64(v->tallies.data + (size_t)rule * TALLY_BYTES + (size_t)w * 8);
	memcpy(out, words, sizeof(*out));
}

const char *part_rule(const struct part_view *v, uint32_t rule)
{
	const char *name = rulebook_name(v->book, v->chapter.generation, rule);
	return name != NULL ? name : "?";
}

double part_trace(const struct part_view *v, uint32_t i, struct decision *out)
{
	uint64_t bits = get64(v->shares.data + (size_t)i * 8);
	double share;
	memcpy(&share, &bits, sizeof(share));
	chapter_at(&v->chapter, i, out);
	return share;
}

/* ---- how much is recorded ---- */

static const double AVERAGE_S = 10, RISE = 1.2; /* in that time */
static const double AGE_MOST_S = 3600, AGE_LEAST_S = 60;
static const double FULL = 7.0 / 8; /* one of the ring's files is always being emptied */
/* On disk, while a young ring is filled: each of them costs some ten times as much of reading. */
static const double MOST_PER_S = 64 << 10;
static const double LEAST_SHARE = 1e-6, FIRST_RATIO = 0.15;

void recording_rate_init(struct recording_rate *r, double limit_bytes, uint64_t now_ms)
{
	*r = (struct recording_rate){.limit_bytes = limit_bytes, .share = 1, .now_ms = now_ms};
}

double recording_rate_share(struct recording_rate *r, double bytes, double age_s, uint64_t now_ms)
{
	double dt = now_ms > r->now_ms ? (double)(now_ms - r->now_ms) / 1000 : 0;
	double horizon_s = fmin(fmax(2 * age_s, AGE_LEAST_S), AGE_MOST_S);
	double ring = r->limit_bytes * FULL;
	double goal = fmin(ring / horizon_s, fmax(ring / AGE_MOST_S, MOST_PER_S));
	dt = fmin(dt, AVERAGE_S);
	double factor = exp(-dt / AVERAGE_S);
	r->now_ms = now_ms;
	r->volume = r->volume * factor + bytes;
	r->time_s = r->time_s * factor + dt;
	double ratio = r->sample > 0 ? r->stored / r->sample : FIRST_RATIO;
	double all = r->time_s > 0 ? r->volume / r->time_s * ratio : 0; /* at a share of 1 */
	double fits = all > goal ? goal / all : 1;
	r->share = fmin(fits, r->share * pow(RISE, dt / AVERAGE_S));
	r->share = fmin(fmax(r->share, LEAST_SHARE), 1);
	return r->share;
}

void recording_rate_stored(struct recording_rate *r, double sample, double stored)
{
	const double keep = 0.9; /* of what is known, a part */
	r->sample = r->sample * keep + sample;
	r->stored = r->stored * keep + stored;
}
