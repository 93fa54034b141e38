/* SPDX-License-Identifier: Apache-2.0
 * relay/path.h - the doors between the rooms, in the order a span passes them. Pulls in nothing.
 *
 *   intake --path_received--> store --MAIL_FILED--> judge --MAIL_FILED--> export
 *      ^                        |  ^                                         |
 *      +-------MAIL_BATCH-------+  +--------------path_progress-------------+
 *
 * One door can refuse: path_received() (the client keeps its spans and is told when to come back)
 * and none of the others, for each of their mails was paid for by a request that is on disk. */
#ifndef RELAY_PATH_H
#define RELAY_PATH_H

#include <stdint.h>

struct batch;
struct intake;
struct export;
struct progress;
struct slice;

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

#endif
