/* SPDX-License-Identifier: Apache-2.0
 * Loaded before a worker (LD_PRELOAD): its n-th allocation, or its n-th system call, fails, once or
 * from then on. Keeper and commands are left alone. FAILING=alloc:N:once   FAILING=alloc:N:ever
 * FAILING=call:N:once:VARIANT   FAILING=none FAILING_TOTALS=FILE    how many of each there were is
 * written there when the worker ends Each call fails as its manual page says that it may; the
 * variant chooses among those ways. Built with -DWRAP it is linked into a sanitized program instead
 * (-Wl,--wrap=malloc and so on) and fails allocations of our own objects only, for the leak
 * checker's sake. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef WRAP
#define ALLOC(name)        __wrap_##name
#define REAL_MALLOC(n)     __real_malloc(n)
#define REAL_CALLOC(n, m)  __real_calloc(n, m)
#define REAL_REALLOC(p, n) __real_realloc(p, n)
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
#else
#define ALLOC(name)        name
#define REAL_MALLOC(n)     __libc_malloc(n)
#define REAL_CALLOC(n, m)  __libc_calloc(n, m)
#define REAL_REALLOC(p, n) __libc_realloc(p, n)
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t m);
void *__libc_realloc(void *p, size_t n);
#endif
void *ALLOC(malloc)(size_t n);
void *ALLOC(calloc)(size_t n, size_t m);
void *ALLOC(realloc)(void *p, size_t n);

enum { NONE, ALLOCATIONS, CALLS };

static struct {
	bool on;
	int what; /* NONE, ALLOCATIONS or CALLS */
	uint64_t at;
	bool ever;
	unsigned variant;
	char totals[512];
	_Atomic uint64_t n[3];
} failing;

static void write_totals(void)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%llu %llu\n", (unsigned long long)failing.n[1],
			   (unsigned long long)failing.n[2]);
	failing.on = false;
	int fd = open(failing.totals, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		_exit(99);
	close(fd);
}

__attribute__((constructor)) static void begin(void)
{
	const char *order = getenv("FAILING"), *totals = getenv("FAILING_TOTALS");
	char what[16] = "", how[16] = "";
	unsigned long long n = 0;
	if (getenv("SPANRELAY_WORKER") == NULL || order == NULL)
		return;
	sscanf(order, "%15[^:]:%llu:%15[^:]:%u", what, &n, how, &failing.variant);
	failing.what = strcmp(what, "alloc") == 0  ? ALLOCATIONS
		       : strcmp(what, "call") == 0 ? CALLS
						   : NONE;
	failing.at = n;
	failing.ever = strcmp(how, "ever") == 0;
	if (totals != NULL) {
		snprintf(failing.totals, sizeof(failing.totals), "%s", totals);
		atexit(write_totals);
	}
	failing.on = true;
}

static bool fails(int what)
{
	if (!failing.on)
		return false;
	uint64_t n = atomic_fetch_add(&failing.n[what], 1) + 1;
	return failing.what == what && (failing.ever ? n >= failing.at : n == failing.at);
}

/* ---- allocations ---- */

void *ALLOC(malloc)(size_t n)
{
	if (!fails(ALLOCATIONS))
		return REAL_MALLOC(n);
	errno = ENOMEM;
	return NULL;
}

void *ALLOC(calloc)(size_t n, size_t m)
{
	if (!fails(ALLOCATIONS))
		return REAL_CALLOC(n, m);
	errno = ENOMEM;
	return NULL;
}

void *ALLOC(realloc)(void *p, size_t n)
{
	if (!fails(ALLOCATIONS))
		return REAL_REALLOC(p, n);
	errno = ENOMEM;
	return NULL;
}

/* ---- system calls ---- */

#ifndef WRAP
static void *next(const char *name)
{
	bool on = failing.on;
	failing.on = false; /* dlsym() allocates */
	void *p = dlsym(RTLD_NEXT, name);
	failing.on = on;
	return p;
}

/* Whether this call fails; errno is then one that it may give. */
static bool call_fails(const int *errors, unsigned n)
{
	if (!fails(CALLS))
		return false;
	int error = errors[failing.variant % n];
	if (error == EINTR)
		usleep(500); /* more signals than that do not come in a second */
	errno = error;
	return true;
}

#define ERRORS(...) (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int)
#define REAL(type, name, ...)                                                                      \
	static type (*real)(__VA_ARGS__);                                                          \
	if (real == NULL)                                                                          \
		*(void **)&real = next(#name);

#define DISK_ERRORS ERRORS(EIO, ENOSPC, EDQUOT)

#define OPEN(name)                                                                                 \
	int name(const char *path, int flags, ...);                                                \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		REAL(int, name, const char *, int, mode_t)                                         \
		va_list ap;                                                                        \
		va_start(ap, flags);                                                               \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;              \
		va_end(ap);                                                                        \
		if (call_fails(ERRORS(EMFILE, EIO, ENOSPC, ENOMEM, EACCES)))                       \
			return -1;                                                                 \
		return real(path, flags, mode);                                                    \
	}
OPEN(open)
OPEN(open64)

