/* SPDX-License-Identifier: Apache-2.0
 * conf/value.c - one value, from its text into its field, or a message that says what was wanted.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/address.h"
#include "conf/conf.h"
#include "conf/header.h"
#include "conf/option.h"
#include "conf/sampling.h"
#include "conf/unit.h"

/* A value on its way: the text, and how to speak of it. */
struct value {
	const struct option *option;
	const char *text;
	struct place at;
	bool secret; /* out of the environment: not shown */
	struct report *report;
};

static void fault(const struct value *v, const char *wanted)
{
	if (v->secret)
		report_fault(v->report, v->at,
			     "%s: its value from the environment is wrong: wanted %s",
			     v->option->key, wanted);
	else
		report_fault(v->report, v->at, "%s: wanted %s", v->option->key, wanted);
}

/* For types whose values are never secrets. */
static void fault_showing(const struct value *v, const char *wanted)
{
	if (v->secret || *v->text == '\0')
		fault(v, wanted);
	else
		report_fault(v->report, v->at, "%s: \"%.40s\": wanted %s", v->option->key, v->text,
			     wanted);
}

bool text_set(char **field, const char *text, struct report *r)
{
	char *copy = strdup(text);
	if (copy == NULL) {
		r->no_memory = true;
		return false;
	}
	free(*field);
	*field = copy;
	return true;
}

static void put_number(const struct option *o, void *field, uint64_t n)
{
	if (o->size == sizeof(bool))
		*(bool *)field = n != 0;
	else if (o->size == sizeof(unsigned))
		*(unsigned *)field = (unsigned)n; /* an enum */
	else
		*(uint64_t *)field = n;
}

static void set_number(const struct value *v, void *field)
{
	const struct option *o = v->option;
	uint64_t n = 0;
	int rc = o->type == OPTION_SIZE   ? unit_size(v->text, &n)
		 : o->type == OPTION_TIME ? unit_time(v->text, &n)
					  : unit_count(v->text, &n);
	const char *wanted =
	    o->type == OPTION_SIZE   ? "a whole number and a unit, such as 256KiB or 2GiB"
	    : o->type == OPTION_TIME ? "a whole number and a unit, such as 5ms, 10s or 48h"
				     : "a whole number";
	struct buf range = {.data = NULL};
	option_print_range(o, &range);
	if (rc != 0)
		fault_showing(v, wanted);
	else if (n >= o->min && n <= o->max)
		put_number(o, field, n);
	else
		fault_showing(v, range.data != NULL ? (const char *)range.data : "less");
	buf_finish(&range);
}

static void set_share(const struct value *v, double *field)
{
	bool bare = v->option->type == OPTION_PERCENT;
	double share = 0;
	struct buf range = {.data = NULL};
	option_print_range(v->option, &range);
	if (unit_share(v->text, bare, &share) != 0)
		fault_showing(v, bare ? "a percentage such as 25, at most 100"
				      : "a percentage such as 50% or 0.5%, or 0");
	else if (share * 100 > (double)v->option->max)
		fault_showing(v, range.data != NULL ? (const char *)range.data : "less");
	else
		*field = share;
	buf_finish(&range);
}

static void set_choice(const struct value *v, void *field)
{
	struct buf wanted = {.data = NULL};
	for (unsigned i = 0; v->option->choices[i] != NULL; i++) {
		if (strcmp(v->option->choices[i], v->text) == 0) {
			put_number(v->option, field, i);
			buf_finish(&wanted);
			return;
		}
		bool last = v->option->choices[i + 1] == NULL;
		buf_printf(&wanted, "%s%s",
			   i == 0 ? ""
			   : last ? " or "
				  : ", ",
			   v->option->choices[i]);
	}
	fault_showing(v, wanted.data != NULL ? (const char *)wanted.data : "one of its choices");
	buf_finish(&wanted);
}

static void set_text(const struct value *v, char **field)
{
	size_t len = strlen(v->text);
	char wanted[64];
	snprintf(wanted, sizeof(wanted), "%s, at most %llu bytes",
		 v->option->min != 0 ? "something" : "a text", (unsigned long long)v->option->max);
	if (len < v->option->min || len > v->option->max)
		fault(v, wanted);
	else
		text_set(field, v->text, v->report);
}

