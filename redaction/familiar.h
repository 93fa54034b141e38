/* SPDX-License-Identifier: Apache-2.0
 * redaction/familiar.h - keys that come again and again and of which there is nothing to say but
 * which rules are for their values. The key behind a key is mostly the one that was behind it
 * before: that takes 2 ns, any other one here 5, the scanner's table 20. Belongs to a scanner,
 * which fills it; what is not found is the scanner's to say. A client that makes up keys gains
 * nothing: they take what they would without this. */
#ifndef REDACTION_FAMILIAR_H
#define REDACTION_FAMILIAR_H

#include "base/endian.h"
#include "redaction/scan.h"

enum {
	FAMILIAR_LEAST = 4,   /* bytes of a key: of shorter ones too few stand before their end */
	FAMILIAR_SLOTS = 512, /* some thirty keys are common in a process's traffic, rarely 200 */
	FAMILIAR_SHIFT = 64 - 9
};

struct familiar {
	uint64_t head, head_bits; /* the first eight bytes, and which of them are the key's */
	uint64_t tail;            /* the last eight; of shorter keys the head */
	const uint8_t *key;
	const struct key_verdict *verdict;
	struct familiar *next; /* that came behind it last */
	uint32_t len;          /* 0: the slot is empty */
	uint32_t tail_at;
};

struct familiar_keys {
	struct familiar slots[FAMILIAR_SLOTS];
	struct familiar *last; /* that was found, by whoever went through keys before */
};

static inline void familiar_clear(struct familiar_keys *keys)
{
	for (unsigned i = 0; i < FAMILIAR_SLOTS; i++)
		keys->slots[i] = (struct familiar){.next = &keys->slots[i]};
	keys->last = keys->slots;
}

/* Of a key with eight bytes to be read from its begin. */
static inline bool familiar_is(const struct familiar *f, const uint8_t *key, size_t len)
{
	if (f->len != len || ((get64(key) ^ f->head) & f->head_bits) != 0 ||
	    ((get64(key + f->tail_at) ^ f->tail) & f->head_bits) != 0)
		return false;
	for (size_t i = 8; i + 8 < len; i += 8)
		if (get64(f->key + i) != get64(key + i))
			return false;
	return true;
}

/* Of a key with four bytes before it: in a message they are tags and lengths. */
static inline size_t familiar_slot(const uint8_t *key, size_t len)
{
	uint64_t tail = get64(key + len - 8);
	tail = len >= 8 ? tail : tail >> (64 - 8 * len);
	return ((tail ^ len) * 0x9e3779b97f4a7c15) >> FAMILIAR_SHIFT;
}

/* The verdict on a key of at least FAMILIAR_LEAST bytes with four bytes before it and four behind;
 * NULL: ask the scanner. What is found is neither ignored, blocked nor unlisted, and is clean. Good
 * until the next scanner_begin(). *last is the one before it, keys->last at first. */
static inline const struct key_verdict *
familiar_find(struct familiar_keys *keys, struct familiar **last, const uint8_t *key, size_t len)
{
	struct familiar *f = (*last)->next;
	if (!familiar_is(f, key, len)) {
		size_t slot = familiar_slot(key, len);
		f = &keys->slots[slot];
		if (!familiar_is(f, key, len))
			f = &keys->slots[slot ^ 1];
		if (!familiar_is(f, key, len))
			return NULL;
		(*last)->next = f;
	}
	*last = f;
	return f->verdict;
}

/* Keeps a key that was found in no slot and stays where it is; it may take another's place. */
static inline void familiar_add(struct familiar_keys *keys, const uint8_t *key, uint32_t len,
				const struct key_verdict *v)
{
	uint8_t padded[4 + 8 + 8] = {0};
	uint32_t tail_at = len > 8 ? len - 8 : 0, part = len > 8 ? 8 : len;
	if (len < FAMILIAR_LEAST || !v->clean || v->ignored || v->blocked || v->unlisted)
		return;
	memcpy(padded + 4, key, part);
	size_t slot = len < 8 ? familiar_slot(padded + 4, len) : familiar_slot(key, len);
	struct familiar *f = &keys->slots[slot];
	if (f->len != 0 && keys->slots[slot ^ 1].len == 0)
		f = &keys->slots[slot ^ 1];
	f->head = f->tail = get64(padded + 4);
	if (len > 8)
		f->tail = get64(key + tail_at);
	f->head_bits = UINT64_MAX >> (64 - 8 * part);
	f->key = key;
	f->verdict = v;
	f->len = len;
	f->tail_at = tail_at;
}

#endif
