/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/verify.h"

#include <stdlib.h>

#include "base/hex.h"

const char *const AUDIT_DAMAGE_NAMES[AUDIT_DAMAGES] = {"whole",
						       "edited",
						       "deleted",
						       "inserted",
						       "truncated",
						       "re-chained",
						       "torn tail",
						       "a block of decisions was edited",
						       "a block of decisions is missing",
						       "no memory"};

bool audit_checkpoint_read(const char *text, struct audit_checkpoint *out)
{
	char *end;
	if (*text < '1' || *text > '9')
		return false;
	out->seq = strtoull(text, &end, 10);
	size_t digits = *end == ':' ? strlen(end + 1) : 0;
	out->len = digits / 2;
	return digits >= 16 && digits <= 2 * (size_t)AUDIT_MAC && digits % 2 == 0 &&
	       hex_read((const uint8_t *)end + 1, out->mac, out->len);
}

static void condemn(struct audit_verifier *v, enum audit_damage damage, uint64_t seq)
{
	if (v->damage != AUDIT_WHOLE)
		return;
	v->damage = damage;
	v->seq = seq;
}

/* ---- a record ---- */

static struct slice key_of(const struct audit_verifier *v)
{
	return v->n_keys != 0 ? v->keys[v->key] : slice_of(NULL, 0);
}

static bool holds(const struct audit_verifier *v, const struct audit_line *l)
{
	return audit_line_holds(l, key_of(v));
}

static bool add_anchor(struct audit_verifier *v, const struct audit_line *l)
{
	struct slice hash;
	struct audit_anchor a = {.seq = l->seq};
	if (!audit_line_count(l, "block", &a.block) || !audit_line_detail(l, "sha256", &hash) ||
	    hash.len != 2 * (size_t)AUDIT_BLOCK_HASH ||
	    !hex_read(hash.data, a.hash, AUDIT_BLOCK_HASH))
		return true; /* it is as it was written, and anchors nothing */
	if (v->n_anchors == v->cap_anchors) {
		size_t cap = v->cap_anchors != 0 ? 2 * v->cap_anchors : 256;
		struct audit_anchor *more = realloc(v->anchors, cap * sizeof(*more));
		if (more == NULL)
			return false;
		v->anchors = more;
		v->cap_anchors = cap;
	}
	v->anchors[v->n_anchors++] = a;
	return true;
}

static void raise(uint64_t *to, const struct audit_line *l, const char *key)
{
	uint64_t n;
	if (audit_line_count(l, key, &n) && n > *to)
		*to = n;
}

static void accept(struct audit_verifier *v, const struct audit_line *l)
{
	const struct audit_checkpoint *c = &v->checkpoint;
	if (v->first == 0)
		v->first = l->seq;
	v->head.seq = l->seq;
	memcpy(v->head.mac, l->mac, AUDIT_MAC);
	if (l->seq == c->seq) {
		v->met_checkpoint = true;
		if (memcmp(c->mac, l->mac, c->len) != 0)
			condemn(v, AUDIT_RECHAINED, l->seq);
	}
	if (audit_line_is(l, AUDIT_RETENTION)) {
		raise(&v->retired_seq, l, "records_to");
		raise(&v->retired_block, l, "blocks_to");
	}
	if (audit_line_is(l, AUDIT_DECISIONS) && !add_anchor(v, l))
		condemn(v, AUDIT_NO_MEMORY, l->seq);
}

/* The mac is right, but not for this place. */
static void condemn_place(struct audit_verifier *v, const struct audit_line *l)
{
	uint64_t wanted = v->head.seq + 1;
	if (l->seq > wanted)
		condemn(v, AUDIT_DELETED, wanted);
	else if (l->seq < wanted)
		condemn(v, AUDIT_INSERTED, l->seq);
	else /* it was made to follow another record than the one that stands there */
		condemn(v, AUDIT_RECHAINED, v->head.seq);
}

/* The mac is wrong: what comes next tells why. */
static void condemn_record(struct audit_verifier *v, const struct audit_line *l,
			   const struct audit_line *next)
{
	uint64_t wanted = v->head.seq + 1;
	bool next_holds = next != NULL && holds(v, next);
	if (next_holds && audit_line_follows(next, &v->head))
		condemn(v, AUDIT_INSERTED, wanted);
	else if (next != NULL && !next_holds && audit_line_follows(l, &v->head) &&
		 memcmp(next->prev, l->mac, AUDIT_MAC) == 0)
		condemn(v, AUDIT_RECHAINED, wanted);
	else
		condemn(v, AUDIT_EDITED, wanted);
}

