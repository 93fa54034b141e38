/* SPDX-License-Identifier: Apache-2.0 */
#include "base/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"

enum { DIGEST = 32, READ_AT_ONCE = 16 << 10, FOLDERS = 2, UNWATCHED_MS = 1000 };
static const uint32_t EVENTS = IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_CREATE |
			       IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

struct file {
	char *path;
	bool there;
	uint8_t digest[DIGEST];
	int folders[FOLDERS]; /* watch descriptors of inotify: as named, as linked; -1: none */
};

struct watch_group {
	struct list link; /* watch.groups */
	struct watch *watch;
	struct file files[WATCH_FILES];
	size_t n;
	void (*on_change)(void *ctx);
	void *ctx;
};

struct watch {
	struct ev_loop *loop;
	int fd; /* of inotify; -1: there is none */
	struct ev_io events;
	struct ev_timer debounce, poll;
	uint64_t poll_ms;
	struct list groups; /* (watch_group.link) */
};

/* ---- folders ---- */

static bool is_used(const struct watch *w, int folder)
{
	list_for_each_safe(pos, tmp, &w->groups)
	{
		const struct watch_group *g = container_of(pos, struct watch_group, link);
		for (size_t i = 0; i < g->n; i++)
			for (int k = 0; k < FOLDERS; k++)
				if (g->files[i].folders[k] == folder)
					return true;
	}
	return false;
}

static void set_folder(struct watch *w, int *folder, int now)
{
	int old = *folder;
	*folder = now;
	if (old >= 0 && old != now && !is_used(w, old))
		inotify_rm_watch(w->fd, old);
}

/* The folder of what the path names; -1 if it cannot be watched. The kernel gives the same number
 * for the same folder, and another one for a folder that took its place. */
static int watch_folder(const struct watch *w, const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
	if (w->fd < 0 || len >= sizeof(folder))
		return -1;
	memcpy(folder, slash == NULL ? "." : path, len);
	folder[len] = '\0';
	return inotify_add_watch(w->fd, folder, EVENTS);
}

/* Gives whether all that happens will be told. */
static bool watch_folders(struct watch *w, struct file *f)
{
	char real[PATH_MAX];
	set_folder(w, &f->folders[0], watch_folder(w, f->path));
	bool linked = realpath(f->path, real) != NULL;
	set_folder(w, &f->folders[1], linked ? watch_folder(w, real) : -1);
	return f->folders[0] >= 0 && (!linked || f->folders[1] >= 0);
}

/* ---- what is in a file ---- */

/* 0, or negative: there is nothing to read. What is no plain file has nothing to say either, and is
 * not waited for. */
