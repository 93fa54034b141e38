/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/peer.h - a backend within the test: listens on loopback, in the test's own loop, plain
 * or under TLS with a certificate made on the spot, and speaks HTTP/1.1 or HTTP/2. */
#ifndef TESTS_UNIT_PEER_H
#define TESTS_UNIT_PEER_H

#include <arpa/inet.h>
#include <ev.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "check.h"
#include "wire/http1.h"

enum { PEER_CONNS = 16 };

struct peer;
struct peer_conn {
	struct peer *peer;
	int fd;
	struct ev_io io;
	SSL *ssl;
	nghttp2_session *h2;
	struct http1 http1;
	struct buf head, body; /* of the request under way; HTTP/1.1: the head as it came */
	struct buf out;
	size_t out_at;
	bool close_after; /* once `out` is written */
	unsigned requests;
};

struct peer {
	struct ev_loop *loop;
	struct ev_io accept;
	uint16_t port;
	SSL_CTX *tls;     /* NULL: plain text */
	const char *alpn; /* what it picks; NULL: none */
	bool http2;       /* plain text: by prior knowledge; TLS: when "h2" was picked */
	struct peer_conn conns[PEER_CONNS];
	unsigned accepted, requests;
	struct buf last_head, last_body; /* of the last request; HTTP/2 head: name: value lines */
	/* HTTP/1.1: the text of each answer; NULL stays silent. HTTP/2: grpc-status; NULL likewise.
	 */
	const char *answer;
	bool answer_early;   /* at the first byte of a request; then close */
	bool close_after;    /* each answer */
	bool close_at_start; /* of the next request on a used connection */
	bool goaway;         /* HTTP/2: instead of an answer, once */
};

static inline void peer_write(struct peer_conn *c)
{
	while (c->out_at < c->out.len) {
		size_t len = c->out.len - c->out_at;
		ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, c->out.data + c->out_at, (int)len)
					   : write(c->fd, c->out.data + c->out_at, len);
		CHECK(n > 0); /* answers are small */
		c->out_at += (size_t)n;
	}
}

static inline void peer_conn_close(struct peer_conn *c)
{
	if (c->fd < 0)
		return;
	ev_io_stop(c->peer->loop, &c->io);
	if (c->ssl != NULL && SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	nghttp2_session_del(c->h2);
	http1_finish(&c->http1);
	buf_finish(&c->head);
	buf_finish(&c->body);
	buf_finish(&c->out);
	close(c->fd);
	c->fd = -1;
}

static inline void peer_note_request(struct peer_conn *c)
{
	struct peer *p = c->peer;
	p->requests++;
	c->requests++;
	p->last_head.len = p->last_body.len = 0;
	buf_append(&p->last_head, c->head.data, c->head.len);
	buf_append(&p->last_body, c->body.data, c->body.len);
	c->head.len = c->body.len = 0;
}

/* ---- HTTP/1.1 ---- */

static inline int peer_on_head(void *ctx, const struct http1_head *head)
{
	(void)ctx, (void)head;
	return 0;
}

static inline int peer_on_body(void *ctx, struct slice piece)
{
	struct peer_conn *c = ctx;
	return buf_append(&c->body, piece.data, piece.len);
}

static inline int peer_on_complete(void *ctx)
{
	struct peer_conn *c = ctx;
	peer_note_request(c);
	if (c->peer->answer == NULL)
		return 0;
	buf_append(&c->out, c->peer->answer, strlen(c->peer->answer));
	c->close_after = c->peer->close_after;
	return 0;
}

static const struct http1_events PEER_EVENTS = {peer_on_head, peer_on_body, peer_on_complete};

static inline void peer_http1(struct peer_conn *c, struct slice bytes)
{
	struct peer *p = c->peer;
	if (p->close_at_start && c->requests != 0) {
		peer_conn_close(c);
		return;
	}
	if (p->answer_early) {
		buf_append(&c->out, p->answer, strlen(p->answer));
		peer_write(c);
		shutdown(c->fd, SHUT_WR);
		ev_io_stop(p->loop, &c->io); /* reads no more */
		return;
	}
	buf_append(&c->head, bytes.data, bytes.len);
	CHECK_EQ(http1_feed(&c->http1, bytes), 0);
	peer_write(c);
	if (c->close_after)
		peer_conn_close(c);
}

/* ---- HTTP/2 ---- */

#define PEER_NV(n, v)                                                                              \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0      \
	}

static inline int peer_on_header(nghttp2_session *session, const nghttp2_frame *frame,
				 const uint8_t *name, size_t name_len, const uint8_t *value,
				 size_t value_len, uint8_t flags, void *ctx)
{
	(void)session, (void)frame, (void)flags;
	struct peer_conn *c = ctx;
	return buf_printf(&c->head, "%.*s: %.*s\n", (int)name_len, (const char *)name,
			  (int)value_len, (const char *)value);
}

static inline int peer_on_data(nghttp2_session *session, uint8_t flags, int32_t id,
			       const uint8_t *data, size_t len, void *ctx)
{
	(void)session, (void)flags, (void)id;
	struct peer_conn *c = ctx;
	return buf_append(&c->body, data, len);
}

