/* SPDX-License-Identifier: Apache-2.0
 * How long a start takes and what memory: a journal and an outbox of given sizes are made, then
 * opened by the real code in a process of its own, several times. Memory is anonymous, of that
 * process and of those it starts to look through files, sampled every millisecond. Files are as
 * warm as they are: COLD=1 asks the kernel to drop them first.
 *   start [journal MiB [outbox MiB [bytes of a parcel [folder]]]] */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/outbox.h"
#include "unit/otlp_sample.h"
#include "world.h"

enum { TIMES = 3, GROUP = 16 << 20, BODY_MAX = 8 << 20 };
static struct metrics metrics;
static const uint64_t MIB = 1 << 20;
static char dir[256] = "/tmp/spanrelay-start-XXXXXX";

static _Noreturn void give_up(const char *what, int rc)
{
	printf("%s: %d\n", what, rc);
	scratch_empty(dir); /* it may be large */
	rmdir(dir);
	exit(1);
}

static struct store *open_journal(uint64_t bytes)
{
	static const char *const NAME[] = {"a"};
	struct store *s;
	struct store_options o = {.dir = dir,
				  .limit_bytes = bytes + bytes / 4 + 32 * MIB,
				  .exporters = NAME,
				  .n_exporters = 1,
				  .metrics = &metrics};
	int rc = store_open(&s, &o);
	if (rc != 0)
		give_up("no journal", rc);
	return s;
}

static struct box *open_box(uint64_t bytes)
{
	char path[512];
	struct box *b;
	snprintf(path, sizeof(path), "%s/outbox", dir);
	struct box_options o = {.dir = path,
				.limit_bytes = bytes * 2 + 128 * MIB,
				.done = {1, 0, 0},
				.metrics = &metrics};
	o.segment_bytes = box_segment_bytes(o.limit_bytes);
	int rc = box_open(&b, &o);
	if (rc != 0)
		give_up("no outbox", rc);
	return b;
}

/* ---- making them ---- */

static void fill_journal(uint64_t bytes)
{
	struct store *s = open_journal(bytes);
	struct buf request = {0};
	pb_numbered_request(&request, 1, 100, 200);
	for (uint64_t sum = 0; sum < bytes;) {
		struct store_txn t;
		store_begin(&t, s, 1);
		for (uint64_t end = sum + GROUP; sum < end; sum += request.len)
			store_append(&t, buf_slice(&request), 100, 0);
		int rc = store_commit(&t, NULL);
		if (rc != 0)
			give_up("journal cannot be filled", rc);
	}
	buf_finish(&request);
	store_close(s);
}

static void fill_box(uint64_t bytes, size_t body_bytes)
{
	struct box *b = open_box(bytes);
	uint8_t *body = calloc(1, body_bytes);
	uint64_t pending = 0;
	int rc = 0;
	for (uint64_t sum = 0; sum < bytes && rc == 0; sum += body_bytes) {
		struct parcel p = {.n_spans = 10, .body = slice_of(body, body_bytes)};
		rc = pending < GROUP ? box_append(b, &p) : BOX_AGAIN;
		pending += body_bytes;
		if (rc != BOX_AGAIN)
			continue;
		pending = 0;
		rc = box_commit(b);
		rc = rc == 0 ? box_append(b, &p) : rc;
	}
	if (rc == 0)
		rc = box_commit(b);
	if (rc != 0)
		give_up("outbox cannot be filled", rc);
	free(body);
	box_close(b);
}

/* ---- measuring ---- */

/* The value of a line of /proc/<pid>/status, in kB; 0: no such process. */
static uint64_t status_of(const char *pid, const char *what)
{
	char path[64], line[128];
	uint64_t value = 0;
	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	FILE *f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, what, strlen(what)) == 0)
			value = strtoull(line + strlen(what), NULL, 10);
	if (f != NULL)
		fclose(f);
	return value;
}

/* Of the process and its children, the most of one, in kB. */
static uint64_t anonymous(pid_t parent)
{
	uint64_t most = 0;
	DIR *d = opendir("/proc");
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		uint64_t pid = strtoull(e->d_name, NULL, 10);
		if (pid < (uint64_t)parent ||
		    (pid != (uint64_t)parent && status_of(e->d_name, "PPid:") != (uint64_t)parent))
			continue;
		uint64_t kb = status_of(e->d_name, "RssAnon:");
		most = kb > most ? kb : most;
	}
	if (d != NULL)
		closedir(d);
	return most;
}

static void drop_pages(const char *folder)
{
	DIR *d = opendir(folder);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		char path[800];
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		int fd = e->d_name[0] != '.' ? open(path, O_RDONLY) : -1;
		if (fd < 0)
			continue;
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	if (d != NULL)
		closedir(d);
}

static void open_as_a_relay(uint64_t journal, uint64_t outbox)
{
	uint64_t start = clock_mono_ms();
	struct store *s = open_journal(journal);
	uint64_t between = clock_mono_ms();
	struct box *b = open_box(outbox);
	printf("journal %" PRIu64 " ms, outbox %" PRIu64 " ms (%" PRIu64 " spans)", between - start,
	       clock_mono_ms() - between, box_spans(b));
	fflush(stdout);
	_exit(s != NULL ? 0 : 1);
}

static void measure(uint64_t journal, uint64_t outbox)
{
	char box_dir[512];
	uint64_t most = 0;
	int status;
	snprintf(box_dir, sizeof(box_dir), "%s/outbox", dir);
	if (getenv("COLD") != NULL) {
		drop_pages(dir);
		drop_pages(box_dir);
	}
	pid_t child = fork();
	if (child == 0)
		open_as_a_relay(journal, outbox);
	while (waitpid(child, &status, WNOHANG) == 0) {
		uint64_t kb = anonymous(child);
		most = kb > most ? kb : most;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	printf(", anonymous memory %" PRIu64 " KiB at most%s\n", most,
	       status == 0 ? "" : ", and it failed");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t journal = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1024) * MIB;
	uint64_t outbox = (argc > 2 ? strtoull(argv[2], NULL, 10) : 10240) * MIB;
	uint64_t body = argc > 3 ? strtoull(argv[3], NULL, 10) : 100000;
	if (argc > 4)
		snprintf(dir, sizeof(dir), "%s/spanrelay-start-XXXXXX", argv[4]);
	if (body > BODY_MAX || mkdtemp(dir) == NULL)
		give_up(dir, errno);
	quiet();
	fill_journal(journal);
	fill_box(outbox, body);
	for (int i = 0; i < TIMES; i++)
		measure(journal, outbox);
	scratch_empty(dir);
	rmdir(dir);
	return 0;
}
