/* SPDX-License-Identifier: Apache-2.0
 * conf/option.h - the table of all options: the one place that knows an option. Reading, defaults,
 * ranges, freeing, `spanrelay options` and docs/configuration.md are made from its rows.
 * A key is a path as people say it, "limits.request"; what follows "exporters[]." is in each of a
 * list. */
#ifndef CONF_OPTION_H
#define CONF_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include "conf/report.h"
#include "conf/yaml.h"

enum option_type {
	OPTION_TEXT,     /* char *; min and max are its length */
	OPTION_NAME,     /* char *; letters, digits, - and _ */
	OPTION_HOST,     /* char *; a DNS name, or empty */
	OPTION_LISTEN,   /* char *; an address and a port, or off */
	OPTION_ENDPOINT, /* char *; a URL, or empty */
	OPTION_URL_PATH, /* char * */
	OPTION_SIZE,     /* uint64_t, bytes */
	OPTION_TIME,     /* uint64_t, ms */
	OPTION_COUNT,    /* uint64_t */
	OPTION_CHOICE,   /* an integer of any size: the index into choices */
	OPTION_HEADERS,  /* the headers of a struct conf_exporter, which is the row's base */
	OPTION_SHARE,    /* double, 0 to 1: 50%, 0.5% or 0; min and max in per cent */
	OPTION_PERCENT,  /* likewise, and 50 means 50% */
	OPTION_LANGUAGE, /* struct conf_text: what it says is read by others */
	OPTION_FIELDS,   /* struct conf_by: one conf_text, or a list */
	OPTION_NAMES     /* struct conf_names: a text, or a list; the default is parted by blanks */
};

/* What a reload makes of a new value: it holds at once, or the old one stays until a restart. */
enum option_reload { HOT, RESTART };

struct option {
	const char *key;
	enum option_type type;
	uint16_t offset, size; /* of the field in struct conf, or in the list's item */
	const char *fallback;  /* the default, as it would stand in the file; "": none, or zero */
	uint64_t min, max;
	const char *const *choices; /* NULL at their end */
	const char *help;
	enum option_reload reload;
};

/* A list of maps. */
struct option_list {
	const char *key;       /* "exporters" */
	uint16_t items, count; /* offsets in struct conf */
	size_t item_size, max;
	const char *help;
};

extern const struct option OPTIONS[];
extern const size_t N_OPTIONS;
extern const struct option_list OPTION_LISTS[];
extern const size_t N_OPTION_LISTS;

const struct option *option_find(const char *key); /* NULL: no such option */
const struct option_list *option_list_find(const char *key);
bool option_is_section(const char *key); /* "" is the file itself */

/* Whether the field lies in what `list` names: "" for struct conf, "exporters[]" for an item. */
bool option_is_of(const struct option *o, const char *list);

bool option_is_text(const struct option *o); /* its field is a char * of its own */

/* Gives each field of `base`, which is zeroed, its default; and frees what hangs on them. */
void options_default(const char *list, void *base, struct report *r);
void options_free(const char *list, void *base);

/* Puts one value in place of the old one. What is wrong with it is reported at its place. */
void option_set(const struct option *o, void *base, const struct node *value, struct report *r);
void option_set_text(const struct option *o, void *base, const char *text, struct report *r);

/* Appends what might have been meant by an unknown key of a section: the nearest valid one, or,
 * where none is near, those that there are. */
void option_suggest(const char *section, const char *key, struct buf *out);

/* For people: "from 5ms to 1s"; nothing where a range says nothing. */
void option_print_range(const struct option *o, struct buf *out);

/* Replaces a heap string; false for no memory, which is reported. */
bool text_set(char **field, const char *text, struct report *r);

#endif