static inline int peer_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct peer_conn *c = ctx;
	struct peer *p = c->peer;
	if (frame->hd.type > NGHTTP2_HEADERS || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
		return 0;
	peer_note_request(c);
	if (p->goaway) {
		p->goaway = false;
		return nghttp2_submit_goaway(session, 0, 0, 0, NULL, 0);
	}
	if (p->answer == NULL)
		return 0;
	const nghttp2_nv nv[] = {PEER_NV(":status", "200"),
				 PEER_NV("content-type", "application/grpc"),
				 PEER_NV("grpc-status", p->answer)};
	return nghttp2_submit_headers(session, 1, frame->hd.stream_id, NULL, nv, 3, NULL) < 0;
}

static inline void peer_http2_start(struct peer_conn *c)
{
	nghttp2_session_callbacks *cb;
	CHECK_EQ(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, peer_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, peer_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, peer_on_frame);
	CHECK_EQ(nghttp2_session_server_new(&c->h2, cb, c), 0);
	nghttp2_session_callbacks_del(cb);
	CHECK_EQ(nghttp2_submit_settings(c->h2, 0, NULL, 0), 0);
}

static inline void peer_http2(struct peer_conn *c, struct slice bytes)
{
	if (nghttp2_session_mem_recv(c->h2, bytes.data, bytes.len) < 0) {
		peer_conn_close(c);
		return;
	}
	const uint8_t *data;
	for (ssize_t n; (n = nghttp2_session_mem_send(c->h2, &data)) > 0;)
		buf_append(&c->out, data, (size_t)n);
	peer_write(c);
}

/* ---- both ---- */

static inline void peer_choose(struct peer_conn *c)
{
	const unsigned char *picked = (const unsigned char *)"";
	unsigned len = 0;
	bool http2 = c->peer->http2;
	if (c->ssl != NULL) {
		SSL_get0_alpn_selected(c->ssl, &picked, &len);
		http2 = len == 2;
	}
	if (http2)
		peer_http2_start(c);
}

/* 0: go on; else what SSL_accept and SSL_read say: wait, or it is over. */
static inline void peer_on_io(struct ev_loop *loop, struct ev_io *w, int revents)
{
	(void)loop, (void)revents;
	struct peer_conn *c = w->data;
	static uint8_t in[65536];
	if (c->ssl != NULL && !SSL_is_init_finished(c->ssl)) {
		int rc = SSL_accept(c->ssl);
		if (rc == 1)
			peer_choose(c);
		else if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ)
			peer_conn_close(c);
		return;
	}
	ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, in, sizeof(in)) : read(c->fd, in, sizeof(in));
	if (n <= 0) {
		bool wait = c->ssl != NULL && SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ;
		if (!wait)
			peer_conn_close(c);
		return;
	}
	if (c->h2 != NULL)
		peer_http2(c, slice_of(in, (size_t)n));
	else
		peer_http1(c, slice_of(in, (size_t)n));
}

static inline void peer_on_accept(struct ev_loop *loop, struct ev_io *w, int revents)
{
	(void)revents;
	struct peer *p = w->data;
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	CHECK(fd >= 0 && p->accepted < PEER_CONNS);
	struct peer_conn *c = &p->conns[p->accepted++];
	memset(c, 0, sizeof(*c));
	c->peer = p;
	c->fd = fd;
	http1_init(&c->http1, false, &PEER_EVENTS, c);
	if (p->tls != NULL) {
		c->ssl = SSL_new(p->tls);
		SSL_set_fd(c->ssl, fd);
	} else {
		peer_choose(c);
	}
	ev_io_init(&c->io, peer_on_io, fd, EV_READ);
	c->io.data = c;
	ev_io_start(loop, &c->io);
}

static inline void peer_start(struct peer *p, struct ev_loop *loop)
{
	p->loop = loop;
	for (size_t i = 0; i < PEER_CONNS; i++)
		p->conns[i].fd = -1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_EQ(listen(fd, 16), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	p->port = ntohs(at.sin_port);
	ev_io_init(&p->accept, peer_on_accept, fd, EV_READ);
	p->accept.data = p;
	ev_io_start(loop, &p->accept);
}

static inline void peer_stop(struct peer *p)
{
	ev_io_stop(p->loop, &p->accept);
	close(p->accept.fd);
	for (size_t i = 0; i < p->accepted; i++)
		peer_conn_close(&p->conns[i]);
	SSL_CTX_free(p->tls);
	buf_finish(&p->last_head);
	buf_finish(&p->last_body);
}

/* ---- TLS ---- */

static inline int peer_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			       const unsigned char *in, unsigned in_len, void *ctx)
{
	(void)ssl;
	const struct peer *p = ctx;
	for (unsigned i = 0; p->alpn != NULL && i < in_len; i += 1u + in[i]) {
		if (!slice_is(slice_of(in + i + 1, in[i]), p->alpn))
			continue;
		*out = in + i + 1;
		*out_len = in[i];
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* A certificate that signs itself, for `names` as subjectAltName has them, good for an hour. It is
 * written to `ca_file` for the client to trust. */
static inline void peer_use_tls(struct peer *p, const char *names, const char *ca_file)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME *name = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"peer", -1, -1,
				   0);
	X509_set_issuer_name(cert, name);
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
	CHECK(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
	CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
	FILE *f = fopen(ca_file, "w");
	CHECK(f != NULL && PEM_write_X509(f, cert) == 1);
	fclose(f);
	p->tls = SSL_CTX_new(TLS_server_method());
	CHECK_EQ(SSL_CTX_use_certificate(p->tls, cert), 1);
	CHECK_EQ(SSL_CTX_use_PrivateKey(p->tls, key), 1);
	SSL_CTX_set_alpn_select_cb(p->tls, peer_on_alpn, p);
	X509_free(cert);
	EVP_PKEY_free(key);
}

#endif
