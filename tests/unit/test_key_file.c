/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/key_file.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

static char path[] = "/tmp/spanrelay-key-XXXXXX";
static uint8_t bytes[KEY_FILE_MAX + 1];
static size_t len;

/* Between fstat() and read(), as somebody else may. */
static void (*meanwhile)(void);

ssize_t read(int fd, void *out, size_t room)
{
	if (meanwhile != NULL)
		meanwhile();
	return syscall(SYS_read, fd, out, room);
}

static void write_file(const char *text, size_t n, mode_t mode)
{
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n && fchmod(fd, mode) == 0);
	close(fd);
}

static enum key_result try(bool world_readable_is_fine)
{
	len = 0;
	return key_file_read(path, world_readable_is_fine, bytes, &len);
}

static void test_small_private_file_is_read(void)
{
	write_file("token\n", 6, 0400);
	CHECK_EQ(try(false), KEY_CHANGED);
	CHECK(len == 6 && memcmp(bytes, "token\n", 6) == 0);
	write_file("token", 5, 0640);
	CHECK_EQ(try(false), KEY_CHANGED);
}

static void test_file_that_everybody_may_read_is_refused(void)
{
	write_file("token", 5, 0644);
	CHECK_EQ(try(false), KEY_WORLD_READABLE);
	CHECK_EQ(try(true), KEY_CHANGED);
}

static void test_size_has_limits(void)
{
	char *big = calloc(1, KEY_FILE_MAX + 1);
	write_file("", 0, 0600);
	CHECK_EQ(try(false), KEY_EMPTY);
	write_file(big, KEY_FILE_MAX, 0600);
	CHECK_EQ(try(false), KEY_CHANGED);
	CHECK_EQ(len, KEY_FILE_MAX);
	write_file(big, KEY_FILE_MAX + 1, 0600);
	CHECK_EQ(try(false), KEY_TOO_LARGE);
	free(big);
}

static void test_what_is_no_plain_file_is_not_waited_for(void)
{
	unlink(path);
	CHECK_EQ(try(false), KEY_MISSING);
	CHECK(mkfifo(path, 0600) == 0);
	CHECK_EQ(try(false), KEY_NOT_PLAIN);
	unlink(path);
	CHECK(mkdir(path, 0700) == 0);
	CHECK_EQ(try(false), KEY_NOT_PLAIN);
	rmdir(path);
	CHECK(symlink("/dev/zero", path) == 0);
	CHECK_EQ(try(false), KEY_NOT_PLAIN);
	unlink(path);
}

static void append(void)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
}

static void append_once(void)
{
	append();
	meanwhile = NULL;
}

/* The same size, another time. */
static void touch(void)
{
	static time_t s = 1000;
	const struct timespec times[2] = {{.tv_sec = s}, {.tv_sec = s}};
	s++;
	CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static void rename_over_once(void)
{
	meanwhile = NULL;
	write_file("other", 5, 0600);
}

static void test_file_that_changes_meanwhile_is_read_again(void)
{
	write_file("token", 5, 0600);
	meanwhile = append_once;
	CHECK_EQ(try(false), KEY_CHANGED);
	CHECK_EQ(len, 6);
	write_file("token", 5, 0600);
	meanwhile = rename_over_once;
	CHECK_EQ(try(false), KEY_CHANGED);
	CHECK(len == 5 && memcmp(bytes, "other", 5) == 0);
	write_file("token", 5, 0600);
	meanwhile = touch;
	CHECK_EQ(try(false), KEY_UNSTABLE);
	meanwhile = NULL;
}

int main(int argc, char **argv)
{
	CHECK(mkstemp(path) >= 0);
	CHECK_MAIN(TEST(test_small_private_file_is_read),
		   TEST(test_file_that_everybody_may_read_is_refused), TEST(test_size_has_limits),
		   TEST(test_what_is_no_plain_file_is_not_waited_for),
		   TEST(test_file_that_changes_meanwhile_is_read_again));
}
