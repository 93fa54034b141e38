/* SPDX-License-Identifier: Apache-2.0
 * Certificates, keys and rules of a struct tls; what is wrong with its files. */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/pem.h"
#include "base/tls_state.h"

static const char CIPHERS_1_2[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
/* Half the work of AES-256, and as far out of reach. */
static const char CIPHERS_1_3[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char GROUPS[] = "X25519:P-256:P-384";

enum { READ_BUFFER = 64 << 10 }; /* what one read(2) may bring: four records */

struct making {
	const struct tls_options *o;
	struct tls *tls;
	struct tls_notes *notes;
	EVP_MD_CTX *digest;
};

static int fault(const struct making *m, const char *field, const char *path, const char *wrong)
{
	snprintf(m->notes->fault, sizeof(m->notes->fault), "%s.%s: %s%s%s", m->o->where, field,
		 path, *path != '\0' ? ": " : "", wrong);
	return -1;
}

static bool given(const char *path)
{
	return path != NULL && *path != '\0';
}

/* What tells two struct tls apart: their rules, then each file's bytes and where they end. */
static void note_rules(struct making *m, bool server)
{
	const struct tls_options *o = m->o;
	uint8_t rules[] = {server, (uint8_t)o->least, (uint8_t)o->clients, o->skip_verify};
	EVP_DigestUpdate(m->digest, rules, sizeof(rules));
}

static void note_bytes(struct making *m, const struct buf *b)
{
	uint64_t len = b->len;
	EVP_DigestUpdate(m->digest, &len, sizeof(len));
	EVP_DigestUpdate(m->digest, b->data, b->len);
}

/* A peer will not take it: a warning, for the clock may be wrong and spans wait on disk anyway. */
static void look_at_dates(const struct making *m, const char *field, const char *path,
			  const X509 *cert)
{
	const char *wrong = NULL;
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		wrong = "has expired";
	else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		wrong = "is not valid yet";
	if (wrong != NULL)
		snprintf(m->notes->warning, sizeof(m->notes->warning),
			 "%s.%s: %s: a certificate in it %s", m->o->where, field, path, wrong);
}

static const char *read_certificates(struct making *m, const char *path, STACK_OF(X509) * *out)
{
	struct buf text = {.data = NULL};
	const char *wrong = pem_read(&text, path, false);
	if (wrong == NULL) {
		note_bytes(m, &text);
		wrong = pem_certificates(buf_slice(&text), out);
	}
	buf_finish(&text);
	return wrong;
}

/* The leaf, and what stands behind it as its chain. */
static int use_chain(struct making *m)
{
	STACK_OF(X509) *all = NULL;
	const char *path = m->o->cert_file, *wrong = read_certificates(m, path, &all);
	if (wrong != NULL)
		return fault(m, "cert_file", path, wrong);
	for (int i = 0; wrong == NULL && i < sk_X509_num(all); i++) {
		X509 *cert = sk_X509_value(all, i);
		look_at_dates(m, "cert_file", path, cert);
		long ok = i == 0 ? SSL_CTX_use_certificate(m->tls->ctx, cert)
				 : SSL_CTX_add1_chain_cert(m->tls->ctx, cert);
		if (ok != 1)
			wrong = "holds a certificate that cannot be used";
	}
	m->tls->expiry = pem_expiry(sk_X509_value(all, 0));
	sk_X509_pop_free(all, X509_free);
	return wrong == NULL ? 0 : fault(m, "cert_file", path, wrong);
}

static int use_key(struct making *m)
{
	struct buf text = {.data = NULL};
	EVP_PKEY *key = NULL;
	const char *path = m->o->key_file, *wrong = pem_read(&text, path, !m->o->open_key);
	if (wrong == NULL) {
		note_bytes(m, &text);
		wrong = pem_key(buf_slice(&text), &key);
	}
	pem_wipe(&text);
	if (wrong == NULL &&
	    X509_check_private_key(SSL_CTX_get0_certificate(m->tls->ctx), key) != 1)
		wrong = "is not the key of the first certificate in cert_file";
	else if (wrong == NULL && SSL_CTX_use_PrivateKey(m->tls->ctx, key) != 1)
		wrong = "holds a key that cannot be used";
	EVP_PKEY_free(key);
	return wrong == NULL ? 0 : fault(m, "key_file", path, wrong);
}

/* What stands in the file is trusted, be it a root or not. */
static int use_ca(struct making *m, bool tell_clients)
{
	STACK_OF(X509) *all = NULL;
	const char *path = m->o->ca_file, *wrong = read_certificates(m, path, &all);
	if (wrong != NULL)
		return fault(m, m->o->ca_field, path, wrong);
	X509_STORE *store = SSL_CTX_get_cert_store(m->tls->ctx);
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	for (int i = 0; wrong == NULL && i < sk_X509_num(all); i++) {
		X509 *cert = sk_X509_value(all, i);
		look_at_dates(m, m->o->ca_field, path, cert);
		if (X509_STORE_add_cert(store, cert) != 1 ||
		    (tell_clients && SSL_CTX_add_client_CA(m->tls->ctx, cert) != 1))
			wrong = "holds a certificate that cannot be used";
	}
	sk_X509_pop_free(all, X509_free);
	return wrong == NULL ? 0 : fault(m, m->o->ca_field, path, wrong);
}

static int set_rules(SSL_CTX *ctx, const struct tls_options *o)
{
	int least = o->least == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	if (SSL_CTX_set_min_proto_version(ctx, least) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, GROUPS) != 1)
		return -1;
	/* A write takes what the socket takes, and the caller's buffer may move in between. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx,
			    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
	return 0;
}

/* The files: 0, or -1 with a fault. */
static int use_files(struct making *m, bool server)
{
	const struct tls_options *o = m->o;
	if (given(o->cert_file) != given(o->key_file))
		return fault(m, given(o->cert_file) ? "key_file" : "cert_file", "", "is missing");
	if (given(o->cert_file) && (use_chain(m) != 0 || use_key(m) != 0))
		return -1;
	if (given(o->ca_file))
		return use_ca(m, server);
	if (!server && !o->skip_verify && SSL_CTX_set_default_verify_paths(m->tls->ctx) != 1)
		return fault(m, o->ca_field, "", "the system's certificates cannot be loaded");
	return 0;
}

static struct tls *create(const struct tls_options *o, struct tls_notes *notes, bool server)
{
	struct making m = {.o = o, .notes = notes};
	*notes->fault = *notes->warning = '\0';
	m.tls = calloc(1, sizeof(*m.tls));
	m.digest = EVP_MD_CTX_new();
	int rc = -1;
	if (m.tls == NULL || m.digest == NULL || EVP_DigestInit(m.digest, EVP_sha256()) != 1)
		goto done;
	m.tls->refs = 1;
	note_rules(&m, server);
	m.tls->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (m.tls->ctx == NULL || set_rules(m.tls->ctx, o) != 0)
		goto done;
	rc = use_files(&m, server);
	if (rc == 0)
		EVP_DigestFinal(m.digest, m.tls->digest, NULL);
done:
	if (rc != 0 && *notes->fault == '\0')
		fault(&m, "", "", "no memory");
	EVP_MD_CTX_free(m.digest);
	ERR_clear_error();
	if (rc == 0)
		return m.tls;
	tls_unref(m.tls);
	return NULL;
}

struct tls *tls_client_create(const struct tls_options *o, struct tls_notes *notes)
{
	struct tls *t = create(o, notes, false);
	if (t != NULL)
		SSL_CTX_set_verify(t->ctx, o->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
				   NULL);
	return t;
}

/* A client that asks for none may go on; one that asks for others only is told so (RFC 7301). */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned in_len, void *ctx)
{
	(void)ssl;
	const struct tls *t = ctx;
	for (size_t i = 0; i < t->alpn_len; i += 1u + t->alpn[i])
		for (unsigned k = 0; k < in_len; k += 1u + in[k])
			if (in[k] == t->alpn[i] &&
			    memcmp(in + k + 1, t->alpn + i + 1, in[k]) == 0) {
				*out = in + k + 1;
				*out_len = in[k];
				return SSL_TLSEXT_ERR_OK;
			}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct tls *tls_server_create(const struct tls_options *o, struct tls_notes *notes)
{
	struct tls *t = create(o, notes, true);
	if (t == NULL)
		return NULL;
	static const int MODES[] = {
	    [TLS_CLIENTS_ANY] = SSL_VERIFY_NONE,
	    [TLS_CLIENTS_MAY] = SSL_VERIFY_PEER,
	    [TLS_CLIENTS_MUST] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};
	SSL_CTX_set_verify(t->ctx, MODES[o->clients], NULL);
	/* Many clients end a connection so. HTTP knows by itself whether a request is whole. */
	SSL_CTX_set_options(t->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	t->alpn_len = o->alpn.len < TLS_ALPN ? o->alpn.len : 0;
	memcpy(t->alpn, o->alpn.data, t->alpn_len);
	if (t->alpn_len != 0)
		SSL_CTX_set_alpn_select_cb(t->ctx, on_alpn, t);
	return t;
}

struct tls *tls_ref(struct tls *t)
{
	if (t != NULL)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_unref(struct tls *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

bool tls_equal(const struct tls *a, const struct tls *b)
{
	return a != NULL && b != NULL && memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

int64_t tls_expiry(const struct tls *t)
{
	return t != NULL ? t->expiry : 0;
}
