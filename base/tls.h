/* SPDX-License-Identifier: Apache-2.0
 * base/tls.h - the client's side of TLS 1.2 and 1.3, by OpenSSL 3, on sockets that do not block.
 * The peer's certificate and name are always verified: there is no switch to turn that off. The
 * program must ignore SIGPIPE, for OpenSSL writes with write(2). */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/slice.h"

/* Results besides a count of bytes. TLS_CLOSED: the peer ended the connection. */
enum { TLS_WANT_READ = -1, TLS_WANT_WRITE = -2, TLS_CLOSED = -3, TLS_FAILED = -4 };

struct tls;      /* what to trust: one for each exporter */
struct tls_conn; /* one connection */

/* `ca_file` holds PEM certificates to trust; "" takes the system's. Gives NULL (logged). */
struct tls *tls_create(const char *ca_file);
void tls_destroy(struct tls *t);

/* Borrows the socket. `name` is a host name or an address; the certificate must be for it. `alpn`
 * as on the wire: each name with its length before it. NULL: no memory. */
struct tls_conn *tls_open(struct tls *t, int fd, const char *name, struct slice alpn);
void tls_close(struct tls_conn *c); /* says goodbye if that needs no waiting; NULL is fine */

int tls_handshake(struct tls_conn *c);            /* 0: done */
struct slice tls_alpn(const struct tls_conn *c);  /* what was agreed on; empty: nothing */
const char *tls_reason(const struct tls_conn *c); /* static text for TLS_FAILED */

/* Bytes read or written, at least 1, or one of the above. After a WANT, write the same bytes again.
 */
ssize_t tls_read(struct tls_conn *c, void *out, size_t room);
ssize_t tls_write(struct tls_conn *c, struct slice bytes);

#endif
