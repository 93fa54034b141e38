/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/recent.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"

int recent_folder(char *out, size_t cap, const char *data_dir)
{
	int len = snprintf(out, cap, "%s/recent", data_dir);
	return len > 0 && (size_t)len < cap ? 0 : fail(-ENAMETOOLONG, "data_dir: name too long");
}

static void find_first(void *ctx, struct box_segment g)
{
	struct box_segment *oldest = ctx;
	if (oldest->end == 0)
		*oldest = g;
}

/* When the oldest part came: the file in the making cannot be read, and does not count until it is
 * sealed. */
static void find_age(struct recent *r)
{
	struct box_segment oldest = {.end = 0};
	struct box_reader *reader = NULL;
	struct parcel p;
	r->oldest_ms = 0;
	box_each_sealed(r->box, find_first, &oldest);
	if (oldest.end == 0 || box_reader_open(&reader, r->dir) != 0)
		return;
	if (box_reader_add(reader, oldest) == 0 && box_reader_next(reader, oldest.first, &p) == 0)
		r->oldest_ms = p.oldest_ms;
	box_reader_close(reader);
}

void recent_open(struct recent *r, const char *data_dir, uint64_t limit_bytes,
		 struct metrics *metrics)
{
	struct box_options o = {.dir = r->dir,
				.limit_bytes = limit_bytes,
				.segment_bytes = box_segment_bytes(limit_bytes),
				.kept = UINT64_MAX, /* nothing came out of the journal */
				.metrics = metrics};
	*r = (struct recent){.limit_bytes = limit_bytes, .metrics = metrics};
	int rc = recent_folder(r->dir, sizeof(r->dir), data_dir);
	if (rc == 0)
		rc = box_open(&r->box, &o);
	r->codec = rc == 0 ? codec_create() : NULL;
	if (r->codec == NULL) {
		log_warn("recent traffic is not recorded", "data_dir=\"%s\" code=%d", data_dir, rc);
		recent_close(r);
		return;
	}
	find_age(r);
	metric_set(metrics, METRIC_RECENT_BYTES, box_bytes(r->box));
}

void recent_close(struct recent *r)
{
	box_close(r->box);
	codec_destroy(r->codec);
	buf_finish(&r->body);
	r->box = NULL;
	r->codec = NULL;
}

/* The oldest file goes if it is the limit that is in the way and not the disk. */
static bool make_room(struct recent *r, uint64_t bytes)
{
	struct box_segment oldest = {.end = 0};
	uint64_t segment = box_segment_bytes(r->limit_bytes);
	box_each_sealed(r->box, find_first, &oldest);
	if (oldest.end == 0 ||
	    box_bytes(r->box) + (bytes > segment ? bytes : segment) <= r->limit_bytes)
		return false;
	box_trim(r->box, (struct cursor){.block_id = oldest.end});
	return true;
}

static int put(struct recent *r, struct parcel *p)
{
	uint64_t bytes = PARCEL_HEADER + p->body.len + (uint64_t)16 * 4096;
	int rc = box_append(r->box, p);
	bool trimmed = false;
	while (rc == BOX_FULL && make_room(r, bytes)) {
		box_commit(r->box); /* the append that failed may have begun one */
		rc = box_append(r->box, p);
		trimmed = true;
	}
	int done = box_commit(r->box);
	if (trimmed)
		find_age(r);
	else if (r->oldest_ms == 0)
		r->oldest_ms = p->oldest_ms;
	return rc != 0 ? rc : done;
}

void recent_put(struct recent *r, struct record_note *n)
{
	struct parcel p = {.oldest_ms = n->begin_ms,
			   .newest_ms = n->end_ms,
			   .n_spans = n->spans,
			   .plain_len = (uint32_t)n->bytes.len,
			   .coding = CODING_ZSTD,
			   .status = -1};
	n->rc = r->box == NULL ? -EIO : 0;
	r->body.len = 0;
	if (n->rc == 0 &&
	    codec_compress(r->codec, CODING_ZSTD, buf_slice(&n->bytes), &r->body) != 0)
		n->rc = fail(-ENOMEM, "recent: a part cannot be compressed");
	p.body = buf_slice(&r->body);
	if (n->rc == 0)
		n->rc = put(r, &p);
	n->stored = p.body.len;
	n->oldest_ms = r->oldest_ms;
	if (r->box != NULL)
		metric_set(r->metrics, METRIC_RECENT_BYTES, box_bytes(r->box));
}