static void set_name(const struct value *v, char **field)
{
	bool good = true;
	for (const char *c = v->text; *c != '\0'; c++)
		good = good && (isalnum((unsigned char)*c) || *c == '-' || *c == '_');
	if (!good)
		fault_showing(v, "letters, digits, - and _ only");
	else
		set_text(v, field);
}

static void set_host(const struct value *v, char **field)
{
	bool good = true;
	for (const char *c = v->text; *c != '\0'; c++)
		good = good && (isalnum((unsigned char)*c) || strchr("-._", *c) != NULL);
	if (!good)
		fault_showing(v, "a host name");
	else
		set_text(v, field);
}

static void set_listen(const struct value *v, char **field)
{
	struct address a;
	char text[ADDRESS_HOST + 16] = "off";
	const char *wanted = NULL;
	if (strcmp(v->text, "off") != 0) {
		wanted = address_read(&a, v->text);
		address_print(&a, text, sizeof(text));
	}
	if (wanted != NULL)
		fault_showing(v, wanted);
	else
		text_set(field, text, v->report);
}

/* Kept in its full form, path included: conf/exporter.c parts them. */
static void set_endpoint(const struct value *v, char **field)
{
	struct endpoint e;
	const char *wanted =
	    strlen(v->text) > v->option->max ? "a shorter URL" : endpoint_read(&e, v->text);
	if (*v->text != '\0' && wanted != NULL)
		fault(v, wanted); /* not shown: a password might be in it */
	else
		text_set(field, v->text, v->report);
}

static void set_url_path(const struct value *v, char **field)
{
	for (const char *c = v->text; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || *c == '#') {
			fault(v, "a URL path without blanks");
			return;
		}
	if (*v->text != '/')
		fault_showing(v, "a path that begins with /");
	else
		set_text(v, field);
}

static void names_add(struct conf_names *all, const char *text, size_t len, struct place at,
		      struct report *r)
{
	char **names = reallocarray(all->names, all->n + 1, sizeof(*names));
	if (names != NULL)
		all->names = names;
	struct conf_place *places = reallocarray(all->at, all->n + 1, sizeof(*places));
	if (places != NULL)
		all->at = places;
	char *name = strndup(text, len);
	if (names == NULL || places == NULL || name == NULL) {
		free(name);
		r->no_memory = true;
		return;
	}
	all->at[all->n] = place_kept(at);
	all->names[all->n++] = name;
}

static void names_finish(struct conf_names *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->names[i]);
	free(all->names);
	free(all->at);
	*all = (struct conf_names){.names = NULL};
}

/* The default. */
static void set_words(const struct value *v, struct conf_names *all)
{
	for (const char *p = v->text; *p != '\0';) {
		size_t len = strcspn(p, " ");
		names_add(all, p, len, v->at, v->report);
		p += len + strspn(p + len, " ");
	}
}

static void set_value(const struct value *v, void *base)
{
	void *field = (char *)base + v->option->offset;
	switch (v->option->type) {
	case OPTION_TEXT:
		set_text(v, field);
		break;
	case OPTION_NAME:
		set_name(v, field);
		break;
	case OPTION_HOST:
		set_host(v, field);
		break;
	case OPTION_LISTEN:
		set_listen(v, field);
		break;
	case OPTION_ENDPOINT:
		set_endpoint(v, field);
		break;
	case OPTION_URL_PATH:
		set_url_path(v, field);
		break;
	case OPTION_CHOICE:
		set_choice(v, field);
		break;
	case OPTION_SHARE:
	case OPTION_PERCENT:
		set_share(v, field);
		break;
	case OPTION_HEADERS:
	case OPTION_LANGUAGE:
	case OPTION_FIELDS:
		break; /* of nodes: option_set() */
	case OPTION_NAMES:
		set_words(v, field);
		break;
	case OPTION_SIZE:
	case OPTION_TIME:
	case OPTION_COUNT:
		set_number(v, field);
		break;
	}
}