/* A short write is what a full disk looks like first. */
#define PWRITE(name, offset)                                                                       \
	ssize_t name(int fd, const void *p, size_t n, offset at);                                  \
	ssize_t name(int fd, const void *p, size_t n, offset at)                                   \
	{                                                                                          \
		REAL(ssize_t, name, int, const void *, size_t, offset)                             \
		if (call_fails(ERRORS(EIO, ENOSPC, EINTR, 0)))                                     \
			return errno != 0 ? -1 : real(fd, p, n / 2, at);                           \
		return real(fd, p, n, at);                                                         \
	}
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define WRITEV(name)                                                                               \
	ssize_t name(int fd, const struct iovec *v, int n);                                        \
	ssize_t name(int fd, const struct iovec *v, int n)                                         \
	{                                                                                          \
		REAL(ssize_t, name, int, const struct iovec *, int)                                \
		if (call_fails(ERRORS(EIO, ENOSPC, EINTR, 0)))                                     \
			return errno != 0 ? -1 : real(fd, v, 1);                                   \
		return real(fd, v, n);                                                             \
	}
WRITEV(writev)

#define PWRITEV(name, offset)                                                                      \
	ssize_t name(int fd, const struct iovec *v, int n, offset at);                             \
	ssize_t name(int fd, const struct iovec *v, int n, offset at)                              \
	{                                                                                          \
		REAL(ssize_t, name, int, const struct iovec *, int, offset)                        \
		if (call_fails(DISK_ERRORS))                                                       \
			return -1;                                                                 \
		return real(fd, v, n, at);                                                         \
	}
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define PREAD(name, offset)                                                                        \
	ssize_t name(int fd, void *p, size_t n, offset at);                                        \
	ssize_t name(int fd, void *p, size_t n, offset at)                                         \
	{                                                                                          \
		REAL(ssize_t, name, int, void *, size_t, offset)                                   \
		if (call_fails(ERRORS(EIO, EINTR)))                                                \
			return -1;                                                                 \
		return real(fd, p, n, at);                                                         \
	}
PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define SIMPLE(type, name, params, args, bad, errors)                                              \
	type name params;                                                                          \
	type name params                                                                           \
	{                                                                                          \
		static type(*real) params;                                                         \
		if (real == NULL)                                                                  \
			*(void **)&real = next(#name);                                             \
		if (call_fails(errors))                                                            \
			return bad;                                                                \
		return real args;                                                                  \
	}
SIMPLE(int, fdatasync, (int fd), (fd), -1, DISK_ERRORS)
SIMPLE(int, fsync, (int fd), (fd), -1, DISK_ERRORS)
SIMPLE(int, ftruncate, (int fd, off_t n), (fd, n), -1, ERRORS(EIO, EINTR))
SIMPLE(int, ftruncate64, (int fd, off64_t n), (fd, n), -1, ERRORS(EIO, EINTR))
SIMPLE(int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n), -1,
       ERRORS(ENOSPC, EIO, EOPNOTSUPP, EINTR))
SIMPLE(int, fallocate64, (int fd, int mode, off64_t at, off64_t n), (fd, mode, at, n), -1,
       ERRORS(ENOSPC, EIO, EOPNOTSUPP, EINTR))
SIMPLE(int, rename, (const char *a, const char *b), (a, b), -1, ERRORS(EIO, ENOSPC, EACCES))
SIMPLE(int, unlink, (const char *p), (p), -1, ERRORS(EIO, EACCES))
SIMPLE(int, mkdir, (const char *p, mode_t m), (p, m), -1, ERRORS(ENOSPC, EACCES, EIO))
SIMPLE(void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t at),
       (p, n, prot, flags, fd, at), MAP_FAILED, ERRORS(ENOMEM))
SIMPLE(void *, mmap64, (void *p, size_t n, int prot, int flags, int fd, off64_t at),
       (p, n, prot, flags, fd, at), MAP_FAILED, ERRORS(ENOMEM))
SIMPLE(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), -1,
       ERRORS(EMFILE, ECONNABORTED, EINTR, ENOMEM, EAGAIN))
SIMPLE(int, socket, (int family, int type, int protocol), (family, type, protocol), -1,
       ERRORS(EMFILE, ENOMEM))
SIMPLE(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1,
       ERRORS(ECONNREFUSED, ENETUNREACH, EINTR))
SIMPLE(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), -1,
       ERRORS(ECONNRESET, EINTR, EAGAIN, ENOMEM))
SIMPLE(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), -1,
       ERRORS(EPIPE, EINTR, EAGAIN, ENOMEM))
SIMPLE(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), -1,
       ERRORS(EPIPE, EINTR, EAGAIN, ENOMEM))
SIMPLE(int, epoll_create1, (int flags), (flags), -1, ERRORS(EMFILE, ENOMEM))
SIMPLE(int, epoll_ctl, (int e, int op, int fd, struct epoll_event *ev), (e, op, fd, ev), -1,
       ERRORS(ENOMEM, ENOSPC))
SIMPLE(int, epoll_wait, (int e, struct epoll_event *ev, int n, int ms), (e, ev, n, ms), -1,
       ERRORS(EINTR))
SIMPLE(int, pipe2, (int *fds, int flags), (fds, flags), -1, ERRORS(EMFILE, ENFILE))
SIMPLE(int, eventfd, (unsigned n, int flags), (n, flags), -1, ERRORS(EMFILE, ENOMEM))
SIMPLE(pid_t, fork, (void), (), -1, ERRORS(EAGAIN, ENOMEM))
SIMPLE(int, fstat, (int fd, struct stat *st), (fd, st), -1, ERRORS(EIO, ENOMEM))
#endif
