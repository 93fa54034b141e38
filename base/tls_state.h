/* SPDX-License-Identifier: Apache-2.0
 * base/tls_state.h - the inside of a struct tls, for tls_make.c, who makes it, and tls.c. */
#ifndef BASE_TLS_STATE_H
#define BASE_TLS_STATE_H

#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

#include "base/tls.h"

enum { TLS_ALPN = 32 };

struct tls {
	SSL_CTX *ctx;
	_Atomic unsigned refs;
	int64_t expiry;
	uint8_t digest[SHA256_DIGEST_LENGTH]; /* of its files */
	uint8_t alpn[TLS_ALPN];               /* server: what it takes */
	size_t alpn_len;
};

#endif