static void header_fault(const struct node *n, const char *wrong, struct report *r)
{
	if (wrong == HEADER_OUT_OF_MEMORY)
		r->no_memory = true;
	else if (wrong != NULL)
		report_fault(r, n->key_at, "header %.64s %s", n->key, wrong);
}

/* One key of { file_env: NAME, prefix: "Bearer " }. */
static void read_source_key(struct header_source *h, const struct node *n, struct report *r)
{
	static const struct {
		const char *key;
		size_t at;
	} KEYS[] = {{"file", offsetof(struct header_source, file)},
		    {"file_env", offsetof(struct header_source, file_env)},
		    {"env", offsetof(struct header_source, env)},
		    {"prefix", offsetof(struct header_source, prefix)}};
	for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
		if (strcmp(KEYS[i].key, n->key) != 0)
			continue;
		if (n->kind != NODE_SCALAR || n->empty || *n->text == '\0')
			report_fault(r, n->at, "%s: wanted a text", n->key);
		else
			*(const char **)(void *)((char *)h + KEYS[i].at) = n->text;
		return;
	}
	report_fault(r, n->key_at, "unknown key \"%.64s\": wanted file, file_env, env or prefix",
		     n->key);
}

static void set_sourced_header(struct conf_exporter *e, const struct node *map, struct report *r)
{
	struct header_source h = {.at = {map->at.line, map->at.column}};
	uint32_t faults = r->faults;
	for (const struct node *n = map->first; n != NULL; n = n->next)
		if (!n->bad)
			read_source_key(&h, n, r);
	if (r->faults == faults)
		header_fault(map, header_add_sourced(e, map->key, &h, r), r);
}

static void set_header(struct conf_exporter *e, const struct node *n, struct report *r)
{
	if (n->bad)
		return;
	if (n->kind == NODE_MAP && !n->empty) {
		set_sourced_header(e, n, r);
		return;
	}
	if (n->kind != NODE_SCALAR || n->empty) {
		report_fault(r, n->at, "header %.64s: wanted one value, or { file: PATH }", n->key);
		return;
	}
	if (strcasecmp(n->key, LIGHTSTEP_HEADER) == 0 && (n->literal || !n->from_env)) {
		report_fault(r, n->at,
			     "header %s: a token in a file is refused: write "
			     "${env:LS_ACCESS_TOKEN}, or leave "
			     "it to the preset",
			     LIGHTSTEP_HEADER);
		return;
	}
	if (!n->from_env && header_is_credential(n->key)) {
		report_fault(
		    r, n->at,
		    "header %.64s: a token in this file is refused: write { file: PATH } or "
		    "{ env: NAME }",
		    n->key);
		return;
	}
	header_fault(n,
		     n->from_env ? header_add_secret(e, n->key, n->text, NULL)
				 : header_add(e, n->key, n->text),
		     r);
}

static void set_headers(struct conf_exporter *e, const struct node *map, struct report *r)
{
	if (map->kind != NODE_MAP && !map->empty) {
		report_fault(r, map->at,
			     "exporters[].headers: wanted a map, such as { x-team: edge }");
		return;
	}
	for (const struct node *n = map->first; n != NULL; n = n->next)
		set_header(e, n, r);
}

static void set_language(const struct option *o, struct conf_text *t, const struct node *n,
			 struct report *r)
{
	struct value v = {
	    .option = o, .at = n->at, .text = n->text, .secret = n->from_env, .report = r};
	if (n->bad)
		return;
	if (n->kind != NODE_SCALAR || n->empty || *n->text == '\0') {
		fault(&v, o->type == OPTION_FIELDS
			      ? "a field such as service.name, or a list of them"
			      : "a condition such as any(span.error)");
		return;
	}
	if (!text_set(&t->text, n->text, r))
		return;
	t->at = place_kept(n->at);
	t->quote = (char)n->quote;
	t->secret = n->from_env;
}

