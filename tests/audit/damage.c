/* SPDX-License-Identifier: Apache-2.0
 * Damages copies of an audit log in all the ways that somebody might who has not the key, and wants
 * `audit verify` to find each: edits, deletions, insertions, records that change places, ends that
 * are cut off (against a checkpoint), and logs made anew. `damage N`: so many copies. */

#include "unit/audit_fixture.h"

enum { CHAINS = 4, BLOCKS = 2, RECORDS = 240, LINES = RECORDS / CHAINS, EVERY = 12 };

struct log {
	struct buf chain[CHAINS], blocks[BLOCKS];
};

static struct log whole;
static struct audit_head head;
static const struct slice OTHER = {(const uint8_t *)"fedcba9876543210fedcba9876543210", 32};

/* ---- a log ---- */

static void add_block(struct audit_head *h, struct slice key, uint64_t number)
{
	struct audit_block b = {.magic = AUDIT_BLOCK_MAGIC, .n = 8, .number = number};
	struct audit_decision d[8] = {{.spans = 10, .threshold = number}};
	char hash[2 * AUDIT_BLOCK_HASH + 1];
	struct audit_record r;
	struct buf *file = &whole.blocks[(number - 1) * BLOCKS * EVERY / RECORDS];
	CHECK_EQ(audit_block_hash(slice_of(&b, sizeof(b)), slice_of(d, sizeof(d)), hash), 0);
	CHECK_EQ(buf_append(file, &b, sizeof(b)), 0);
	CHECK_EQ(buf_append(file, d, sizeof(d)), 0);
	audit_record_init(&r, AUDIT_DECISIONS, "traces", "decided", NULL);
	audit_detail(&r, "sha256", hash);
	audit_count(&r, "block", (int64_t)number);
	CHECK_EQ(audit_append(h, key, &r, EARLY, BOOT, &whole.chain[h->seq / LINES]), 0);
}

static void make_whole(void)
{
	for (unsigned i = 0; i < RECORDS; i++)
		if (i % EVERY == EVERY - 1)
			add_block(&head, the_key(), i / EVERY + 1);
		else
			add_record(&whole.chain[i / LINES], &head, the_key(),
				   i == 0 ? AUDIT_START : AUDIT_CREDENTIAL, "main");
}

static void copy(struct buf *to, const struct buf *from)
{
	to->len = 0;
	CHECK_EQ(buf_append(to, from->data, from->len), 0);
}

static void copy_log(struct log *to)
{
	for (int i = 0; i < CHAINS; i++)
		copy(&to->chain[i], &whole.chain[i]);
	for (int i = 0; i < BLOCKS; i++)
		copy(&to->blocks[i], &whole.blocks[i]);
}

static void finish_log(struct log *l)
{
	for (int i = 0; i < CHAINS; i++)
		buf_finish(&l->chain[i]);
	for (int i = 0; i < BLOCKS; i++)
		buf_finish(&l->blocks[i]);
}

static enum audit_damage verdict(const struct log *l, const struct audit_checkpoint *c)
{
	struct audit_verifier v = {.keys = {the_key()}, .n_keys = 1};
	if (c != NULL)
		v.checkpoint = *c;
	for (int i = 0; i < CHAINS; i++)
		audit_verify_chain(&v, buf_slice(&l->chain[i]), i + 1 == CHAINS);
	audit_verify_chain_end(&v);
	for (int i = 0; i < BLOCKS; i++)
		audit_verify_blocks(&v, buf_slice(&l->blocks[i]));
	audit_verify_blocks_end(&v);
	audit_verify_finish(&v);
	return v.damage;
}

/* ---- damage ---- */

static uint64_t seed = 88172645463325252;

static uint32_t random_below(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 32) % n);
}

static void replace(struct buf *b, size_t at, size_t gone, struct slice with)
{
	struct buf made = spliced(buf_slice(b), b->data + at, b->data + at + gone, with);
	buf_finish(b);
	*b = made;
}

static size_t place_of(const struct buf *b, struct slice line)
{
	return (size_t)(line.data - b->data);
}

static struct buf *any_file(struct log *l)
{
	uint32_t i = random_below(CHAINS + BLOCKS);
	return i < CHAINS ? &l->chain[i] : &l->blocks[i - CHAINS];
}

static void flip_a_bit(struct log *l)
{
	struct buf *b = any_file(l);
	b->data[random_below(b->len)] ^= (uint8_t)(1 << random_below(8));
}

static void change_bytes(struct log *l)
{
	struct buf *b = any_file(l);
	size_t at = random_below(b->len), n = 1 + random_below(40);
	struct buf was = {.data = NULL};
	copy(&was, b);
	for (size_t i = at; i < b->len && i < at + n; i++)
		b->data[i] = (uint8_t)random_below(256);
	if (memcmp(was.data, b->data, b->len) == 0)
		b->data[at] ^= 1;
	buf_finish(&was);
}

/* What a record says, in the same length: the most likely forgery. */
static void tell_another_story(struct log *l)
{
	struct buf *b = &l->chain[random_below(CHAINS)];
	struct slice line = line_of(buf_slice(b), random_below(LINES));
	uint8_t *at = memmem(line.data, line.len, "\"pid\":", 6);
	if (at == NULL)
		at = memmem(line.data, line.len, "\"block\":", 8);
	at = memchr(at, ':', 10);
	at[1] = at[1] == '9' ? '8' : '9';
}

