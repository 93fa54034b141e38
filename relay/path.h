/* SPDX-License-Identifier: Apache-2.0
 * relay/path.h - the doors between the rooms, in the order a span passes them. Pulls in nothing.
 *
 *   intake --path_received--> store -----------MAIL_FILED-----------> export
 *      ^                      |  ^ ^                                    |
 *      +------MAIL_BATCH------+  | +-------------path_progress----------+
 *                             |  |
 *                MAIL_NOTICED v  | MAIL_RULING
 *                             judge
 *
 * Where nothing is judged, what is on disk is filed at once; else when a ruling keeps it.
 *
 * What a backend does not take in time goes to the exporter's outbox, what it calls bad to its
 * quarantine, and out of them again:
 *
 *   export --path_spill, path_seal--> spill --sender_on_spilled, sender_on_sealed--> export
 *
 * What an exporter's credential is, the keys room reads and tells:
 *
 *   export --path_refused--> keys --sender_on_key--> export
 *
 * One door can refuse: path_received() (the client keeps its spans and is told when to come back)
 * and none of the others, for each of their mails was paid for by a request that is on disk. */
#ifndef RELAY_PATH_H
#define RELAY_PATH_H

#include <stdint.h>

struct batch;
struct intake;
struct export;
struct key;
struct progress;
struct slice;
struct spill;
struct parcel;

/* Intake room; takes b, whose request has been vetted and is ready for the disk. Its answer comes
 * back as MAIL_BATCH in the same room. */
void path_received(struct intake *in, struct batch *b);

/* Export room: reading the journal. Slices stay valid until path_read_end(); keep that under 100
 * ms. path_read_block gives 0, or positive when the block is gone. */
int path_read_begin(struct export *room);
int path_read_block(struct export *room, uint64_t block_id, struct slice *out);
void path_read_end(struct export *room);

/* Export room: an exporter tells what it got done; the store makes it durable with its next commit.
 */
void path_progress(struct export *room, unsigned exporter, const struct progress *p);

/* Export room: puts one parcel into a box of an exporter, behind all that went there before. The
 * sender owns s, body included, until sender_on_spilled(), which follows always and never from
 * within. */
void path_spill(struct export *room, struct spill *s);

/* Export room: closes the box's segment in the making, so that it can be read: sender_on_sealed()
 * follows if it held anything. `box` is an enum span_place. */
void path_seal(struct export *room, unsigned exporter, int box);

/* Export room: a backend refused an exporter's credential: its source is read again, if that was
 * not done in the last five seconds. What is new comes as sender_on_key(). */
void path_refused(struct export *room, unsigned exporter);

/* Export room, for the audit log: an exporter is held, or delivers again; what a backend made of a
 * credential. Borrows all; previous and current may be NULL. */
void path_exporter_state(struct export *room, const char *exporter, const char *is, const char *was,
			 const char *reason);
void path_credential_state(struct export *room, const char *exporter, const char *is,
			   const char *was, const struct key *current, const struct key *previous);

/* Export room: the first whole parcel of a box that ends after span `id`. Its body stays valid
 * until path_parcel_done(). What is missing before it was damaged. 0, BOX_NONE (no sealed segment
 * has it), or negative: cannot be read now. */
int path_parcel(struct export *room, unsigned exporter, int box, uint64_t id, struct parcel *p);
/* Every parcel that ends at or before `id` is needed no more. */
void path_parcel_done(struct export *room, unsigned exporter, int box, uint64_t id);

#endif
