/* SPDX-License-Identifier: Apache-2.0
 * A mount that hangs, for tests: LD_PRELOAD this, and whoever opens a path with "/hung/" in it
 * waits until the file named by HANGING_UNTIL is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void wait_for_mount(const char *path)
{
	const char *until = getenv("HANGING_UNTIL");
	while (strstr(path, "/hung/") != NULL && until != NULL && access(until, F_OK) != 0)
		usleep(10000);
}

static int open_as(const char *name, const char *path, int flags, mode_t mode)
{
	int (*real)(const char *, int, ...) =
	    (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
	wait_for_mount(path);
	return real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return open_as("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return open_as("open64", path, flags, mode);
}
