/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <sys/random.h>

#include "base/log.h"

static uint8_t key[32];
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
	has_key = getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key);
}

int digest_of(struct slice bytes, struct digest *out)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	pthread_once(&once, draw_key);
	if (!has_key)
		return fail(-EIO, "digest: no random bytes");
	if (HMAC(EVP_sha256(), key, sizeof(key), bytes.data, bytes.len, mac, &len) == NULL)
		return fail(-ENOMEM, "digest: no memory");
	memcpy(out->bytes, mac, DIGEST_BYTES);
	return 0;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return CRYPTO_memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}
