/* SPDX-License-Identifier: Apache-2.0
 * base/siphash.h - SipHash-1-3 (Aumasson and Bernstein, 2012), a keyed hash for tables whose keys
 * come from clients: who does not know the key cannot fill one bucket. About 0.4 ns/B. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0, k1;
};

int siphash_key_init(struct siphash_key *key); /* random; 0 or negative */
uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);

#endif
