/* SPDX-License-Identifier: Apache-2.0
 * LMDB puts a large value onto pages of its own, behind a header of 16 bytes, and small ones into
 * the pages of its tree. So a block begins 16 bytes into a page, or somewhere within one. */
#include "storage/rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "storage/audit.h"
#include "wire/parcel.h"

enum {
	CHUNK = 1 << 20,
	PAGE_HEADER = 16,
	PAGE_MIN = 4096,
	P_LEAF = 2,
	P_OVERFLOW = 4,
	HEAD_MAX = PARCEL_HEADER
};
_Static_assert(HEAD_MAX >= (int)BLOCK_HEADER, "the larger of the two");

struct rescue {
	const char *path;
	enum rescue_kind kind;
	int (*on_found)(void *ctx, const struct rescued *r);
	void *ctx;
	int fd;
	uint64_t file_bytes, chunk_at, chunk_len;
	uint64_t in_vain; /* bytes read behind what only looked like a beginning */
	uint32_t page_bytes, errors;
	struct buf chunk, value;
};

static uint64_t number(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;
	memcpy(&v, p, bytes); /* little endian: storage/audit.c is not built elsewhere */
	return v;
}

static size_t claims(const struct rescue *s, const uint8_t *head, uint64_t *id)
{
	return s->kind == RESCUE_PARCELS ? parcel_claims(head, id) : block_claims(head, id);
}

static bool is_whole(const struct rescue *s, struct slice bytes, uint64_t id)
{
	struct block b;
	struct parcel p;
	return s->kind == RESCUE_PARCELS ? parcel_open(&p, bytes, id) == 0
					 : block_open(&b, bytes, id) == 0;
}

/* What the disk does not give reads as zeros, a page at a time. */
static void fill(struct rescue *s, uint64_t at)
{
	uint64_t len = s->file_bytes - at < CHUNK ? s->file_bytes - at : CHUNK;
	s->chunk_at = at;
	s->chunk_len = len;
	memset(s->chunk.data, 0, CHUNK);
	ssize_t n = pread(s->fd, s->chunk.data, len, (off_t)at);
	for (uint64_t k = n > 0 ? (uint64_t)n / PAGE_MIN * PAGE_MIN : 0; k < len; k += PAGE_MIN) {
		uint64_t part = len - k < PAGE_MIN ? len - k : PAGE_MIN;
		s->errors +=
		    pread(s->fd, s->chunk.data + k, part, (off_t)(at + k)) != (ssize_t)part;
	}
}

/* The page at `at`, of which the end may be missing in the file. */
static const uint8_t *page_at(struct rescue *s, uint64_t at)
{
	bool there = at >= s->chunk_at && at + s->page_bytes <= s->chunk_at + CHUNK;
	if (!there || s->chunk_len == 0)
		fill(s, at);
	return s->chunk.data + (at - s->chunk_at);
}

/* Of `len` bytes at `at`, if the file has them. */
static const uint8_t *value_at(struct rescue *s, uint64_t at, size_t len)
{
	if (at > s->file_bytes || len > s->file_bytes - at)
		return NULL;
	if (at >= s->chunk_at && at + len <= s->chunk_at + s->chunk_len)
		return s->chunk.data + (at - s->chunk_at);
	s->value.len = 0;
	if (buf_reserve(&s->value, len) != 0)
		return NULL;
	ssize_t n = pread(s->fd, s->value.data, len, (off_t)at);
	return n == (ssize_t)len ? s->value.data : NULL;
}

/* Large values: two of the three things that the page's header says must be right, for one may be
 * what is damaged; and what a client made up has no chance to have much read in vain. */
static bool looks_large(const struct rescue *s, const uint8_t *page, uint64_t at, size_t len,
			bool *placed)
{
	bool here = number(page, 8) == at / s->page_bytes;
	bool flags = number(page + 10, 2) == P_OVERFLOW;
	bool pages = number(page + 12, 4) == (PAGE_HEADER + len - 1) / s->page_bytes + 1;
	*placed = here && flags && pages;
	return here + flags + pages >= 2 && s->in_vain / 4 <= s->file_bytes;
}

