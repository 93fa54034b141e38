/* SPDX-License-Identifier: Apache-2.0
 * receivers/conn.h - one client connection: its socket, its protocol, its requests. Private to
 * receivers/: room.c has the list of them, conn.c the socket, exchange.c the requests. */
#ifndef RECEIVERS_CONN_H
#define RECEIVERS_CONN_H

#include <netinet/in.h>

#include "base/list.h"
#include "base/tls.h"
#include "receivers/room.h"
#include "wire/h2.h"
#include "wire/http1.h"

enum { READ_BYTES = 65536, SNIFF_BYTES = 4 };

struct receivers {
	struct receivers_options o;
	struct codec *codec;
	struct ev_timer sweep;
	struct list conns;      /* conn.link */
	struct list touched;    /* conn.touched_link: have answers to write */
	struct list shaking;    /* conn.shaking_link: handshakes, the oldest first */
	struct list unread;     /* conn.unread_link: no event of the socket tells of their bytes */
	struct ev_timer again;  /* ... so they have their turn in the next round */
	struct tls *tls[PORTS]; /* for new connections; NULL: plain text */
	uint32_t n_conns, n_exchanges, n_shaking;
	uint64_t now_ms;
	bool draining;
	struct buf scratch; /* bodies of answers */
	uint8_t input[READ_BYTES];
};

/* One request and its answer to be. */
struct exchange {
	struct conn *conn;
	struct list link;         /* conn.exchanges */
	struct h2_stream *stream; /* NULL: HTTP/1.1 */
	struct batch *batch;      /* NULL: never had one, or it was answered */
	bool away;                /* the batch is in other rooms */
	uint64_t begun_ms, received, timeout_ms;
};

/* With TLS a connection begins with the first two. */
enum conn_state { CONN_HELLO, CONN_SHAKING, CONN_SNIFF, CONN_HTTP1, CONN_H2, CONN_LINGER };

struct conn {
	struct receivers *room;
	struct list link, touched_link, shaking_link, unread_link;
	struct list exchanges; /* exchange.link */
	struct ev_io io;
	int fd;
	enum port port;
	enum conn_state state;
	struct tls_conn *tls; /* NULL: plain text, or not begun. It has the client's certificate. */
	char peer[INET6_ADDRSTRLEN]; /* TLS: who it is, for the log */
	struct credentials *names;   /* of the client's certificate; NULL: it showed none */
	bool more;                   /* has more to read than its socket shows */
	bool turned;                 /* to read on it must write first */
	bool closing;                /* close when `out` is written */
	bool abuse;                  /* ... and read no more of it */
	bool at_end;                 /* the client sends no more */
	bool keep;                   /* HTTP/1.1: after this answer the connection stays */
	bool was_used;               /* has carried a request */
	uint8_t sniffed[SNIFF_BYTES];
	uint8_t n_sniffed;
	struct h2 *h2;
	struct http1 http1;
	struct exchange *current; /* HTTP/1.1: the one request under way */
	enum answer early;        /* ... which will get this answer, whatever its body is */
	struct buf pending;       /* HTTP/1.1: pipelined bytes behind a request that waits */
	struct buf out;
	uint64_t active_ms,
	    stalled_ms; /* last byte read or written; since when `out` does not move */
};

struct conn *conn_create(struct receivers *r, int fd, enum port port);
void conn_destroy(struct conn *c);
void conn_flush(struct conn *c);                  /* writes what can be written; may destroy c */
void conn_ready(struct conn *c, int events);      /* of its socket; may destroy c */
void conn_touch(struct conn *c);                  /* to be flushed at the end of the round */
void conn_sweep(struct conn *c, uint64_t now_ms); /* deadlines; may destroy c */
/* Counts, logs the reason if one is given, and closes after writing. */
void conn_refuse(struct conn *c, enum metric why, const char *reason);
/* To a client that speaks HTTP/1.1 where nobody does; conn_refuse() follows. */
void conn_answer_plainly(struct conn *c, const char *hint);

/* conn_tls.c: TLS below all that. */
enum { CONN_LATER = -1, CONN_BROKEN = -2 };
void conn_tls_shake(struct conn *c); /* goes on with the handshake; may refuse c */
/* Bytes, 0 at the end, or one of the above. */
ssize_t conn_tls_read(struct conn *c, uint8_t *out, size_t room);
ssize_t conn_tls_write(struct conn *c, struct slice bytes);
void conn_tls_close(struct conn *c); /* says goodbye; the socket stays */
void conn_tls_again(struct conn *c); /* reads more in the next round */
void on_conn_again(struct ev_loop *loop, struct ev_timer *timer, int events);

/* exchange.c. begin gives NULL when memory is out. */
struct exchange *exchange_begin(struct conn *c, struct h2_stream *stream);
enum answer exchange_head(struct exchange *x, const struct request_head *head);
enum answer exchange_body(struct exchange *x, struct slice piece);
enum answer exchange_end(struct exchange *x);            /* ANSWER_NONE: the batch is on its way */
void exchange_answer(struct exchange *x, enum answer a); /* answers with the batch it has */
void exchange_free(struct exchange *x);

/* http1.c and h2.c of receivers: the protocol's side of an answer. */
void conn_http1_start(struct conn *c);
void conn_http1_feed(struct conn *c, struct slice bytes);
void conn_http1_respond(struct conn *c, const struct response *r);
bool conn_h2_start(struct conn *c);
void conn_h2_feed(struct conn *c, struct slice bytes);
void conn_h2_sweep(struct conn *c); /* opens windows again when there is memory */

#endif