static void set_fields(const struct option *o, struct conf_by *by, const struct node *n,
		       struct report *r)
{
	by->at = place_kept(n->at);
	if (n->kind != NODE_LIST) {
		by->n = 1;
		set_language(o, &by->fields[0], n, r);
		return;
	}
	for (const struct node *item = n->first; item != NULL; item = item->next) {
		if (by->n == CONF_MAX_BY) {
			report_fault(r, item->at, "%s: at most %d fields", o->key, CONF_MAX_BY);
			return;
		}
		set_language(o, &by->fields[by->n++], item, r);
	}
}

static void set_name_of(const struct option *o, struct conf_names *all, const struct node *n,
			struct report *r)
{
	struct value v = {
	    .option = o, .at = n->at, .text = n->text, .secret = n->from_env, .report = r};
	if (n->bad)
		return;
	if (n->kind != NODE_SCALAR || n->empty || *n->text == '\0' || strlen(n->text) > o->max) {
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "a text of at most %d bytes", (int)o->max);
		fault(&v, wanted);
	} else if (all->n == CONF_MAX_NAMES) {
		report_fault(r, n->at, "%s: at most %d", o->key, CONF_MAX_NAMES);
	} else {
		names_add(all, n->text, strlen(n->text), n->at, r);
	}
}

/* In place of the default. */
static void set_names(const struct option *o, struct conf_names *all, const struct node *n,
		      struct report *r)
{
	names_finish(all);
	if (n->kind != NODE_LIST) {
		if (!n->empty)
			set_name_of(o, all, n, r);
		return;
	}
	for (const struct node *item = n->first; item != NULL && !r->no_memory; item = item->next)
		set_name_of(o, all, item, r);
}

void option_set(const struct option *o, void *base, const struct node *n, struct report *r)
{
	void *field = (char *)base + o->offset;
	struct value v = {
	    .option = o, .at = n->at, .text = n->text, .secret = n->from_env, .report = r};
	if (n->bad)
		return;
	if (o->type == OPTION_HEADERS)
		set_headers(base, n, r);
	else if (o->type == OPTION_LANGUAGE)
		set_language(o, field, n, r);
	else if (o->type == OPTION_FIELDS)
		set_fields(o, field, n, r);
	else if (o->type == OPTION_NAMES)
		set_names(o, field, n, r);
	else if (n->kind != NODE_SCALAR)
		fault(&v, n->kind == NODE_MAP ? "one value, not a map" : "one value, not a list");
	else if (n->empty)
		fault(&v, "a value; leave the key out for the default");
	else
		set_value(&v, base);
}

bool option_is_text(const struct option *o)
{
	return o->type == OPTION_TEXT || o->type == OPTION_NAME || o->type == OPTION_HOST ||
	       o->type == OPTION_LISTEN || o->type == OPTION_ENDPOINT || o->type == OPTION_URL_PATH;
}

void options_default(const char *list, void *base, struct report *r)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &OPTIONS[i];
		struct value v = {.option = o, .text = o->fallback, .report = r};
		if (!option_is_of(o, list))
			continue;
		if (*o->fallback != '\0')
			set_value(&v, base);
		else if (option_is_text(o))
			text_set((char **)((char *)base + o->offset), "", r);
	}
}

void option_set_text(const struct option *o, void *base, const char *text, struct report *r)
{
	struct value v = {.option = o, .text = text, .report = r};
	set_value(&v, base);
}

/* It may have come out of the environment. */
static void language_finish(struct conf_text *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		secret_free(all[i].text);
		all[i].text = NULL;
	}
}

void options_free(const char *list, void *base)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &OPTIONS[i];
		char **field = (char **)((char *)base + o->offset);
		if (!option_is_of(o, list))
			continue;
		if (o->type == OPTION_HEADERS)
			headers_finish(base);
		else if (o->type == OPTION_LANGUAGE)
			language_finish((struct conf_text *)(void *)field, 1);
		else if (o->type == OPTION_FIELDS)
			language_finish(((struct conf_by *)(void *)field)->fields, CONF_MAX_BY);
		else if (o->type == OPTION_NAMES)
			names_finish((struct conf_names *)(void *)field);
		else if (option_is_text(o)) {
			free(*field);
			*field = NULL;
		}
	}
}
