/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"

int siphash_key_init(struct siphash_key *key)
{
	if (getrandom(key, sizeof(*key), 0) != sizeof(*key))
		return fail(-errno, "siphash: no random bytes");
	return 0;
}

static uint64_t rotate(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

/* By value, so that it stays in registers. */
struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline struct sip sip_round(struct sip s)
{
	s.v0 += s.v1;
	s.v2 += s.v3;
	s.v1 = rotate(s.v1, 13) ^ s.v0;
	s.v3 = rotate(s.v3, 16) ^ s.v2;
	s.v0 = rotate(s.v0, 32) + s.v3;
	s.v2 += s.v1;
	s.v3 = rotate(s.v3, 21) ^ s.v0;
	s.v1 = rotate(s.v1, 17) ^ s.v2;
	s.v2 = rotate(s.v2, 32);
	return s;
}

static inline struct sip sip_word(struct sip s, uint64_t word)
{
	s.v3 ^= word;
	s = sip_round(s);
	s.v0 ^= word;
	return s;
}

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len)
{
	struct sip s = {key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
			key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u};
	const uint8_t *p = data, *end = p + len / 8 * 8;
	uint64_t last = (uint64_t)len << 56;
	for (; p != end; p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		s = sip_word(s, le64toh(word));
	}
	for (size_t i = 0; i < len % 8; i++)
		last |= (uint64_t)p[i] << (8 * i);
	s = sip_word(s, last);
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		s = sip_round(s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