static void delete_lines(struct log *l)
{
	struct buf *b = &l->chain[random_below(CHAINS)];
	uint32_t first = random_below(LINES), n = 1 + random_below(3);
	bool last = b == &l->chain[CHAINS - 1];
	if (last && first + n >= LINES) /* that is truncation */
		first = LINES - n - 1;
	for (uint32_t i = 0; i < n && first < LINES - i; i++) {
		struct slice line = line_of(buf_slice(b), first);
		replace(b, place_of(b, line), line.len, slice_of(NULL, 0));
	}
}

static void delete_a_file(struct log *l)
{
	uint32_t i = random_below(CHAINS - 1 + BLOCKS);
	struct buf *b = i < CHAINS - 1 ? &l->chain[i] : &l->blocks[i - (CHAINS - 1)];
	b->len = 0;
}

static void cut_a_block(struct log *l)
{
	size_t len = sizeof(struct audit_block) + 8 * sizeof(struct audit_decision);
	struct buf *b = &l->blocks[random_below(BLOCKS)];
	replace(b, len * random_below(b->len / len), len, slice_of(NULL, 0));
}

static void insert_a_copy(struct log *l)
{
	struct buf *b = &l->chain[random_below(CHAINS)], one = {.data = NULL};
	struct slice line =
	    line_of(buf_slice(&whole.chain[random_below(CHAINS)]), random_below(LINES));
	CHECK_EQ(buf_append(&one, line.data, line.len), 0);
	struct slice before = line_of(buf_slice(b), random_below(LINES));
	replace(b, place_of(b, before), 0, buf_slice(&one));
	buf_finish(&one);
}

/* Somebody makes records that follow what is there, without the key. */
static void forge(struct log *l, bool goes_on, struct slice key)
{
	uint32_t file = random_below(CHAINS), at = 1 + random_below(LINES - 2);
	struct buf *b = &l->chain[file], made = {.data = NULL};
	struct slice line = line_of(buf_slice(b), at - 1), next = line_of(buf_slice(b), at);
	struct audit_line read;
	struct audit_head h;
	CHECK(audit_line_read(&read, slice_of(line.data, line.len - 1)));
	h.seq = read.seq;
	memcpy(h.mac, read.mac, AUDIT_MAC);
	add_record(&made, &h, key, AUDIT_DROP, "evil");
	for (; goes_on && h.seq < (file + 1) * LINES;)
		add_record(&made, &h, key, AUDIT_CREDENTIAL, "main");
	size_t from = place_of(b, next);
	replace(b, from, goes_on ? b->len - from : 0, buf_slice(&made));
	made.len = 0;
	for (uint32_t k = file + 1; goes_on && k < CHAINS; k++) {
		l->chain[k].len = 0;
		for (int i = 0; i < LINES; i++)
			add_record(&l->chain[k], &h, key, AUDIT_CREDENTIAL, "main");
	}
	buf_finish(&made);
}

static void insert_a_forgery(struct log *l)
{
	forge(l, false, random_below(2) ? OTHER : slice_of(NULL, 0));
}

static void chain_anew(struct log *l)
{
	forge(l, true, random_below(2) ? OTHER : slice_of(NULL, 0));
}

static void swap_lines(struct log *l)
{
	struct buf *b = &l->chain[random_below(CHAINS)], one = {.data = NULL};
	uint32_t first = random_below(LINES - 1);
	struct slice line = line_of(buf_slice(b), first);
	CHECK_EQ(buf_append(&one, line.data, line.len), 0);
	replace(b, place_of(b, line), line.len, slice_of(NULL, 0));
	line = line_of(buf_slice(b), first);
	replace(b, place_of(b, line) + line.len, 0, buf_slice(&one));
	buf_finish(&one);
}

/* In the middle of a record or between two; perhaps whole files. */
static void cut_the_end(struct log *l)
{
	uint32_t files = random_below(CHAINS);
	for (uint32_t i = 0; i < files; i++)
		l->chain[CHAINS - 1 - i].len = 0;
	struct buf *b = &l->chain[CHAINS - 1 - files];
	if (random_below(2)) {
		b->len = random_below(b->len);
	} else {
		struct slice line = line_of(buf_slice(b), random_below(LINES));
		b->len = place_of(b, line);
	}
}

static const struct way {
	const char *name;
	void (*damage)(struct log *l);
} WAYS[] = {{"a bit flipped", flip_a_bit},
	    {"bytes changed", change_bytes},
	    {"a record says something else", tell_another_story},
	    {"records deleted", delete_lines},
	    {"a file deleted", delete_a_file},
	    {"a block deleted", cut_a_block},
	    {"a record copied", insert_a_copy},
	    {"a forged record inserted", insert_a_forgery},
	    {"chained anew without the key", chain_anew},
	    {"records swapped", swap_lines},
	    {"the end cut off, against a checkpoint", cut_the_end}};
enum { N_WAYS = sizeof(WAYS) / sizeof(WAYS[0]) };

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000, failed = 0;
	struct audit_checkpoint c = {.len = 8};
	struct log l = {.chain = {{.data = NULL}}};
	make_whole();
	c.seq = head.seq;
	memcpy(c.mac, head.mac, AUDIT_MAC);
	copy_log(&l);
	if (verdict(&l, &c) != AUDIT_WHOLE) {
		printf("what is whole is called %s\n", AUDIT_DAMAGE_NAMES[verdict(&l, &c)]);
		failed++;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct way *way = &WAYS[i % N_WAYS];
		copy_log(&l);
		way->damage(&l);
		if (verdict(&l, way->damage == cut_the_end ? &c : NULL) != AUDIT_WHOLE)
			continue;
		printf("not found, copy %u: %s\n", i, way->name);
		failed++;
	}
	finish_log(&l);
	finish_log(&whole);
	printf("audit-damage: %u passed, %u failed\n", n + 1 - failed, failed);
	return failed != 0;
}
