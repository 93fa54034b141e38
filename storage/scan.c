/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/scan.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/audit.h"
#include "storage/inspect.h"
#include "wire/otlp_walk.h"

enum { LIMIT_MS = 30000, SLOW_DISK_BYTES_MS = 8 << 10 };

/* What follows the blocks in the pipe. */
struct scan_end {
	uint64_t next_seq;
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

static int tell_block(struct look *l, int out, const struct store_block *b)
{
	if (buf_append(&l->blocks, b, sizeof(*b)) != 0)
		return -ENOMEM;
	if (l->blocks.len < 1 << 15)
		return 0;
	int rc = inspect_tell(out, l->blocks.data, l->blocks.len);
	l->blocks.len = 0;
	return rc;
}

static int look_at_block(struct look *l, int out, uint64_t id, struct slice bytes)
{
	struct block b;
	uint64_t claimed;
	if (block_open(&b, bytes, id) != 0) {
		if (bytes.len >= BLOCK_HEADER && block_claims(bytes.data, &claimed) == bytes.len &&
		    block_open(&b, bytes, claimed) == 0)
			return fail(JOURNAL_BAD, "journal: block %llu stands where %llu should",
				    (unsigned long long)claimed, (unsigned long long)id);
		log_error("block is damaged and skipped", "block=%llu bytes=%zu",
			  (unsigned long long)id, bytes.len);
		return tell_block(l, out, &(struct store_block){.id = id});
	}
	const struct ledger *ledger = &l->st.ledger;
	for (unsigned i = 0; i < ledger->n_exporters + ledger->n_removed; i++) {
		struct cursor c = ledger->exporter[i].cursor[PLACE_JOURNAL];
		if (c.block_id == id)
			l->end.before[i] = spans_before(&b, c);
	}
	if (l->end.next_seq < b.first_seq + b.n_records)
		l->end.next_seq = b.first_seq + b.n_records;
	return tell_block(l, out,
			  &(struct store_block){id, b.unix_ms, b.n_spans, (uint32_t)bytes.len});
}

static int look_at_blocks(struct look *l, struct journal_txn *t, int out)
{
	struct slice bytes;
	uint64_t id = 0;
	int rc;
	for (; (rc = journal_next(t, &id, &bytes)) == 0; id++) {
		rc = look_at_block(l, out, id, bytes);
		if (rc != 0)
			return rc;
	}
	/* The account is written with each block. */
	if (rc == JOURNAL_NONE && l->st.next_block > 1 && id > l->st.next_block)
		return fail(JOURNAL_BAD, "journal: the account is older than block %llu",
			    (unsigned long long)id - 1);
	return rc == JOURNAL_NONE ? 0 : rc;
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
		rc = state_load(&l->st, &t);
		if (rc == 0)
			rc = look_at_blocks(l, &t, out);
		if (rc != 0)
			return rc;
	}
	if (inspect_tell(out, l->blocks.data, l->blocks.len) != 0)
		return 1;
	return inspect_tell(out, &l->end, sizeof(l->end));
}

int scan_journal(struct scan *sc, const char *path)
{
	struct look l = {.path = path};
	struct scan_end end;
	struct stat st;
	memset(sc, 0, sizeof(*sc));
	sc->start_ms = clock_mono_ms();
	if (stat(path, &st) != 0)
		return errno == ENOENT ? JOURNAL_NONE
				       : fail(-errno, "journal: cannot look at %s", path);
	uint64_t limit_ms = LIMIT_MS + (uint64_t)st.st_size / SLOW_DISK_BYTES_MS;
	int rc = inspect_in_child(path, look_at_journal, &l, (unsigned)limit_ms, &sc->found);
	size_t len = sc->found.len - sizeof(end);
	if (rc == 0 && (sc->found.len < sizeof(end) || len % sizeof(*sc->blocks) != 0))
		rc = fail(-EPROTO, "journal: the list of blocks is not whole");
	if (rc != 0) {
		scan_finish(sc);
		return rc == INSPECT_BAD ? JOURNAL_BAD : rc;
	}
	union {
		const uint8_t *bytes;
		const struct store_block *blocks;
	} aligned = {sc->found.data}; /* as malloc() gave it */
	sc->blocks = aligned.blocks;
	sc->n_blocks = len / sizeof(*sc->blocks);
	memcpy(&end, sc->found.data + len, sizeof(end));
	sc->next_seq = end.next_seq;
	memcpy(sc->before, end.before, sizeof(sc->before));
	return 0;
}

void scan_finish(struct scan *sc)
{
	buf_finish(&sc->found);
	memset(sc, 0, sizeof(*sc));
}
