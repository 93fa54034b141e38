/* SPDX-License-Identifier: Apache-2.0
 * relay/room.h - a room: a thread, its loop and its mailbox. What a room holds is touched by its
 * thread alone. Rooms share by giving away: after room_post() returned 0, do not look back. The
 * only mutex of the program is in room.c. */
#ifndef RELAY_ROOM_H
#define RELAY_ROOM_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/mail.h"

enum { ROOM_FULL = 1 };

struct room_rules {
	const char *name; /* at most 15 characters, as top(1) shows it */
	size_t limit;     /* posts that may wait; answers are not counted */
	void (*on_mail)(void *ctx, struct mail *m); /* takes m */
	void (*on_round)(void *ctx);                /* after each wake-up's mail; may be NULL */
	void (*on_late)(struct mail *m); /* came after the stop: frees m; NULL: nothing to free */
};

struct room {
	const struct room_rules *rules;
	void *ctx;
	struct ev_loop *loop;
	int wake_fd; /* an eventfd: libev's ev_async aborts when the kernel refuses its pipe */
	struct ev_io wake;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* over the next seven */
	struct mail *first, *last;
	size_t posts, weight; /* of what waits */
	size_t hush;          /* the weight at which posts wake the room; 0: the first one does */
	bool stop;
};

int room_init(struct room *r, const struct room_rules *rules, void *ctx); /* 0 or negative */
int room_start(struct room *r);

/* Any room. A request takes m or is refused; an answer is never refused, for a request paid for it.
 */
int room_post(struct room *r, struct mail *m, size_t weight); /* 0, ROOM_FULL */
void room_answer(struct room *r, struct mail *m);
void room_tell(struct room *r, struct mail *m,
	       size_t weight); /* an answer that a hush holds back */

/* For a room that would only put posts aside until a timer of its own: until it reads its mail
 * again, posts and what it is told wake it when they weigh so much together (or half of its limit
 * waits), answers still at once. A thread that is woken for each small request costs more than the
 * request. room_read() is for that timer: it does what a wake-up does. */
void room_hush(struct room *r, size_t weight);
void room_read(struct room *r);

/* Ends the thread when its mail is read; room_finish() frees the room, and what came after that by
 * on_late: nobody reads it, so rooms are stopped in the order of the path. Shutdown is the one
 * place where a room is waited for. */
void room_stop(struct room *r);
/* For a room that may hang in a system call: false when its thread has not ended in time. It still
 * runs then, and nothing that it uses may be freed. */
bool room_stop_within(struct room *r, unsigned ms);
void room_finish(struct room *r);

#endif
