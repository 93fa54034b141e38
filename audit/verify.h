/* SPDX-License-Identifier: Apache-2.0
 * audit/verify.h - whether an audit log is as it was written: over the bytes of its files, in the
 * order of their names, first those of the chain, then those with blocks of decisions. The first
 * thing that is wrong is the verdict; nothing is looked at after it. Pure.
 *
 * What it can know. With the key: every change of a record, every record that is missing, comes
 * twice or stands elsewhere, and every block that is not what the chain says. What was cut off at
 * the end, only a checkpoint can tell: a head (seq and mac) that somebody else kept. Without a key
 * whoever may write the folder can make all of it anew, and again it takes a checkpoint. */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include "audit/block.h"
#include "audit/chain.h"

enum audit_damage {
	AUDIT_WHOLE,
	AUDIT_EDITED,
	AUDIT_DELETED,
	AUDIT_INSERTED,
	AUDIT_TRUNCATED, /* against the checkpoint */
	AUDIT_RECHAINED, /* made anew by somebody who has not the key; or it is another checkpoint
			  */
	AUDIT_TORN, /* the last record is not whole: a crash, if a relay has not mended it yet */
	AUDIT_BLOCK_EDITED,
	AUDIT_BLOCK_DELETED,
	AUDIT_NO_MEMORY,
	AUDIT_DAMAGES
};
extern const char *const AUDIT_DAMAGE_NAMES[AUDIT_DAMAGES];

enum { AUDIT_KEYS = 8 };

/* A head that somebody else kept; `len` bytes of its mac, at least 8. seq 0: none. */
struct audit_checkpoint {
	uint64_t seq;
	uint8_t mac[AUDIT_MAC];
	size_t len;
};
/* SEQ:MAC, with 16 to 64 hexadecimal digits. */
bool audit_checkpoint_read(const char *text, struct audit_checkpoint *out);

struct audit_verifier {
	/* Keys that were in use; another one may begin with a file. None: plain SHA-256. */
	struct slice keys[AUDIT_KEYS];
	size_t n_keys, key;
	struct audit_checkpoint checkpoint;
	struct audit_head head;
	uint64_t first;                      /* seq of the first record that is held */
	uint64_t retired_seq, retired_block; /* what the chain says was given up by age or size */
	bool met_checkpoint;
	struct audit_anchor {
		uint64_t seq, block;
		uint8_t hash[AUDIT_BLOCK_HASH];
	} * anchors; /* heap */
	size_t n_anchors, cap_anchors, next_anchor;
	uint64_t unanchored; /* blocks behind the last anchor: a crash, or the relay runs */
	uint64_t blocks, decisions;
	/* The verdict: of which record, or, for blocks, the one that anchors it. */
	enum audit_damage damage;
	uint64_t seq;
};

/* The rest of *v is zero but for keys and checkpoint. audit_verify_finish() frees. */
void audit_verify_chain(struct audit_verifier *v, struct slice file, bool is_last);
void audit_verify_chain_end(struct audit_verifier *v);
void audit_verify_blocks(struct audit_verifier *v, struct slice file);
void audit_verify_blocks_end(struct audit_verifier *v);
void audit_verify_finish(struct audit_verifier *v);

#endif
