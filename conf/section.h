/* SPDX-License-Identifier: Apache-2.0
 * conf/section.h - from the tree of a file into structs, by the option table: sections, which are
 * maps, and lists of maps. */
#ifndef CONF_SECTION_H
#define CONF_SECTION_H

#include "conf/conf.h"
#include "conf/option.h"

/* Reads a map whose keys belong to `section` into `base`, sections within it included. Lists are
 * left to list_read(). */
void section_read(const char *section, const struct node *map, void *base, struct report *r);

/* A new item at the end of a list of `c`, with its defaults. NULL: no memory, which is reported. */
void *list_add(struct conf *c, const struct option_list *l, struct report *r);

/* Adds an item for each of `list`, which may be NULL, and has `read` fill it in. */
typedef void read_item(void *into, const struct node *item, struct report *r);
void list_read(struct conf *c, const char *key, const struct node *list, read_item *read,
	       struct report *r);

void lists_free(struct conf *c); /* all of them */

#endif
