/* SPDX-License-Identifier: Apache-2.0
 * base/secret.h - a token, a password, a private key: bytes that no log, page, core file or child
 * process is to see. They lie in pages of their own that are locked in memory, read-only once they
 * are filled, left out of core dumps and of children (memfd_secret(2) where the kernel has it, so
 * that not even the kernel's own copies of memory hold them), and they are wiped when the last
 * reference is released. The type is opaque and has no formatter: what may be shown of a secret is
 * its fingerprint.
 *
 * A secret never changes. References are counted atomically, so rooms may share one. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/slice.h"

enum {
	SECRET_MAX = 1 << 20,
	SECRET_FINGERPRINT = 13 /* twelve hex digits of the SHA-256 and a 0 */
};

struct secret;

/* A copy of the bytes. NULL: no memory, or more than SECRET_MAX. Where the limit on locked memory
 * (RLIMIT_MEMLOCK) is used up the pages are not locked, which is said once in the log. */
struct secret *secret_create(struct slice bytes);
/* `head` and `tail` as one, such as "Bearer " and a token; the fingerprint is the tail's. */
struct secret *secret_join(struct slice head, struct slice tail);

struct secret *secret_share(struct secret *s); /* one more reference; gives s */
void secret_release(struct secret *s);         /* NULL is fine */

/* The bytes, for the wire alone; a 0 follows them. Borrowed from the reference. */
struct slice secret_reveal(const struct secret *s);
size_t secret_tail(const struct secret *s); /* how many bytes of it came after the head */
const char *secret_fingerprint(const struct secret *s);
bool secret_equal(const struct secret *a, const struct secret *b); /* in constant time */

/* The fingerprint of bytes that are no secret yet. */
void secret_print_fingerprint(struct slice bytes, char out[SECRET_FINGERPRINT]);

#endif
