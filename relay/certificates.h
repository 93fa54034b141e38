/* SPDX-License-Identifier: Apache-2.0
 * relay/certificates.h - what receivers and exporters make TLS connections with. All of it is read
 * at the start, where a fault ends the start; later the keys room reads it again, where a fault
 * changes nothing: what was there last is good until something better comes. */
#ifndef RELAY_CERTIFICATES_H
#define RELAY_CERTIFICATES_H

#include "base/tls.h"
#include "conf/conf.h"
#include "receivers/receiver.h"

struct relay;

/* One place that has certificates. */
struct certificate {
	struct tls *tls;        /* NULL: plain text */
	_Atomic int64_t expiry; /* of our own leaf, Unix seconds, for all rooms; 0: none */
	struct relay *relay;    /* to whom news go */
	char fault[TLS_NOTE];   /* the last one, to say each of them once */
};

/* Of the main room until the rooms start, then of the keys room. Only `expiry` is everybody's. */
struct certificates {
	const struct conf *conf;
	struct certificate receivers[PORTS], exporters[CONF_MAX_EXPORTERS];
};

/* Borrows conf. 0, or CONF_FAULTY. Each finding is a line `name: [warning:] FIELD: FILE: ...`. */
int certificates_load(struct certificates *c, const struct conf *conf, const char *name,
		      struct buf *findings);
void certificates_release(struct certificates *c); /* a zeroed one is fine */

/* Before the keys room starts: has it look at the files, and send what changes to the rooms that
 * use it. 0 or negative. */
int certificates_watch(struct certificates *c, struct relay *relay);

/* Those of an exporter that there was at the start; NULL for others. */
const struct certificate *certificates_find(const struct certificates *c, const char *exporter);

/* For an exporter by itself: NULL for plain text, or where notes->fault says why. */
struct tls *certificates_client(const struct conf_exporter *e, struct tls_notes *notes);

#endif
