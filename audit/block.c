/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/block.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/hex.h"

size_t audit_block_read(struct slice bytes, struct audit_block *out, struct slice *records,
			uint8_t hash[AUDIT_BLOCK_HASH])
{
	if (bytes.len < sizeof(*out))
		return 0;
	memcpy(out, bytes.data, sizeof(*out));
	if (out->magic != AUDIT_BLOCK_MAGIC || out->n == 0 || out->n > AUDIT_BLOCK_RECORDS)
		return 0;
	size_t len = sizeof(*out) + out->n * sizeof(struct audit_decision);
	if (bytes.len < len)
		return 0;
	*records = slice_of(bytes.data + sizeof(*out), len - sizeof(*out));
	if (hash != NULL)
		SHA256(bytes.data, len, hash);
	return len;
}

void audit_block_at(struct slice records, uint32_t i, struct audit_decision *out)
{
	memcpy(out, records.data + i * sizeof(*out), sizeof(*out));
}

int audit_block_hash(struct slice head, struct slice records, char out[2 * AUDIT_BLOCK_HASH + 1])
{
	uint8_t hash[AUDIT_BLOCK_HASH] = {0};
	unsigned len = sizeof(hash);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool done = c != NULL && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(c, head.data, head.len) == 1 &&
		    EVP_DigestUpdate(c, records.data, records.len) == 1 &&
		    EVP_DigestFinal_ex(c, hash, &len) == 1;
	EVP_MD_CTX_free(c);
	hex_print(hash, sizeof(hash), out);
	return done ? 0 : -ENOMEM;
}
