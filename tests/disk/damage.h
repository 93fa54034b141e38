/* SPDX-License-Identifier: Apache-2.0
 * tests/disk/damage.h - what may happen to a file on a disk. */
#ifndef TESTS_DISK_DAMAGE_H
#define TESTS_DISK_DAMAGE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

enum { PAGE = 4096, FILE_MAX = 64 << 20 };
enum damage { FLIP_HEADER, FLIP, ZERO_PAGE, OLD_PAGE, CUT_SHORT, SWAP_PAGES, DAMAGES };
static const char *const DAMAGE_NAMES[DAMAGES] = {"bit flipped in a page header",
						  "bit flipped anywhere",
						  "page zeroed",
						  "old page",
						  "cut short",
						  "pages swapped"};
struct file {
	uint64_t len;
	uint8_t data[FILE_MAX];
};

static inline void damage_read(struct file *f, const char *dir, const char *name)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, f->data, sizeof(f->data));
	f->len = n > 0 ? (uint64_t)n : 0;
	close(fd);
}

static inline void damage_write(const struct file *f, const char *dir, const char *name)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (write(fd, f->data, f->len) != (ssize_t)f->len)
		exit(1);
	close(fd);
}

static inline uint64_t damage_page(struct world *w, const struct file *f)
{
	return (uint64_t)world_random(w, (uint32_t)(f->len / PAGE)) * PAGE;
}

static inline void damage_flip(struct world *w, struct file *f, uint64_t at)
{
	f->data[at] ^= (uint8_t)(1 << world_random(w, 8));
}

static inline void damage_swap(struct file *f, uint64_t a, uint64_t b)
{
	uint8_t page[PAGE];
	memcpy(page, f->data + a, PAGE);
	memmove(f->data + a, f->data + b, PAGE);
	memcpy(f->data + b, page, PAGE);
}

/* Makes `f` of `now`, an old page of `early`. */
static inline void damage(struct world *w, struct file *f, const struct file *now,
			  const struct file *early, enum damage kind, char *what, size_t cap)
{
	memcpy(f->data, now->data, now->len);
	f->len = now->len;
	uint64_t at = damage_page(w, f), other = damage_page(w, f);
	if (kind == FLIP_HEADER)
		damage_flip(w, f, at += world_random(w, 16));
	else if (kind == FLIP)
		damage_flip(w, f, at += world_random(w, PAGE));
	else if (kind == ZERO_PAGE)
		memset(f->data + at, 0, PAGE);
	else if (kind == OLD_PAGE) {
		at = damage_page(w, early);
		memcpy(f->data + at, early->data + at, PAGE);
	} else if (kind == CUT_SHORT)
		f->len = world_random(w, 2) ? at : at + world_random(w, PAGE);
	else
		damage_swap(f, at, other);
	snprintf(what, cap, "%s at %llu", DAMAGE_NAMES[kind], (unsigned long long)at);
}

#endif
