/* SPDX-License-Identifier: Apache-2.0
 * relay/certificates.h - what receivers and exporters make TLS connections with. All of it is read
 * at the start, where a fault ends the start; later the keys room reads it again, where a fault
 * changes nothing: what was there last is good until something better comes. */
#ifndef RELAY_CERTIFICATES_H
#define RELAY_CERTIFICATES_H

#include "base/tls.h"
#include "conf/conf.h"
#include "receivers/receiver.h"

struct keys_item;
struct relay;
struct reload_note;

/* One place that has certificates. */
struct certificate {
	struct certificates *all;
	struct tls *tls;                      /* NULL: plain text */
	const struct conf_exporter *exporter; /* of an exporter's; NULL: there is none */
	struct keys_item *item;               /* its files; NULL: it has none of its own */
	char fault[TLS_NOTE];                 /* the last one, to say each of them once */
	/* For all rooms. */
	_Atomic int64_t expiry; /* of our own leaf, Unix seconds; 0: none */
	_Atomic uint64_t since; /* as in struct world_since */
};

/* Of the main room until the rooms start, then of the keys room. */
struct certificates {
	const struct conf *conf;
	struct relay *relay; /* to whom news go */
	struct certificate receivers[PORTS];
	struct certificate exporters[CONF_MAX_EXPORTERS]; /* by slot */
};

/* Borrows conf. 0, or CONF_FAULTY. Each finding is a line `name: [warning:] FIELD: FILE: ...`. */
int certificates_load(struct certificates *c, const struct conf *conf, const char *name,
		      struct buf *findings);
void certificates_release(struct certificates *c); /* a zeroed one is fine */

/* Before the keys room starts: has it look at the files, and send what changes to the rooms that
 * use it. 0 or negative. */
int certificates_watch(struct certificates *c, struct relay *relay);

/* Keys room: goes by the next world, with what the note has for it. 0 or negative. */
int certificates_take(struct certificates *c, const struct reload_note *n);

/* For an exporter, or a port, by itself: NULL for plain text, or where notes->fault says why. */
struct tls *certificates_client(const struct conf_exporter *e, struct tls_notes *notes);
struct tls *certificates_server(const struct conf *conf, enum port port, struct tls_notes *notes);

#endif
