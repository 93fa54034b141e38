/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/scan.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/audit.h"
#include "storage/inspect.h"
#include "storage/sealed.h"
#include "wire/otlp_walk.h"

enum { LIMIT_MS = 30000, SLOW_DISK_BYTES_MS = 8 << 10 };

/* What follows the blocks in the pipe. */
struct scan_end {
	size_t n_blocks[STAGES];
	uint64_t next_seq, first_chapter, last_chapter;
	uint32_t before[STORE_MAX_EXPORTERS];
};

/* In the child. */
struct look {
	const char *path;
	struct state st;
	struct scan_end end;
	struct buf blocks; /* on their way to the pipe */
};

/* Spans of `b` that lie before the cursor within it. A cursor that points at no record cannot be
 * trusted. */
static uint32_t spans_before(const struct block *b, struct cursor c)
{
	uint32_t at = 0, spans = 0, next;
	struct record r;
	while (at < c.offset && (next = block_record(b, at, &r)) != 0) {
		spans += otlp_walk_spans(r.payload);
		at = next;
	}
	uint64_t done = (uint64_t)spans + c.span;
	return at == c.offset && done <= b->n_spans ? (uint32_t)done : CURSOR_ASTRAY;
}

static int tell_block(struct look *l, int out, uint32_t stage, const struct store_block *b)
{
	l->end.n_blocks[stage]++;
	if (buf_append(&l->blocks, b, sizeof(*b)) != 0)
		return -ENOMEM;
	if (l->blocks.len < 1 << 15)
		return 0;
	int rc = inspect_tell(out, l->blocks.data, l->blocks.len);
	l->blocks.len = 0;
	return rc;
}

static int look_at_block(struct look *l, int out, uint32_t stage, uint64_t id, struct slice bytes)
{
	struct block b;
	uint64_t claimed;
	int rc = block_open(&b, bytes, id);
	if (rc == 0 && b.stage != stage)
		return fail(JOURNAL_BAD, "journal: block %llu stands among those of another stage",
			    (unsigned long long)id);
	if (rc != 0) {
		if (bytes.len >= BLOCK_HEADER && block_claims(bytes.data, &claimed) == bytes.len &&
		    block_open(&b, bytes, claimed) == 0)
			return fail(JOURNAL_BAD, "journal: block %llu stands where %llu should",
				    (unsigned long long)claimed, (unsigned long long)id);
		log_error("block is damaged and skipped", "block=%llu pending=%d bytes=%zu",
			  (unsigned long long)id, stage == STAGE_PENDING, bytes.len);
		return tell_block(l, out, stage, &(struct store_block){.id = id});
	}
	const struct ledger *ledger = &l->st.ledger;
	for (unsigned i = 0; i < ledger->n_exporters + ledger->n_removed; i++) {
		struct cursor c = ledger->exporter[i].cursor[PLACE_JOURNAL];
		if (c.block_id == id && stage == STAGE_KEPT)
			l->end.before[i] = spans_before(&b, c);
	}
	if (l->end.next_seq < b.first_seq + b.n_records)
		l->end.next_seq = b.first_seq + b.n_records;
	return tell_block(l, out, stage,
			  &(struct store_block){id, b.unix_ms, b.n_spans, (uint32_t)bytes.len});
}

/* The account is written with all that is put there. */
static int check_account(const struct look *l, enum journal_tree in, uint64_t last)
{
	static const char *const WHAT[TREES] = {"block", "pending block", "chapter"};
	if (l->st.next[in] > 1 && last > l->st.next[in])
		return fail(JOURNAL_BAD, "journal: the account is older than %s %llu", WHAT[in],
			    (unsigned long long)last - 1);
	return 0;
}

static int look_at_blocks(struct look *l, struct journal_txn *t, int out, enum block_stage stage)
{
	struct slice bytes;
	enum journal_tree in = (enum journal_tree)stage;
	uint64_t id = 0;
	int rc;
	for (; (rc = journal_next(t, in, &id, &bytes)) == 0; id++) {
		rc = look_at_block(l, out, stage, id, bytes);
		if (rc != 0)
			return rc;
	}
	return rc == JOURNAL_NONE ? check_account(l, in, id) : rc;
}

