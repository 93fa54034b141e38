/* SPDX-License-Identifier: Apache-2.0
 * What the disk can do and what the journal makes of it: the same bytes in groups of 1 MiB, by
 * write and fdatasync into a file, and by the store. By turns, so that both meet the same disk.
 * Usage: disk DIR [MIB a turn] [TURNS]. Prints one line of JSON. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/store.h"
#include "tests/bench/corpus.h"

enum {
	GROUP = 1 << 20,
	SPANS = 92, /* a request of about 64 KiB */
	SAMPLES = 64,
	LIMIT_MIB = 1024,
	HELD_BLOCKS = 128 /* an exporter that is so far behind */
};

static const char *const EXPORTERS[] = {"bench"};

struct disk {
	struct sample *samples;
	size_t next;
	int fd;
	struct store *store;
	struct metrics metrics;
	uint64_t last_block;
	double cpu_s; /* of the journal's turns */
	double journal_bytes;
};

static double seconds_since(uint64_t start_ns)
{
	return (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
}

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static struct slice next_request(struct disk *d)
{
	return buf_slice(&d->samples[d->next++ % SAMPLES].message);
}

/* Both give bytes a second, or negative. */
static double raw_turn(struct disk *d, uint64_t bytes)
{
	struct buf group = {0};
	uint64_t done = 0;
	d->next = 0;
	if (ftruncate(d->fd, 0) != 0 || lseek(d->fd, 0, SEEK_SET) != 0)
		return -1;
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	while (done < bytes) {
		group.len = 0;
		while (group.len < GROUP) {
			struct slice r = next_request(d);
			buf_append(&group, r.data, r.len);
		}
		if (write(d->fd, group.data, group.len) != (ssize_t)group.len ||
		    fdatasync(d->fd) != 0)
			return -1;
		done += group.len;
	}
	buf_finish(&group);
	return (double)done / seconds_since(start_ns);
}

static void on_block(void *ctx, struct store_block b)
{
	struct disk *d = ctx;
	d->last_block = b.id;
}

static double journal_turn(struct disk *d, uint64_t bytes)
{
	uint64_t done = 0;
	double cpu_s = cpu_seconds();
	d->next = 0;
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	while (done < bytes) {
		struct store_txn t;
		store_begin(&t, d->store, clock_wall_ms());
		for (size_t group = 0; group < GROUP;) {
			struct slice r = next_request(d);
			store_append(&t, r, SPANS, 0);
			group += r.len;
			done += r.len;
		}
		if (d->last_block > HELD_BLOCKS) {
			struct progress p = {.done = {.block_id = d->last_block - HELD_BLOCKS}};
			store_progress(d->store, 0, &p);
		}
		if (store_commit(&t, &(struct store_told){.on_block = on_block, .ctx = d}) != 0)
			return -1;
	}
	d->cpu_s += cpu_seconds() - cpu_s;
	d->journal_bytes += (double)done;
	return (double)done / seconds_since(start_ns);
}

static int open_disk(struct disk *d, const char *dir)
{
	char path[4096];
	struct store_options o = {.dir = dir,
				  .limit_bytes = (uint64_t)LIMIT_MIB << 20,
				  .exporters = EXPORTERS,
				  .n_exporters = 1,
				  .metrics = &d->metrics};
	snprintf(path, sizeof(path), "%s/raw", dir);
	if (store_open(&d->store, &o) != 0)
		return -1;
	d->fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	d->samples = corpus_create(SAMPLES, SPANS, 1, false, false);
	return d->fd >= 0 && d->samples != NULL ? 0 : -1;
}

int main(int argc, char **argv)
{
	static struct disk d;
	uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 64) << 20;
	uint64_t turns = argc > 3 ? strtoull(argv[3], NULL, 10) : 5;
	log_setup(LOG_WARN, false);
	if (argc < 2 || open_disk(&d, argv[1]) != 0 || raw_turn(&d, bytes) < 0 ||
	    journal_turn(&d, bytes) < 0) /* the first of each is for the file to be there */
		return 1;
	d.cpu_s = d.journal_bytes = 0;
	printf("{\"turns\": [");
	for (uint64_t i = 0; i < turns; i++) {
		double raw = raw_turn(&d, bytes);
		printf("%s[%.1f, %.1f]", i != 0 ? ", " : "", raw / 1e6,
		       journal_turn(&d, bytes) / 1e6);
	}
	printf("], \"journal_cpu_ns_per_byte\": %.3f}\n", d.cpu_s * 1e9 / d.journal_bytes);
	store_close(d.store);
	close(d.fd);
	corpus_destroy(d.samples, SAMPLES);
	return 0;
}
