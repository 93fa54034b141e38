/* SPDX-License-Identifier: Apache-2.0
 * base/tls.h - TLS 1.2 and 1.3 on both sides, by OpenSSL 3, on sockets that do not block.
 * A struct tls is what connections are made with: certificate, key, whom to trust. It never changes
 * and is counted, so any room may have it; a new certificate is a new struct tls. A connection
 * belongs to one room. The program must ignore SIGPIPE, for OpenSSL writes with write(2).
 *
 * What is spoken: of TLS 1.2 only ECDHE with AES-GCM or ChaCha20-Poly1305 (RFC 9325 section 4.2),
 * all of TLS 1.3. No renegotiation, no compression, no early data. No resumption: senders of spans
 * connect once and stay, and a ticket would let a client in again that the new CA does not know. */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"

struct tls;      /* what connections are made with */
struct tls_conn; /* one connection */

enum tls_version { TLS_1_2, TLS_1_3 };
enum tls_clients { TLS_CLIENTS_ANY, TLS_CLIENTS_MAY, TLS_CLIENTS_MUST }; /* show a certificate */

/* Files are PEM; "" or NULL for none. Everything is borrowed for the call. */
struct tls_options {
	const char *where;    /* in messages, before the field: "receivers.otlp_grpc.tls" */
	const char *ca_field; /* ... what ca_file is called there */
	const char *cert_file, *key_file; /* the leaf first, then its chain; both or none */
	const char *ca_file;              /* whom to trust; of a client, none: the system's */
	bool open_key;                    /* the key's file may be one that everybody can read */
	enum tls_version least;
	struct slice alpn;        /* server: what it takes, best first, as on the wire */
	enum tls_clients clients; /* server */
	bool skip_verify;         /* client: any certificate will do */
};

/* Whole sentences that name field and file, never what is in it; empty: nothing to say. */
enum { TLS_NOTE = 1400 };
struct tls_notes {
	char fault[TLS_NOTE], warning[TLS_NOTE];
};

/* Read files, so only where a room may wait for a disk. NULL: notes->fault says why. */
struct tls *tls_client_create(const struct tls_options *o, struct tls_notes *notes);
struct tls *tls_server_create(const struct tls_options *o, struct tls_notes *notes);
struct tls *tls_ref(struct tls *t); /* any room; NULL gives NULL */
void tls_unref(struct tls *t);
bool tls_equal(const struct tls *a, const struct tls *b); /* same rules, same bytes in the files */
int64_t tls_expiry(const struct tls *t); /* of its own leaf, Unix seconds; 0: has none */

/* Results besides a count of bytes. TLS_CLOSED: the peer ended the connection. */
enum { TLS_WANT_READ = -1, TLS_WANT_WRITE = -2, TLS_CLOSED = -3, TLS_FAILED = -4 };

/* All three borrow the socket. The connection keeps what it needs of `t`. NULL: no memory.
 * `name` is a host name or an address; the certificate must be for it. `alpn` as on the wire. */
struct tls_conn *tls_connect(struct tls *t, int fd, const char *name, struct slice alpn);
struct tls_conn *tls_accept(struct tls *t, int fd);
/* Says goodbye if that needs no waiting; NULL is fine. */
void tls_close(struct tls_conn *c);

int tls_handshake(struct tls_conn *c); /* 0: done */
/* Whether the peer showed a certificate that was checked and is trusted; and its names, for as long
 * as `each` gives 0: "subject:CN=..." (RFC 2253) first, then "san:..." of each DNS name, URI and
 * e-mail address. */
bool tls_is_verified(const struct tls_conn *c);
int tls_each_name(const struct tls_conn *c, int (*each)(void *ctx, struct slice name), void *ctx);
struct slice tls_alpn(const struct tls_conn *c);  /* what was agreed on; empty: nothing */
const char *tls_reason(const struct tls_conn *c); /* static text for TLS_FAILED */

/* Bytes read or written, at least 1, or one of the above. After a WANT, write the same bytes again.
 */
ssize_t tls_read(struct tls_conn *c, void *out, size_t room);
ssize_t tls_write(struct tls_conn *c, struct slice bytes);
/* Bytes have been taken from the socket that tls_read() has not given yet: the socket will not
 * become readable for them. */
bool tls_has_more(const struct tls_conn *c);

#endif