/* As the judge will read them; what is damaged it is told then. */
static int look_at_chapters(struct look *l, struct journal_txn *t)
{
	struct slice value, bytes;
	uint64_t id = 0, number;
	int rc;
	for (; (rc = journal_next(t, TREE_CHAPTERS, &id, &value)) == 0; id++) {
		if (sealed_read(value, SEALED_CHAPTER, &number, &bytes) == 0 && number != id)
			return fail(JOURNAL_BAD, "journal: chapter %llu stands where %llu should",
				    (unsigned long long)number, (unsigned long long)id);
		if (l->end.first_chapter == 0)
			l->end.first_chapter = id;
		l->end.last_chapter = id;
	}
	return rc == JOURNAL_NONE ? check_account(l, TREE_CHAPTERS, id) : rc;
}

static int look_at_states(struct journal_txn *t)
{
	char name[512] = "";
	struct slice value, bytes;
	uint64_t number;
	int rc;
	while ((rc = journal_next_state(t, name, sizeof(name), &value)) == 0)
		(void)sealed_read(value, name, &number, &bytes);
	return rc == JOURNAL_NONE ? 0 : rc;
}

static int look_at_all(struct look *l, struct journal_txn *t, int out)
{
	int rc = state_load(&l->st, t);
	for (int stage = 0; stage < STAGES && rc == 0; stage++)
		rc = look_at_blocks(l, t, out, (enum block_stage)stage);
	if (rc == 0)
		rc = look_at_chapters(l, t);
	return rc != 0 ? rc : look_at_states(t);
}

/* In the child: nothing is closed or freed. */
static int look_at_journal(void *ctx, int out)
{
	struct look *l = ctx;
	struct audit a;
	struct journal j = {.env = NULL};
	struct journal_txn t;
	int rc = audit_file(&a, l->path, true);
	if (rc != 0)
		return rc;
	rc = journal_open_to_look(&j, l->path);
	if (rc != 0 && rc != JOURNAL_NONE)
		return fail(rc, "journal: %s is not ours", l->path);
	if (rc == 0) {
		journal_begin_read(&t, &j);
		rc = look_at_all(l, &t, out);
		if (rc != 0)
			return rc;
	}
	if (inspect_tell(out, l->blocks.data, l->blocks.len) != 0)
		return 1;
	return inspect_tell(out, &l->end, sizeof(l->end));
}

/* What came through the pipe. */
static int unpack(struct scan *sc)
{
	struct scan_end end;
	size_t len = sc->found.len - sizeof(end);
	if (sc->found.len < sizeof(end))
		return fail(-EPROTO, "journal: the list of blocks is not whole");
	memcpy(&end, sc->found.data + len, sizeof(end));
	if ((end.n_blocks[STAGE_KEPT] + end.n_blocks[STAGE_PENDING]) * sizeof(struct store_block) !=
	    len)
		return fail(-EPROTO, "journal: the list of blocks is not whole");
	union {
		const uint8_t *bytes;
		const struct store_block *blocks;
	} aligned = {sc->found.data}; /* as malloc() gave it */
	sc->blocks[STAGE_KEPT] = aligned.blocks;
	sc->blocks[STAGE_PENDING] = aligned.blocks + end.n_blocks[STAGE_KEPT];
	memcpy(sc->n_blocks, end.n_blocks, sizeof(sc->n_blocks));
	sc->next_seq = end.next_seq;
	sc->first_chapter = end.first_chapter;
	sc->last_chapter = end.last_chapter;
	memcpy(sc->before, end.before, sizeof(sc->before));
	return 0;
}

int scan_journal(struct scan *sc, const char *path)
{
	struct look l = {.path = path};
	struct stat st;
	memset(sc, 0, sizeof(*sc));
	sc->start_ms = clock_mono_ms();
	if (stat(path, &st) != 0)
		return errno == ENOENT ? JOURNAL_NONE
				       : fail(-errno, "journal: cannot look at %s", path);
	uint64_t limit_ms = LIMIT_MS + (uint64_t)st.st_size / SLOW_DISK_BYTES_MS;
	int rc = inspect_in_child(path, look_at_journal, &l, (unsigned)limit_ms, &sc->found);
	if (rc == 0)
		rc = unpack(sc);
	if (rc != 0)
		scan_finish(sc);
	return rc == INSPECT_BAD ? JOURNAL_BAD : rc;
}

void scan_finish(struct scan *sc)
{
	buf_finish(&sc->found);
	memset(sc, 0, sizeof(*sc));
}
