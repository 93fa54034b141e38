/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/key_fixture.h - tokens for tests: each its own generation of one secret header. */
#ifndef TESTS_KEY_FIXTURE_H
#define TESTS_KEY_FIXTURE_H

#include "exporters/credential.h"

static inline struct key *key_of(const char *token)
{
	static uint64_t generations;
	struct key *k = key_create();
	k->values[k->n++] = secret_create(slice_str(token));
	k->generation = ++generations;
	memcpy(k->fingerprint, secret_fingerprint(k->values[0]), sizeof(k->fingerprint));
	return k;
}

#endif