/* 0: nothing; else the length of what was found. */
static size_t try_value(struct rescue *s, uint64_t at, size_t len, uint64_t id, bool placed,
			int *rc)
{
	const uint8_t *bytes = value_at(s, at, len);
	if (bytes == NULL || !is_whole(s, slice_of(bytes, len), id)) {
		s->in_vain += bytes != NULL ? len : 0;
		return 0;
	}
	struct rescued r = {.kind = s->kind == RESCUE_LEAVES ? RESCUE_BLOCKS : s->kind,
			    .id = id,
			    .at = at,
			    .placed = placed,
			    .bytes = slice_of(bytes, len)};
	*rc = s->on_found(s->ctx, &r);
	return len;
}

/* The large value that begins with this page; gives how many bytes of file it takes. */
static uint64_t take_large(struct rescue *s, const uint8_t *page, uint64_t at, int *rc)
{
	uint64_t id;
	bool placed;
	size_t len = claims(s, page + PAGE_HEADER, &id);
	if (len == 0 || !looks_large(s, page, at, len, &placed) ||
	    try_value(s, at + PAGE_HEADER, len, id, placed, rc) == 0)
		return 0;
	return (PAGE_HEADER + len + s->page_bytes - 1) / s->page_bytes * s->page_bytes;
}

/* Small values may be anywhere within the page, at even offsets. */
static void take_small(struct rescue *s, const uint8_t *page, uint64_t at, int *rc)
{
	size_t head = s->kind == RESCUE_PARCELS ? PARCEL_HEADER : BLOCK_HEADER, next;
	bool placed = number(page, 8) == at / s->page_bytes && number(page + 10, 2) == P_LEAF;
	for (size_t k = PAGE_HEADER; k + head <= s->page_bytes && *rc == 0; k += next) {
		uint64_t id;
		size_t len = page[k] == 'R' ? claims(s, page + k, &id) : 0;
		next = 2;
		if (len == 0 || len > s->page_bytes - k)
			continue;
		len = try_value(s, at + k, len, id, placed, rc);
		if (len != 0)
			next = (len + 1) & ~(size_t)1;
	}
	if (*rc == 0 && placed && s->kind == RESCUE_LEAVES) {
		struct rescued r = {.kind = RESCUE_LEAVES,
				    .at = at,
				    .placed = true,
				    .bytes = slice_of(page, s->page_bytes)};
		*rc = s->on_found(s->ctx, &r);
	}
}

static int scan_pages(struct rescue *s)
{
	int rc = 0;
	for (uint64_t at = 0, next; at < s->file_bytes && rc == 0; at += next) {
		const uint8_t *page = page_at(s, at);
		next = take_large(s, page, at, &rc);
		if (next == 0) {
			take_small(s, page, at, &rc);
			next = s->page_bytes;
		}
	}
	if (s->errors != 0)
		log_error("part of a bad file cannot be read", "path=%s pages=%u", s->path,
			  s->errors);
	return rc;
}

int rescue_scan(const char *path, enum rescue_kind kind,
		int (*on_found)(void *ctx, const struct rescued *r), void *ctx)
{
	struct rescue s = {.path = path, .kind = kind, .on_found = on_found, .ctx = ctx};
	struct stat st;
	uint8_t meta[AUDIT_META_BYTES];
	s.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s.fd < 0)
		return fail(-errno, "rescue: cannot open %s", path);
	int rc = 0;
	if (fstat(s.fd, &st) != 0)
		rc = fail(-errno, "rescue: cannot look at %s", path);
	else if (buf_reserve(&s.chunk, CHUNK) != 0)
		rc = fail(-ENOMEM, "rescue: no memory");
	else {
		s.file_bytes = (uint64_t)st.st_size;
		if (pread(s.fd, meta, sizeof(meta), 0) == (ssize_t)sizeof(meta))
			s.page_bytes = audit_meta(meta);
		if (s.page_bytes == 0)
			s.page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
		rc = scan_pages(&s);
	}
	buf_finish(&s.chunk);
	buf_finish(&s.value);
	close(s.fd);
	return rc;
}
