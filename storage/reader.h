/* SPDX-License-Identifier: Apache-2.0
 * storage/reader.h - other rooms' read transactions, and the gate that keeps them out while the
 * store room maps the journal anew. Private to storage/.
 *
 * The gate counts the readers between begin and end; its top bit says closed. A reader touches its
 * transaction only inside, the store room only when the gate is closed and nobody is inside. So
 * neither waits for the other. */
#ifndef STORAGE_READER_H
#define STORAGE_READER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "storage/journal.h"

enum { READERS_MAX = 16 };

struct readers {
	struct journal *journal;
	_Atomic unsigned gate;
	struct store_reader {
		struct readers *all;
		_Atomic bool taken;
		/* between end and begin it is reset, ready to be renewed; NULL at first */
		MDB_txn *txn;
	} reader[READERS_MAX];
};

void readers_init(struct readers *rs, struct journal *j);

/* Lets nobody in any more, and says whether all are out: then their transactions are ended and the
 * journal may be closed. To be asked again when not. */
bool readers_shut(struct readers *rs);
void readers_open(struct readers *rs);

#endif
