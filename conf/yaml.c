/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/yaml.h"

#include <assert.h>
#include <yaml.h>

#include "conf/environment.h"

struct builder {
	struct document *document;
	struct report *report;
	struct node *open; /* the innermost map or list */
	const char *key;   /* waits for its value */
	struct place key_at;
	bool key_bad;
	uint32_t nodes, depth;
};

static struct place place_of(const yaml_mark_t *m)
{
	return (struct place){(uint32_t)m->line + 1, (uint32_t)m->column + 1};
}

const struct node *node_child(const struct node *map, const char *key)
{
	if (map == NULL || map->kind != NODE_MAP)
		return NULL;
	for (const struct node *n = map->first; n != NULL; n = n->next)
		if (strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

static void too_large(struct builder *b)
{
	report_fault(b->report, (struct place){0, 0}, "its values need more than %d MiB of memory",
		     YAML_MAX_TREE >> 20);
}

/* Into the arena, with a closing 0. */
static char *keep(struct builder *b, const void *bytes, size_t len)
{
	char *text = arena_alloc(&b->document->arena, len + 1);
	if (text == NULL) {
		too_large(b);
		return NULL;
	}
	if (len != 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	return text;
}

static struct node *add_node(struct builder *b, enum node_kind kind, struct place at)
{
	if (++b->nodes > YAML_MAX_NODES) {
		report_fault(b->report, at, "more than %d values", YAML_MAX_NODES);
		return NULL;
	}
	struct node *n = arena_alloc(&b->document->arena, sizeof(*n));
	if (n == NULL) {
		too_large(b);
		return NULL;
	}
	*n = (struct node){.kind = kind, .at = at, .parent = b->open};
	if (b->key != NULL) {
		n->key = b->key;
		n->key_at = b->key_at;
		n->bad = b->key_bad;
		b->key = NULL;
	}
	if (b->open == NULL)
		b->document->root = n;
	else if (b->open->first == NULL)
		b->open->first = b->open->last = n;
	else
		b->open->last = b->open->last->next = n;
	return n;
}

static bool wants_key(const struct builder *b)
{
	return b->open != NULL && b->open->kind == NODE_MAP && b->key == NULL;
}

static bool take_key(struct builder *b, const yaml_event_t *e)
{
	b->key_at = place_of(&e->start_mark);
	const char *text = (const char *)e->data.scalar.value;
	if (strlen(text) != e->data.scalar.length) {
		report_fault(b->report, b->key_at, "a key with a zero byte");
		return false;
	}
	const struct node *twin = node_child(b->open, text);
	if (twin != NULL)
		report_fault(b->report, b->key_at, "duplicate key \"%.64s\", first in line %u",
			     text, twin->key_at.line);
	b->key_bad = twin != NULL;
	b->key = keep(b, text, e->data.scalar.length);
	return b->key != NULL;
}

static bool is_nothing(const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* With the environment put in; what passed through memory on the way is wiped. */
static char *expand(struct builder *b, const yaml_event_t *e, struct node *n)
{
	const char *text = (const char *)e->data.scalar.value;
	struct buf out = {.limit = YAML_MAX_BYTES};
	struct expanded kind = {false, false};
	if (strlen(text) != e->data.scalar.length) {
		report_fault(b->report, n->at, "a value with a zero byte");
		n->bad = true;
	} else if (environment_expand(text, n->at, b->report, &out, &kind) != 0) {
		n->bad = true;
	}
	char *copy = keep(b, out.data, n->bad ? 0 : out.len);
	n->from_env = kind.from_env;
	n->literal = kind.literal;
	if (out.cap != 0)
		explicit_bzero(out.data, out.cap);
	buf_finish(&out);
	return copy;
}

static enum node_quote quote_of(const yaml_event_t *e, const char *text)
{
	bool as_it_stands = strcmp((const char *)e->data.scalar.value, text) == 0 &&
			    e->start_mark.line == e->end_mark.line;
	if (!as_it_stands)
		return QUOTE_OTHER;
	switch (e->data.scalar.style) {
	case YAML_PLAIN_SCALAR_STYLE:
		return QUOTE_NONE;
	case YAML_SINGLE_QUOTED_SCALAR_STYLE:
		return QUOTE_SINGLE;
	case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
		return QUOTE_DOUBLE;
	default:
		return QUOTE_OTHER;
	}
}

static bool take_scalar(struct builder *b, const yaml_event_t *e)
{
	if (wants_key(b))
		return take_key(b, e);
	struct node *n = add_node(b, NODE_SCALAR, place_of(&e->start_mark));
	if (n == NULL)
		return false;
	n->empty = is_nothing(e);
	n->text = expand(b, e, n);
	if (n->text == NULL)
		return false;
	n->quote = quote_of(e, n->text);
	return true;
}

static bool open_node(struct builder *b, const yaml_event_t *e, enum node_kind kind)
{
	struct place at = place_of(&e->start_mark);
	if (wants_key(b)) {
		report_fault(b->report, at, "a key must be a word, not a list or a map");
		return false;
	}
	if (++b->depth > YAML_MAX_DEPTH) {
		report_fault(b->report, at, "nested deeper than %d levels", YAML_MAX_DEPTH);
		return false;
	}
	struct node *n = add_node(b, kind, at);
	b->open = n != NULL ? n : b->open;
	return n != NULL;
}

static bool is_tagged(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return e->data.scalar.tag != NULL;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.tag != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.tag != NULL;
	default:
		return false;
	}
}

enum step { READ_ON, STOP, END };

static enum step read_on(bool taken)
{
	return taken ? READ_ON : STOP;
}

static enum step take_event(struct builder *b, const yaml_event_t *e)
{
	if (is_tagged(e)) {
		report_fault(b->report, place_of(&e->start_mark),
			     "tags (!word) have no meaning here");
		return STOP;
	}
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return read_on(take_scalar(b, e));
	case YAML_MAPPING_START_EVENT:
		return read_on(open_node(b, e, NODE_MAP));
	case YAML_SEQUENCE_START_EVENT:
		return read_on(open_node(b, e, NODE_LIST));
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		assert(b->open != NULL); /* libyaml ends only what began */
		b->open = b->open->parent;
		b->depth--;
		return READ_ON;
	case YAML_ALIAS_EVENT:
		report_fault(b->report, place_of(&e->start_mark),
			     "aliases (*word) are not supported");
		return STOP;
	case YAML_DOCUMENT_START_EVENT:
		if (b->document->root == NULL)
			return READ_ON;
		report_fault(b->report, place_of(&e->start_mark), "a second document");
		return STOP;
	case YAML_STREAM_END_EVENT:
		return END;
	default:
		return READ_ON;
	}
}

/* Whether the line, counted from 0, refers to the environment. */
static bool line_refers(struct slice text, size_t line)
{
	const uint8_t *at = text.data, *end = text.data + text.len;
	for (; line > 0 && at != NULL; line--) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at != NULL ? at + 1 : NULL;
	}
	if (at == NULL)
		return false;
	const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
	return memmem(at, (size_t)((stop != NULL ? stop : end) - at), "${", 2) != NULL;
}

/* libyaml's texts are fixed ones and hold nothing of the file. */
static void report_syntax(const yaml_parser_t *p, struct slice text, struct report *r)
{
	const char *hint = line_refers(text, p->problem_mark.line)
			       ? "; between { and } a \"${env:NAME}\" wants quotes"
			       : "";
	if (p->error == YAML_MEMORY_ERROR)
		r->no_memory = true;
	else if (p->error == YAML_READER_ERROR)
		report_fault(r, (struct place){0, 0}, "not a text file: %s at byte %zu", p->problem,
			     p->problem_offset);
	else
		report_fault(r, place_of(&p->problem_mark), "not YAML: %s%s", p->problem, hint);
}

bool document_init(struct document *d, struct slice text, struct report *r)
{
	d->root = NULL;
	arena_init(&d->arena, YAML_MAX_TREE);
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser)) {
		r->no_memory = true;
		return false;
	}
	if (text.data == NULL) /* libyaml asserts */
		text = slice_str("");
	yaml_parser_set_input_string(&parser, text.data, text.len);
	struct builder b = {.document = d, .report = r};
	enum step step = READ_ON;
	while (step == READ_ON) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			report_syntax(&parser, text, r);
			step = STOP;
			break;
		}
		step = take_event(&b, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return step == END;
}

/* Depth first without recursion: down, else to the next, else up until there is a next. */
static struct node *successor(struct node *n)
{
	if (n->first != NULL)
		return n->first;
	while (n != NULL && n->next == NULL)
		n = n->parent;
	return n != NULL ? n->next : NULL;
}

void document_finish(struct document *d)
{
	for (struct node *n = d->root; n != NULL; n = successor(n))
		if (n->from_env && n->text != NULL)
			explicit_bzero(n->text, strlen(n->text));
	d->root = NULL;
	arena_finish(&d->arena);
}
