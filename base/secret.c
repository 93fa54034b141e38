/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

struct secret {
	atomic_uint references;
	uint8_t *pages;
	size_t size, len, tail; /* of the pages; of the bytes; of those behind the head */
	char fingerprint[SECRET_FINGERPRINT];
};

void secret_print_fingerprint(struct slice bytes, char out[SECRET_FINGERPRINT])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(bytes.data, bytes.len, digest);
	for (size_t i = 0; i < (SECRET_FINGERPRINT - 1) / 2; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* Pages that even the kernel does not map; MAP_FAILED where it does not offer them. Touching what
 * it could not give would be a fault, so it is asked to give all of it now. */
static void *map_secret(size_t size)
{
#ifdef SYS_memfd_secret
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	void *p = MAP_FAILED;
	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (fd >= 0)
		close(fd);
	return p;
#else
	(void)size;
	return MAP_FAILED;
#endif
}

static void *map_locked(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static atomic_bool told;
	if (p == MAP_FAILED)
		return p;
	if (mlock(p, size) != 0 && !atomic_exchange(&told, true))
		log_warn("a secret is not locked in memory and may be swapped out",
			 "reason=\"%s\" help=\"raise the limit on locked memory\"",
			 strerrordesc_np(errno));
	madvise(p, size, MADV_DONTDUMP);
	return p;
}

static void *map(size_t size)
{
	void *p = map_secret(size);
	if (p == MAP_FAILED)
		p = map_locked(size);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTFORK);
	return p;
}

struct secret *secret_join(struct slice head, struct slice tail)
{
	if (head.len > SECRET_MAX || tail.len > SECRET_MAX - head.len)
		return NULL;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct secret *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->len = head.len + tail.len;
	s->tail = tail.len;
	s->size = (s->len + 1 + page - 1) / page * page;
	s->pages = map(s->size);
	if (s->pages == NULL) {
		free(s);
		return NULL;
	}
	if (head.len != 0)
		memcpy(s->pages, head.data, head.len);
	if (tail.len != 0)
		memcpy(s->pages + head.len, tail.data, tail.len);
	mprotect(s->pages, s->size, PROT_READ);
	secret_print_fingerprint(tail, s->fingerprint);
	atomic_init(&s->references, 1);
	return s;
}

struct secret *secret_create(struct slice bytes)
{
	return secret_join(slice_of(NULL, 0), bytes);
}

struct secret *secret_share(struct secret *s)
{
	atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
	return s;
}

void secret_release(struct secret *s)
{
	if (s == NULL || atomic_fetch_sub(&s->references, 1) != 1)
		return;
	if (mprotect(s->pages, s->size, PROT_READ | PROT_WRITE) == 0)
		explicit_bzero(s->pages, s->size);
	munmap(s->pages, s->size);
	free(s);
}

struct slice secret_reveal(const struct secret *s)
{
	return slice_of(s->pages, s->len);
}

size_t secret_tail(const struct secret *s)
{
	return s->tail;
}

const char *secret_fingerprint(const struct secret *s)
{
	return s->fingerprint;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && CRYPTO_memcmp(a->pages, b->pages, a->len) == 0;
}