/* ---- a file ---- */

/* Another key may begin with a file. */
static void choose_key(struct audit_verifier *v, struct slice file)
{
	struct slice text;
	struct audit_line l;
	size_t was = v->key;
	if (!audit_next_line(&file, &text) || !audit_line_read(&l, text))
		return;
	for (size_t i = 0; i < v->n_keys; i++) {
		v->key = (was + i) % v->n_keys;
		if (holds(v, &l))
			return;
	}
	v->key = was;
}

static bool is_first(const struct audit_verifier *v)
{
	return v->first == 0;
}

void audit_verify_chain(struct audit_verifier *v, struct slice file, bool is_last)
{
	struct slice text, ahead, rest;
	struct audit_line l, next;
	choose_key(v, file);
	while (v->damage == AUDIT_WHOLE && audit_next_line(&file, &text)) {
		if (!audit_line_read(&l, text)) {
			condemn(v, AUDIT_EDITED, v->head.seq + 1);
		} else if (holds(v, &l)) {
			if (is_first(v) || audit_line_follows(&l, &v->head))
				accept(v, &l);
			else
				condemn_place(v, &l);
		} else {
			rest = file;
			bool more = audit_next_line(&rest, &ahead) && audit_line_read(&next, ahead);
			if (is_first(v))
				v->head.seq = l.seq - 1;
			condemn_record(v, &l, more ? &next : NULL);
		}
	}
	if (file.len != 0)
		condemn(v, is_last ? AUDIT_TORN : AUDIT_EDITED, v->head.seq + 1);
}

void audit_verify_chain_end(struct audit_verifier *v)
{
	if (v->first > 1 && v->retired_seq + 1 < v->first)
		condemn(v, AUDIT_DELETED, v->retired_seq + 1);
	if (v->checkpoint.seq > v->head.seq)
		condemn(v, AUDIT_TRUNCATED, v->head.seq + 1);
}

/* ---- blocks ---- */

/* Anchors whose block is not there: given up by retention, or deleted. */
static void pass_over(struct audit_verifier *v, uint64_t to_block)
{
	for (; v->next_anchor < v->n_anchors && v->anchors[v->next_anchor].block < to_block;
	     v->next_anchor++) {
		const struct audit_anchor *a = &v->anchors[v->next_anchor];
		if (a->block > v->retired_block)
			condemn(v, AUDIT_BLOCK_DELETED, a->seq);
	}
}

void audit_verify_blocks(struct audit_verifier *v, struct slice file)
{
	struct audit_block b;
	struct slice records;
	uint8_t hash[AUDIT_BLOCK_HASH];
	size_t len;
	while (v->damage == AUDIT_WHOLE &&
	       (len = audit_block_read(file, &b, &records, hash)) != 0) {
		file = slice_of(file.data + len, file.len - len);
		pass_over(v, b.number);
		if (v->next_anchor == v->n_anchors) {
			/* ahead of the chain; or its anchor is older than the chain that is held */
			v->unanchored++;
			continue;
		}
		const struct audit_anchor *a = &v->anchors[v->next_anchor];
		if (a->block > b.number)
			continue; /* it was written again, or its anchor was given up */
		if (memcmp(a->hash, hash, sizeof(hash)) != 0) {
			condemn(v, AUDIT_BLOCK_EDITED, a->seq);
			continue;
		}
		v->next_anchor++;
		v->blocks++;
		v->decisions += b.n;
	}
	/* No block begins there: that is as good as none, if one is wanted. */
	if (file.len != 0 && v->next_anchor < v->n_anchors)
		condemn(v, AUDIT_BLOCK_EDITED, v->anchors[v->next_anchor].seq);
}

void audit_verify_blocks_end(struct audit_verifier *v)
{
	if (v->damage == AUDIT_WHOLE)
		pass_over(v, UINT64_MAX);
}

void audit_verify_finish(struct audit_verifier *v)
{
	free(v->anchors);
	v->anchors = NULL;
	v->n_anchors = v->cap_anchors = 0;
}
