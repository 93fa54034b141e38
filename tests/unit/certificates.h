/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/certificates.h - certificates made on the spot, for tests of TLS. */
#ifndef TESTS_UNIT_CERTIFICATES_H
#define TESTS_UNIT_CERTIFICATES_H

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "check.h"

struct made {
	EVP_PKEY *key;
	X509 *cert;
};

/* From `from_s` to `to_s` seconds from now; signed by `issuer`, or by itself. */
static inline struct made made_create(const char *cn, const char *names, const struct made *issuer,
				      long from_s, long to_s)
{
	struct made m = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
	X509_set_version(m.cert, 2);
	static long serial = 1;
	ASN1_INTEGER_set(X509_get_serialNumber(m.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(m.cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(m.cert), to_s);
	X509_set_pubkey(m.cert, m.key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(m.cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)cn, -1, -1, 0);
	const struct made *by = issuer != NULL ? issuer : &m;
	X509_set_issuer_name(m.cert, X509_get_subject_name(by->cert));
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, by->cert, m.cert, NULL, NULL, 0);
	int nid = names != NULL ? NID_subject_alt_name : NID_basic_constraints;
	X509_EXTENSION *ext =
	    X509V3_EXT_conf_nid(NULL, &ctx, nid, names != NULL ? names : "critical,CA:TRUE");
	CHECK(ext != NULL && X509_add_ext(m.cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
	CHECK(X509_sign(m.cert, by->key, EVP_sha256()) > 0);
	return m;
}

static inline void made_free(struct made *m)
{
	X509_free(m->cert);
	EVP_PKEY_free(m->key);
}

static inline void made_write_cert(const struct made *m, const char *path)
{
	FILE *f = fopen(path, "w");
	CHECK(f != NULL && PEM_write_X509(f, m->cert) == 1 && fclose(f) == 0);
}

/* With a passphrase, if one is given. */
static inline void made_write_key(const struct made *m, const char *path, const char *phrase)
{
	FILE *f = fopen(path, "w");
	CHECK(f != NULL &&
	      PEM_write_PKCS8PrivateKey(f, m->key, phrase != NULL ? EVP_aes_128_cbc() : NULL,
					phrase, phrase != NULL ? (int)strlen(phrase) : 0, NULL,
					NULL) == 1 &&
	      fclose(f) == 0 && chmod(path, 0600) == 0);
}

#endif
