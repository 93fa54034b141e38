/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *head, *tail;
} NAMES[AUDIT_FILE_KINDS] = {{"chain-", ".jsonl"}, {"decisions-", ".bin"}};

enum { DIGITS = 20, MOST_BYTES = 1 << 30 };

int audit_folder(char out[AUDIT_PATH], const char *data_dir)
{
	int len = snprintf(out, AUDIT_PATH, "%s/audit", data_dir);
	return len > 0 && len < AUDIT_PATH ? 0 : -ENAMETOOLONG;
}

int audit_path(char out[AUDIT_PATH], const char *folder, enum audit_file_kind kind, uint64_t first)
{
	int len = snprintf(out, AUDIT_PATH, "%s/%s%020" PRIu64 "%s", folder, NAMES[kind].head,
			   first, NAMES[kind].tail);
	return len > 0 && len < AUDIT_PATH ? 0 : -ENAMETOOLONG;
}

static bool read_name(const char *name, enum audit_file_kind kind, uint64_t *first)
{
	size_t head = strlen(NAMES[kind].head);
	char *end;
	if (strncmp(name, NAMES[kind].head, head) != 0 ||
	    strspn(name + head, "0123456789") != DIGITS)
		return false;
	errno = 0;
	*first = strtoull(name + head, &end, 10);
	return errno == 0 && strcmp(end, NAMES[kind].tail) == 0;
}

static int add(struct audit_files *l, struct audit_file f)
{
	if (l->n == l->cap) {
		size_t cap = l->cap != 0 ? 2 * l->cap : 16;
		struct audit_file *more = realloc(l->files, cap * sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		l->files = more;
		l->cap = cap;
	}
	l->files[l->n++] = f;
	return 0;
}

static int by_first(const void *a, const void *b)
{
	uint64_t x = ((const struct audit_file *)a)->first;
	uint64_t y = ((const struct audit_file *)b)->first;
	return (x > y) - (x < y);
}

int audit_list(struct audit_files *out, const char *folder, enum audit_file_kind kind)
{
	DIR *dir = opendir(folder);
	int rc = 0;
	*out = (struct audit_files){.files = NULL};
	if (dir == NULL)
		return -errno;
	for (struct dirent *e; rc == 0 && (e = readdir(dir)) != NULL;) {
		struct audit_file f;
		struct stat st;
		if (!read_name(e->d_name, kind, &f.first) ||
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		f.bytes = (uint64_t)st.st_size;
		f.changed_ms =
		    (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
		rc = add(out, f);
	}
	closedir(dir);
	if (out->n > 1)
		qsort(out->files, out->n, sizeof(*out->files), by_first);
	return rc;
}

void audit_list_finish(struct audit_files *l)
{
	free(l->files);
	*l = (struct audit_files){.files = NULL};
}

int audit_read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc = 0;
	struct stat st;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (st.st_size > MOST_BYTES)
		rc = -EFBIG;
	else if (buf_reserve(out, (size_t)st.st_size + 1) != 0)
		rc = -ENOMEM;
	while (rc == 0) { /* it may grow, but no further than we asked for */
		ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
		if (n < 0 && errno != EINTR)
			rc = -errno;
		if (n == 0)
			break;
		out->len += n > 0 ? (size_t)n : 0;
		if (out->len == out->cap)
			break;
	}
	close(fd);
	return rc;
}
