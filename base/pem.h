/* SPDX-License-Identifier: Apache-2.0
 * base/pem.h - certificates and private keys out of PEM files. Every function gives NULL when all
 * is well, else what is wrong: static text for a message that names the file, never a word of what
 * is in it. Reading may wait for a disk: at the start, or in the keys room. */
#ifndef BASE_PEM_H
#define BASE_PEM_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "base/buf.h"

enum { PEM_BYTES = 1 << 20 }; /* a bundle of all public roots has a quarter of it */

/* Appends a regular file of 1 to PEM_BYTES bytes, read again where it changed meanwhile. `secret`:
 * a file that everybody on the machine may read is refused. */
const char *pem_read(struct buf *out, const char *path, bool secret);
void pem_wipe(struct buf *b); /* and frees */

/* All certificates of the text, at least one; gives the stack. */
const char *pem_certificates(struct slice text, STACK_OF(X509) * *out);
/* The first private key, without a passphrase; gives it. */
const char *pem_key(struct slice text, EVP_PKEY **out);

/* Unix time of its last second; 0 where that cannot be told. */
int64_t pem_expiry(const X509 *cert);

#endif
