/* SPDX-License-Identifier: Apache-2.0
 * base/list.h - doubly linked lists whose links live inside their members.
 * A head says what it holds: `struct list open; (batch.open_link)`. A member that is on no list
 * points at itself, so list_del() on it is harmless. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

// NOLINTBEGIN(bugprone-macro-parentheses): pos and tmp are names
/* Walks heads of the list; the member in `pos` may be removed, its successor may not. */
#define list_for_each_safe(pos, tmp, head)                                                         \
	for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head);                     \
	     pos = tmp, tmp = pos->next)
// NOLINTEND(bugprone-macro-parentheses)

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

static inline void list_del(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

#endif
