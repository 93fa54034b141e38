/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/room.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

static struct mail *take_all(struct room *r)
{
	pthread_mutex_lock(&r->lock);
	struct mail *m = r->first;
	r->first = r->last = NULL;
	r->posts = r->weight = r->hush = 0;
	pthread_mutex_unlock(&r->lock);
	return m;
}

void room_read(struct room *r)
{
	struct mail *m = take_all(r);
	while (m != NULL) {
		struct mail *next = m->next;
		r->rules->on_mail(r->ctx, m);
		m = next;
	}
	if (r->rules->on_round != NULL)
		r->rules->on_round(r->ctx);
}

/* A counter that is not read yet is a room that is awake: nothing to do on EAGAIN. */
static void wake_up(const struct room *r)
{
	eventfd_write(r->wake_fd, 1);
}

/* Mail that was put before the stop is read before it works. */
static void on_wake(struct ev_loop *loop, struct ev_io *wake, int events)
{
	struct room *r = wake->data;
	if (events & EV_ERROR) { /* deaf: the keeper starts the next worker */
		fail(-errno, "room %s: the kernel does not watch its mailbox", r->rules->name);
		_exit(EX_OSERR);
	}
	eventfd_t count;
	eventfd_read(r->wake_fd, &count);
	pthread_mutex_lock(&r->lock);
	bool stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	room_read(r);
	if (stop)
		ev_break(loop, EVBREAK_ALL);
}

void room_hush(struct room *r, size_t weight)
{
	pthread_mutex_lock(&r->lock);
	r->hush = weight != 0 ? weight : 1;
	pthread_mutex_unlock(&r->lock);
}

int room_init(struct room *r, const struct room_rules *rules, void *ctx)
{
	*r = (struct room){.rules = rules, .ctx = ctx};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return fail(-errno, "room %s: no eventfd", rules->name);
	r->loop = ev_loop_new(EVFLAG_AUTO);
	if (r->loop == NULL) {
		close(fd);
		return fail(-ENOMEM, "room %s: no event loop", rules->name);
	}
	r->wake_fd = fd;
	pthread_mutex_init(&r->lock, NULL);
	ev_io_init(&r->wake, on_wake, fd, EV_READ);
	r->wake.data = r;
	ev_io_start(r->loop, &r->wake);
	return 0;
}

static void *run(void *arg)
{
	struct room *r = arg;
	wake_up(r); /* mail may have come before the thread */
	ev_run(r->loop, 0);
	return NULL;
}

int room_start(struct room *r)
{
	int rc = pthread_create(&r->thread, NULL, run, r);
	if (rc != 0)
		return fail(-rc, "room %s: no thread", r->rules->name);
	pthread_setname_np(r->thread, r->rules->name);
	r->running = true;
	return 0;
}

/* One wake-up for a whole round; in a hush, one when it has gone far enough. */
static bool wakes(const struct room *r, bool was_empty, size_t weight)
{
	if (r->hush == 0)
		return was_empty;
	if (weight == 0)
		return true; /* an answer, and seldom */
	bool heavy = r->weight >= r->hush && r->weight - weight < r->hush;
	return heavy || r->posts == r->rules->limit / 2;
}

static int put(struct room *r, struct mail *m, bool may_refuse, size_t weight)
{
	m->next = NULL;
	pthread_mutex_lock(&r->lock);
	if (may_refuse && r->posts >= r->rules->limit) {
		pthread_mutex_unlock(&r->lock);
		return ROOM_FULL;
	}
	bool was_empty = r->first == NULL;
	if (was_empty)
		r->first = m;
	else
		r->last->next = m;
	r->last = m;
	r->posts += may_refuse;
	r->weight += weight;
	bool wake = wakes(r, was_empty, weight);
	pthread_mutex_unlock(&r->lock);
	if (wake)
		wake_up(r);
	return 0;
}

int room_post(struct room *r, struct mail *m, size_t weight)
{
	return put(r, m, true, weight);
}

void room_answer(struct room *r, struct mail *m)
{
	put(r, m, false, 0);
}

void room_tell(struct room *r, struct mail *m, size_t weight)
{
	put(r, m, false, weight);
}

static void ask_to_stop(struct room *r)
{
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	wake_up(r);
}

void room_stop(struct room *r)
{
	if (!r->running)
		return;
	ask_to_stop(r);
	pthread_join(r->thread, NULL);
	r->running = false;
}

bool room_stop_within(struct room *r, unsigned ms)
{
	struct timespec until;
	if (!r->running)
		return true;
	ask_to_stop(r);
	clock_gettime(CLOCK_REALTIME, &until);
	uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)ms * 1000000;
	until.tv_sec += (time_t)(ns / 1000000000);
	until.tv_nsec = (long)(ns % 1000000000);
	if (pthread_timedjoin_np(r->thread, NULL, &until) != 0)
		return false;
	r->running = false;
	return true;
}

void room_finish(struct room *r)
{
	if (r->loop == NULL)
		return;
	for (struct mail *m = take_all(r), *next; m != NULL; m = next) {
		next = m->next;
		if (r->rules->on_late != NULL)
			r->rules->on_late(m);
	}
	ev_io_stop(r->loop, &r->wake);
	ev_loop_destroy(r->loop);
	close(r->wake_fd);
	pthread_mutex_destroy(&r->lock);
	r->loop = NULL;
}
