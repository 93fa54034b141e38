/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/section.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/option.h"

enum { KEY_MAX = 160 };

static void report_unknown(const char *section, const struct node *n, struct report *r)
{
	struct buf hint = {.data = NULL};
	option_suggest(section, n->key, &hint);
	report_fault(r, n->key_at, "unknown key \"%.64s\"%s%s; %.*s", n->key,
		     *section != '\0' ? " in " : "", section, (int)hint.len,
		     hint.data != NULL ? (const char *)hint.data : "");
	buf_finish(&hint);
}

void section_read(const char *section, const struct node *map, void *base, struct report *r)
{
	if (map->bad || map->empty)
		return; /* a section whose keys are all commented out */
	if (map->kind != NODE_MAP) {
		report_fault(r, map->at, "%s: wanted a map of keys and values",
			     *section != '\0' ? section : "the file");
		return;
	}
	for (const struct node *n = map->first; n != NULL; n = n->next) {
		char key[KEY_MAX];
		int len = snprintf(key, sizeof(key), "%s%s%s", section, *section != '\0' ? "." : "",
				   n->key);
		bool word = *n->key != '\0' && strpbrk(n->key, ".[") == NULL && len < KEY_MAX;
		const struct option *o = word ? option_find(key) : NULL;
		if (n->bad)
			continue;
		bool is_map = word && n->kind == NODE_MAP && option_is_section(key);
		if (o != NULL && !is_map) /* sampling.rules[].keep may be either */
			option_set(o, base, n, r);
		else if (word && option_is_section(key))
			section_read(key, n, base, r);
		else if (option_list_find(key) == NULL) /* lists: list_read() */
			report_unknown(section, n, r);
	}
}

/* The fields of struct conf that hold a list. */
static void *list_items(const struct conf *c, const struct option_list *l)
{
	void *items;
	memcpy(&items, (const char *)c + l->items, sizeof(items));
	return items;
}

static size_t *list_count(struct conf *c, const struct option_list *l)
{
	return (size_t *)(void *)((char *)c + l->count);
}

static void item_name(const struct option_list *l, char out[KEY_MAX])
{
	snprintf(out, KEY_MAX, "%s[]", l->key);
}

void *list_add(struct conf *c, const struct option_list *l, struct report *r)
{
	size_t *n = list_count(c, l);
	char name[KEY_MAX];
	char *more = reallocarray(list_items(c, l), *n + 1, l->item_size);
	if (more == NULL) {
		r->no_memory = true;
		return NULL;
	}
	memcpy((char *)c + l->items, &more, sizeof(more));
	void *item = more + (*n)++ * l->item_size;
	memset(item, 0, l->item_size);
	item_name(l, name);
	options_default(name, item, r);
	return item;
}

void list_read(struct conf *c, const char *key, const struct node *list, read_item *read,
	       struct report *r)
{
	const struct option_list *l = option_list_find(key);
	if (list == NULL || list->bad || list->empty)
		return;
	if (list->kind != NODE_LIST) {
		report_fault(r, list->at, "%s: wanted a list, each one a map: - { name: ... }",
			     key);
		return;
	}
	for (const struct node *item = list->first; item != NULL; item = item->next) {
		if (*list_count(c, l) == l->max) {
			report_fault(r, item->at, "%s: at most %zu", key, l->max);
			return;
		}
		void *into = list_add(c, l, r);
		if (into == NULL || r->no_memory)
			return;
		read(into, item, r);
	}
}

void lists_free(struct conf *c)
{
	for (size_t i = 0; i < N_OPTION_LISTS; i++) {
		const struct option_list *l = &OPTION_LISTS[i];
		char *items = list_items(c, l), name[KEY_MAX];
		item_name(l, name);
		for (size_t k = 0; k < *list_count(c, l); k++)
			options_free(name, items + k * l->item_size);
		free(items);
	}
}
