/* SPDX-License-Identifier: Apache-2.0
 * conf/yaml.h - a YAML file as a small tree that knows where each thing stands.
 * A plain subset: one document of maps, lists and scalars; no aliases, no tags, nesting, size and
 * number of values bounded. ${env:NAME} and ${env:NAME:-default} inside scalars are put in here. */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include "base/arena.h"
#include "base/slice.h"
#include "conf/report.h"

enum {
	/* of the file; also of one value, when the environment is put in */
	YAML_MAX_BYTES = 1 << 20,
	YAML_MAX_TREE = 16 << 20,
	YAML_MAX_DEPTH = 16,
	YAML_MAX_NODES = 16384
};

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

/* How a scalar stands in the file: whether a byte of its text can be pointed at. */
enum node_quote {
	QUOTE_NONE,
	QUOTE_SINGLE,
	QUOTE_DOUBLE,
	QUOTE_OTHER /* a block, over several lines, or with something put in: it cannot */
};

struct node {
	enum node_kind kind;
	struct place at, key_at;
	const char *key; /* in a map; else NULL */
	char *text;      /* of a scalar; never NULL there */
	bool empty;      /* nothing, ~ or null: all of a section's keys may be commented out */
	bool from_env;   /* some of the text came out of the environment: it is never shown */
	bool literal;    /* some of the text stands in the file */
	bool bad;        /* reported already: nobody need look at it again */
	enum node_quote quote;
	struct node *first, *last, *next, *parent;
};

struct document {
	struct arena arena;
	struct node *root; /* NULL for an empty file */
};

/* Reads all of `text`; findings go into `r`. Gives whether the tree is whole: after a fault of
 * syntax it ends where the fault is. */
bool document_init(struct document *d, struct slice text, struct report *r);
void document_finish(struct document *d); /* wipes what came out of the environment */

const struct node *node_child(const struct node *map,
			      const char *key); /* NULL: none; map may be NULL */

#endif
