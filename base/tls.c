/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/tls_state.h"

struct tls_conn {
	struct tls *tls;
	SSL *ssl;
	bool failed;
	const char *reason;
};

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

static struct tls_conn *conn_open(struct tls *t, int fd)
{
	struct tls_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->tls = tls_ref(t);
	c->ssl = SSL_new(t->ctx);
	if (c->ssl != NULL && SSL_set_fd(c->ssl, fd) == 1)
		return c;
	tls_close(c);
	return NULL;
}

struct tls_conn *tls_connect(struct tls *t, int fd, const char *name, struct slice alpn)
{
	struct tls_conn *c = conn_open(t, fd);
	if (c == NULL)
		return NULL;
	if (expect_name(c->ssl, name) != 1 ||
	    SSL_set_alpn_protos(c->ssl, alpn.data, (unsigned)alpn.len) != 0) {
		tls_close(c);
		return NULL;
	}
	SSL_set_connect_state(c->ssl);
	return c;
}

struct tls_conn *tls_accept(struct tls *t, int fd)
{
	struct tls_conn *c = conn_open(t, fd);
	if (c != NULL)
		SSL_set_accept_state(c->ssl);
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
	tls_unref(c->tls);
	free(c);
}

/* What verification found, in whichever direction it went. */
static const char *distrust(const SSL *ssl)
{
	if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE)
		return NULL;
	switch (SSL_get_verify_result(ssl)) {
	case X509_V_OK:
		return NULL;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "the certificate is out of date";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "the certificate is for another name";
	case X509_V_ERR_INVALID_PURPOSE:
		return "the certificate is for another purpose";
	default:
		return "the certificate is not trusted";
	}
}

static const char *why(const SSL *ssl)
{
	static const struct {
		int code;
		const char *reason;
	} ROWS[] = {
	    {SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS"},
	    {SSL_R_HTTP_REQUEST, "the peer does not speak TLS"},
	    {SSL_R_UNEXPECTED_EOF_WHILE_READING, "the peer closed the connection"},
	    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL,
	     "the peer takes none of our ALPN protocols"},
	    {SSL_R_NO_APPLICATION_PROTOCOL, "the peer offers none of our ALPN protocols"},
	    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client shows no certificate"},
	    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the peer wants a client certificate"},
	    {SSL_R_NO_SHARED_CIPHER, "no cipher that both sides take"},
	    {SSL_R_UNSUPPORTED_PROTOCOL, "the peer's TLS version is too old"},
	    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the peer takes none of our TLS versions"},
	    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the peer does not trust our certificate"},
	    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the peer refuses our certificate"},
	    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the peer refuses our certificate"},
	    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the peer says our certificate has expired"},
	    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "the peer refuses the handshake"},
	};
	const char *distrusted = distrust(ssl);
	unsigned long code = ERR_peek_error();
	if (distrusted != NULL)
		return distrusted;
	if (code == 0)
		return "the connection broke";
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == ROWS[i].code)
			return ROWS[i].reason;
	return "TLS failed";
}

/* What another call has left would be taken for the reason of the next failure. To ask first is a
 * tenth of the price, and there is a call for each record. */
static void forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
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
	forget_errors();
	int rc = SSL_do_handshake(c->ssl);
	return rc == 1 ? 0 : (int)result(c, rc);
}

bool tls_is_verified(const struct tls_conn *c)
{
	return SSL_get_verify_mode(c->ssl) != SSL_VERIFY_NONE &&
	       SSL_get0_peer_certificate(c->ssl) != NULL &&
	       SSL_get_verify_result(c->ssl) == X509_V_OK;
}

typedef int each_name(void *ctx, struct slice name);

/* One that holds a 0 byte is meant to deceive. */
static int give_name(const char *kind, struct slice text, each_name *each, void *ctx)
{
	char name[1024];
	int len = snprintf(name, sizeof(name), "%s:%.*s", kind, (int)text.len, text.data);
	if (memchr(text.data, 0, text.len) != NULL || len < 0 || (size_t)len >= sizeof(name))
		return 0;
	return each(ctx, slice_of(name, (size_t)len));
}

static int give_subject(X509 *cert, each_name *each, void *ctx)
{
	char *text = NULL;
	BIO *out = BIO_new(BIO_s_mem());
	int rc = -ENOMEM;
	if (out != NULL &&
	    X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
		long len = BIO_get_mem_data(out, &text);
		rc = len <= 0 ? 0 : give_name("subject", slice_of(text, (size_t)len), each, ctx);
	}
	BIO_free(out);
	return rc;
}

int tls_each_name(const struct tls_conn *c, each_name *each, void *ctx)
{
	X509 *cert = SSL_get0_peer_certificate(c->ssl);
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int rc = give_subject(cert, each, ctx);
	for (int i = 0; rc == 0 && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
		if (n->type != GEN_DNS && n->type != GEN_URI && n->type != GEN_EMAIL)
			continue;
		const ASN1_STRING *s = n->d.ia5;
		rc = give_name("san",
			       slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)),
			       each, ctx);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return rc;
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
	forget_errors();
	size_t n = 0;
	int rc = SSL_read_ex(c->ssl, out, room, &n);
	return rc == 1 ? (ssize_t)n : result(c, rc);
}

ssize_t tls_write(struct tls_conn *c, struct slice bytes)
{
	forget_errors();
	size_t n = 0;
	int rc = SSL_write_ex(c->ssl, bytes.data, bytes.len, &n);
	return rc == 1 ? (ssize_t)n : result(c, rc);
}

bool tls_has_more(const struct tls_conn *c)
{
	return SSL_has_pending(c->ssl) == 1;
}
