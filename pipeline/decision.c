/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/decision.h"
#include "base/endian.h"

#include <endian.h>

static const char MAGIC[4] = "RLD1", MAGIC_MET[4] = "RLD2";

const char *const TRIGGER_NAMES[TRIGGERS] = {
    "root", "wait", "span_limit", "byte_limit", "certain", "eviction", "stress",
};

const char *const VERDICT_NAMES[VERDICTS] = {
    "kept", "rule", "budget", "late", "late_over_budget", "duplicate", "damaged",
};

/* Places of what the header holds. */
enum { AT_N = 4, AT_GENERATION = 8, AT_TIME = 16 };

/* A record is the struct in little endian: the same bytes on the machines we run on. On others
 * this turns each number, both ways. */
static void turn(struct decision *d)
{
	d->first_unix_ms = htole64(d->first_unix_ms);
	d->randomness = htole64(d->randomness);
	d->threshold = htole64(d->threshold);
	d->arrived = htole64(d->arrived);
	for (int i = 0; i < 4; i++)
		d->keys[i] = htole64(d->keys[i]);
	d->spans = htole32(d->spans);
	d->errors = htole32(d->errors);
	d->bytes = htole64(d->bytes);
	d->duration_ns = htole64(d->duration_ns);
	d->waited_ms = htole32(d->waited_ms);
	d->rule = htole16(d->rule);
	d->would = htole16(d->would);
}

int chapter_begin(struct buf *out, uint64_t generation, uint64_t unix_ms)
{
	uint8_t header[CHAPTER_HEADER] = {0};
	memcpy(header, MAGIC, sizeof(MAGIC));
	put64(header + AT_GENERATION, generation);
	put64(header + AT_TIME, unix_ms);
	return buf_append(out, header, sizeof(header));
}

int chapter_add(struct buf *out, const struct decision *d)
{
	struct decision record = *d;
	turn(&record);
	if (buf_append(out, &record, sizeof(record)) != 0)
		return BUF_FULL;
	uint8_t *n = out->data + AT_N;
	put32(n, get32(n) + 1);
	return 0;
}

static void turn_met(struct met_by *m)
{
	m->decision = htole32(m->decision);
	m->spans = htole32(m->spans);
}

int chapter_add_met(struct buf *out, const struct met_by *m)
{
	struct met_by record = *m;
	turn_met(&record);
	memcpy(out->data, MAGIC_MET, sizeof(MAGIC_MET));
	return buf_append(out, &record, sizeof(record));
}

/* Enums and flags that a later reader would index by are looked at here. */
static bool is_sound(const struct decision *d)
{
	return d->trigger < TRIGGERS && d->verdict < VERDICTS && d->randomness >> 56 == 0 &&
	       d->threshold <= (uint64_t)1 << 56 && d->arrived >> 56 == 0;
}

/* A chapter of the first version has none, and one of the second has some. */
static bool has_sound_met(const struct chapter *c, bool wants_some)
{
	struct met_by m, before = {.decision = 0};
	if (c->met.len != (size_t)c->n_met * sizeof(m) || wants_some != (c->n_met != 0))
		return false;
	for (uint32_t i = 0; i < c->n_met; i++, before = m) {
		chapter_met_at(c, i, &m);
		if (m.decision >= c->n || m.spans == 0 || (i != 0 && m.decision <= before.decision))
			return false;
	}
	return true;
}

int chapter_read(struct chapter *c, struct slice bytes)
{
	bool is_met = bytes.len >= CHAPTER_HEADER && memcmp(bytes.data, MAGIC_MET, 4) == 0;
	if (bytes.len < CHAPTER_HEADER || (!is_met && memcmp(bytes.data, MAGIC, 4) != 0))
		return DECISION_BAD;
	*c = (struct chapter){.n = get32(bytes.data + AT_N),
			      .generation = get64(bytes.data + AT_GENERATION),
			      .unix_ms = get64(bytes.data + AT_TIME)};
	size_t all = bytes.len - CHAPTER_HEADER, records = (size_t)c->n * sizeof(struct decision);
	if (all < records || all / sizeof(struct met_by) > UINT32_MAX)
		return DECISION_BAD;
	c->records = slice_of(bytes.data + CHAPTER_HEADER, records);
	c->met = slice_of(bytes.data + CHAPTER_HEADER + records, all - records);
	c->n_met = (uint32_t)(c->met.len / sizeof(struct met_by));
	if (!has_sound_met(c, is_met))
		return DECISION_BAD;
	for (uint32_t i = 0; i < c->n; i++) {
		struct decision d;
		chapter_at(c, i, &d);
		if (!is_sound(&d))
			return DECISION_BAD;
	}
	return 0;
}

void chapter_at(const struct chapter *c, uint32_t i, struct decision *out)
{
	memcpy(out, c->records.data + (size_t)i * sizeof(*out), sizeof(*out));
	turn(out);
}

void chapter_met_at(const struct chapter *c, uint32_t i, struct met_by *out)
{
	memcpy(out, c->met.data + (size_t)i * sizeof(*out), sizeof(*out));
	turn_met(out);
}

struct met_by chapter_met_by(const struct chapter *c, uint32_t i)
{
	struct met_by m;
	for (uint32_t k = 0; k < c->n_met; k++) {
		chapter_met_at(c, k, &m);
		if (m.decision == i)
			return m;
	}
	return (struct met_by){.decision = i};
}
