/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 3 };

const char *const KEY_RESULT_NAMES[] = {
    "changed",   "unchanged", "missing",        "unreadable", "not_a_plain_file",
    "empty",     "too_large", "world_readable", "unstable",   "invalid",
    "no_memory", "fetching",  "not_fetched"};

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum key_result judge(const struct stat *st, bool world_readable_is_fine)
{
	if (!S_ISREG(st->st_mode))
		return KEY_NOT_PLAIN;
	if ((st->st_mode & S_IROTH) != 0 && !world_readable_is_fine)
		return KEY_WORLD_READABLE;
	if (st->st_size == 0)
		return KEY_EMPTY;
	return st->st_size > KEY_FILE_MAX ? KEY_TOO_LARGE : KEY_CHANGED;
}

/* One byte more than allowed tells a file that has grown. */
static ssize_t read_all(int fd, uint8_t bytes[KEY_FILE_MAX + 1])
{
	size_t len = 0;
	while (len <= KEY_FILE_MAX) {
		ssize_t n = read(fd, bytes + len, KEY_FILE_MAX + 1 - len);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* Before and after, in the file that was opened and in the one that has the name now. */
static enum key_result read_open(int fd, const char *path, bool world_readable_is_fine,
				 uint8_t bytes[KEY_FILE_MAX + 1], size_t *len)
{
	struct stat before, after, named;
	if (fstat(fd, &before) != 0)
		return KEY_UNREADABLE;
	enum key_result result = judge(&before, world_readable_is_fine);
	if (result != KEY_CHANGED)
		return result;
	ssize_t n = read_all(fd, bytes);
	if (n < 0 || fstat(fd, &after) != 0)
		return KEY_UNREADABLE;
	if (stat(path, &named) != 0 || !is_same(&before, &after) || !is_same(&before, &named) ||
	    n != before.st_size)
		return KEY_UNSTABLE;
	*len = (size_t)n;
	return KEY_CHANGED;
}

enum key_result key_file_read(const char *path, bool world_readable_is_fine,
			      uint8_t bytes[KEY_FILE_MAX + 1], size_t *len)
{
	enum key_result result = KEY_UNSTABLE;
	for (int i = 0; i < TRIES && result == KEY_UNSTABLE; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			return errno == ENOENT || errno == ENOTDIR ? KEY_MISSING : KEY_UNREADABLE;
		result = read_open(fd, path, world_readable_is_fine, bytes, len);
		close(fd);
	}
	return result;
}