static int digest_of(int fd, uint8_t digest[DIGEST])
{
	struct stat st;
	uint8_t bytes[READ_AT_ONCE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	ssize_t n = -1;
	size_t seen = 0;
	if (md == NULL || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		goto done;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0 && seen < WATCH_READ_MAX) {
		EVP_DigestUpdate(md, bytes, (size_t)n);
		seen += (size_t)n;
	}
	/* who may read it is part of what a reader judges */
	EVP_DigestUpdate(md, &st.st_mode, sizeof(st.st_mode));
	if (n >= 0 && EVP_DigestFinal_ex(md, digest, NULL) != 1)
		n = -1;
	explicit_bzero(bytes, sizeof(bytes));
done:
	EVP_MD_CTX_free(md);
	return n >= 0 ? 0 : -1;
}

/* Gives whether it is not what it was. */
static bool look_at(struct file *f)
{
	uint8_t digest[DIGEST] = {0};
	bool was = f->there;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	f->there = fd >= 0 && digest_of(fd, digest) == 0;
	if (fd >= 0)
		close(fd);
	bool changed = was != f->there || memcmp(digest, f->digest, DIGEST) != 0;
	memcpy(f->digest, digest, DIGEST);
	return changed;
}

/* ---- looking ---- */

static void set_poll(struct watch *w, bool all_watched)
{
	uint64_t ms = all_watched || w->poll_ms < UNWATCHED_MS ? w->poll_ms : UNWATCHED_MS;
	ev_timer_stop(w->loop, &w->poll);
	ev_timer_set(&w->poll, (double)ms / 1000., 0.);
	ev_timer_start(w->loop, &w->poll);
}

/* The folders first: what changes after that is told, what changed before is seen. */
static bool look_at_group(struct watch_group *g, bool *all_watched)
{
	bool changed = false;
	for (size_t i = 0; i < g->n; i++) {
		bool watched = watch_folders(g->watch, &g->files[i]);
		*all_watched = *all_watched && watched;
		changed = look_at(&g->files[i]) || changed;
	}
	return changed;
}

void watch_look(struct watch *w)
{
	bool all_watched = true;
	ev_timer_stop(w->loop, &w->debounce);
	list_for_each_safe(pos, tmp, &w->groups)
	{
		struct watch_group *g = container_of(pos, struct watch_group, link);
		if (look_at_group(g, &all_watched))
			g->on_change(g->ctx);
	}
	set_poll(w, all_watched);
}

static void on_due(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	(void)loop, (void)revents;
	watch_look(timer->data);
}

/* What happened is seen by looking; here it is only noted that something did. It is looked so long
 * after the first event, not the last one: a folder with much traffic is not to hide a change. */
static void on_events(struct ev_loop *loop, struct ev_io *io, int revents)
{
	(void)revents;
	struct watch *w = io->data;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	while (read(w->fd, events, sizeof(events)) > 0)
		;
	if (!ev_is_active(&w->debounce)) {
		ev_timer_set(&w->debounce, WATCH_DEBOUNCE_MS / 1000., 0.);
		ev_timer_start(loop, &w->debounce);
	}
}

/* ---- the contract ---- */

struct watch *watch_create(struct ev_loop *loop, uint64_t poll_ms)
{
	struct watch *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->loop = loop;
	w->poll_ms = poll_ms;
	list_init(&w->groups);
	ev_timer_init(&w->debounce, on_due, 0., 0.);
	ev_timer_init(&w->poll, on_due, 0., 0.);
	w->events.data = w->debounce.data = w->poll.data = w;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0) {
		log_warn("files are not watched, only read again every second", "reason=\"%s\"",
			 strerrordesc_np(errno));
		return w;
	}
	ev_io_init(&w->events, on_events, w->fd, EV_READ);
	w->events.data = w;
	ev_io_start(loop, &w->events);
	return w;
}

void watch_set_poll(struct watch *w, uint64_t poll_ms)
{
	bool sooner = poll_ms < w->poll_ms;
	w->poll_ms = poll_ms;
	if (sooner && ev_is_active(&w->poll))
		set_poll(w, true);
}

static void group_free(struct watch_group *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->files[i].path);
	free(g);
}

struct watch_group *watch_add(struct watch *w, const char *const *paths, size_t n,
			      void (*on_change)(void *ctx), void *ctx)
{
	struct watch_group *g = n <= WATCH_FILES ? calloc(1, sizeof(*g)) : NULL;
	bool all_watched = true;
	if (g == NULL)
		return NULL;
	g->watch = w;
	g->on_change = on_change;
	g->ctx = ctx;
	for (size_t i = 0; i < n; i++) {
		struct file *f = &g->files[g->n++];
		for (int k = 0; k < FOLDERS; k++)
			f->folders[k] = -1;
		f->path = strdup(paths[i]);
		if (f->path == NULL) {
			group_free(g);
			return NULL;
		}
	}
	list_add_tail(&w->groups, &g->link);
	(void)look_at_group(g, &all_watched);
	if (!all_watched || !ev_is_active(&w->poll))
		set_poll(w, all_watched);
	return g;
}

void watch_remove(struct watch_group *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < g->n; i++)
		for (int k = 0; k < FOLDERS; k++)
			set_folder(g->watch, &g->files[i].folders[k], -1);
	list_del(&g->link);
	group_free(g);
}

void watch_destroy(struct watch *w)
{
	if (w == NULL)
		return;
	list_for_each_safe(pos, tmp, &w->groups)
	    group_free(container_of(pos, struct watch_group, link));
	ev_timer_stop(w->loop, &w->debounce);
	ev_timer_stop(w->loop, &w->poll);
	if (w->fd >= 0) {
		ev_io_stop(w->loop, &w->events);
		close(w->fd);
	}
	free(w);
}
