/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

struct tls {
	SSL_CTX *ctx;
};

struct tls_conn {
	SSL *ssl;
	bool failed;
	const char *reason;
};

static int trust(SSL_CTX *ctx, const char *ca_file)
{
	return *ca_file != '\0' ? SSL_CTX_load_verify_file(ctx, ca_file)
				: SSL_CTX_set_default_verify_paths(ctx);
}

struct tls *tls_create(const char *ca_file)
{
	struct tls *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (t->ctx == NULL || SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1 ||
	    trust(t->ctx, ca_file) != 1) {
		fail(-EINVAL, "tls: cannot load the certificates to trust: %s",
		     *ca_file != '\0' ? ca_file : "the system's");
		ERR_clear_error();
		tls_destroy(t);
		return NULL;
	}
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	/* A write takes what the socket takes, and the caller's buffer may move in between. */
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				     SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	return t;
}

void tls_destroy(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

static bool is_address(const char *name)
{
	unsigned char bytes[16];
	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* SNI is for names only (RFC 6066 section 3); an address is looked for among the certificate's. */
static int expect_name(SSL *ssl, const char *name)
{
	if (is_address(name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	char sni[TLSEXT_MAXLEN_host_name + 1]; /* OpenSSL's macro wants it writable */
	snprintf(sni, sizeof(sni), "%s", name);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, sni) == 1;
}

struct tls_conn *tls_open(struct tls *t, int fd, const char *name, struct slice alpn)
{
	struct tls_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->ssl = SSL_new(t->ctx);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1 || expect_name(c->ssl, name) != 1 ||
	    SSL_set_alpn_protos(c->ssl, alpn.data, (unsigned)alpn.len) != 0) {
		tls_close(c);
		return NULL;
	}
	SSL_set_connect_state(c->ssl);
	return c;
}

void tls_close(struct tls_conn *c)
{
	if (c == NULL)
		return;
	if (c->ssl != NULL && !c->failed && SSL_is_init_finished(c->ssl))
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	ERR_clear_error();
	free(c);
}

static const char *why(const SSL *ssl)
{
	switch (SSL_get_verify_result(ssl)) {
	case X509_V_OK:
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "the certificate is out of date";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "the certificate is for another name";
	default:
		return "the certificate is not trusted";
	}
	unsigned long code = ERR_peek_error();
	if (code == 0)
		return "the connection broke";
	switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
	case SSL_R_WRONG_VERSION_NUMBER:
		return "the peer does not speak TLS";
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return "the peer closed the connection";
	case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
		return "the peer takes none of our ALPN protocols";
	default:
		return "TLS failed";
	}
}

static ssize_t result(struct tls_conn *c, int rc)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		c->failed = true;
		c->reason = why(c->ssl);
		ERR_clear_error();
		return TLS_FAILED;
	}
}

int tls_handshake(struct tls_conn *c)
{
	ERR_clear_error();
	int rc = SSL_do_handshake(c->ssl);
	return rc == 1 ? 0 : (int)result(c, rc);
}

struct slice tls_alpn(const struct tls_conn *c)
{
	const unsigned char *name = NULL;
	unsigned len = 0;
	SSL_get0_alpn_selected(c->ssl, &name, &len);
	return slice_of(name, len);
}

const char *tls_reason(const struct tls_conn *c)
{
	return c->reason != NULL ? c->reason : "TLS failed";
}

ssize_t tls_read(struct tls_conn *c, void *out, size_t room)
{
	ERR_clear_error();
	size_t n = 0;
	int rc = SSL_read_ex(c->ssl, out, room, &n);
	return rc == 1 ? (ssize_t)n : result(c, rc);
}

ssize_t tls_write(struct tls_conn *c, struct slice bytes)
{
	ERR_clear_error();
	size_t n = 0;
	int rc = SSL_write_ex(c->ssl, bytes.data, bytes.len, &n);
	return rc == 1 ? (ssize_t)n : result(c, rc);
}
