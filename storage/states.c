/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/states.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "storage/sealed.h"

enum { SLOTS = 2, SLOT_NAME_CAP = STATES_NAME_MAX + 3 };

static void slot_name(char *out, const char *name, int slot)
{
	assert(strlen(name) < STATES_NAME_MAX);
	snprintf(out, SLOT_NAME_CAP, "%s.%c", name, slot == 0 ? '0' : '1');
}

/* The ruling that wrote what is in the slot. 0, JOURNAL_NONE (nothing that counts), JOURNAL_BAD or
 * negative. */
static int look(struct journal_txn *t, const char *name, int slot, uint64_t durable,
		uint64_t *number, struct slice *bytes)
{
	char key[SLOT_NAME_CAP];
	struct slice value;
	slot_name(key, name, slot);
	int rc = journal_get_state(t, key, &value);
	if (rc == 0 && sealed_read(value, key, number, bytes) != 0)
		rc = JOURNAL_BAD;
	if (rc == 0 && *number > durable)
		rc = JOURNAL_NONE;
	return rc;
}

/* The slot that counts, or -1, JOURNAL_NONE and so on in *rc. One that is damaged may have been the
 * newer one, so the other does not stand in for it, unless it is of the last ruling. */
static int newest(struct journal_txn *t, const char *name, uint64_t durable, struct slice *bytes,
		  int *rc)
{
	uint64_t number[SLOTS];
	struct slice found[SLOTS];
	int slot = -1, code[SLOTS];
	*rc = JOURNAL_NONE;
	for (int i = 0; i < SLOTS; i++) {
		code[i] = look(t, name, i, durable, &number[i], &found[i]);
		if (code[i] == 0 && (slot < 0 || number[i] > number[slot]))
			slot = i;
		else if (code[i] != 0 && code[i] != JOURNAL_NONE)
			*rc = code[i];
	}
	if (slot >= 0 && (*rc == JOURNAL_NONE || number[slot] == durable))
		*rc = 0;
	if (slot >= 0)
		*bytes = found[slot];
	return slot;
}

int states_get(struct journal_txn *t, const char *name, uint64_t durable, struct slice *bytes)
{
	int rc;
	newest(t, name, durable, bytes, &rc);
	return rc;
}

void states_put(struct journal_txn *t, const char *name, uint64_t number, uint64_t durable,
		struct slice bytes)
{
	char key[SLOT_NAME_CAP];
	struct slice old;
	uint64_t was;
	int rc, slot = newest(t, name, durable, &old, &rc) == 0 ? 1 : 0;
	if (look(t, name, !slot, durable, &was, &old) == JOURNAL_BAD) {
		slot_name(key, name, !slot);
		journal_delete_state(t, key); /* it would hide what comes now */
	}
	slot_name(key, name, slot);
	uint8_t *at = journal_reserve_state(t, key, SEALED_HEADER + bytes.len);
	if (at != NULL)
		sealed_write(at, key, number, bytes);
}

void states_delete_after(struct journal_txn *t, uint64_t durable)
{
	char key[SLOT_NAME_CAP] = "";
	struct slice value, bytes;
	uint64_t number;
	while (t->rc == 0 && journal_next_state(t, key, sizeof(key), &value) == 0)
		if (sealed_read(value, key, &number, &bytes) == 0 && number > durable)
			journal_delete_state(t, key);
}
