/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/change.h"

#include <stdio.h>

#include "conf/option.h"
#include "conf/unit.h"

enum { KEY_MAX = 256 };

static const void *field_of(const struct option *o, const void *base)
{
	return (const char *)base + o->offset;
}

static const char *text_of(const struct option *o, const void *base)
{
	const char *text;
	memcpy(&text, field_of(o, base), sizeof(text));
	return text != NULL ? text : "";
}

/* ---- whether ---- */

static bool texts_differ(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0;
}

static bool fields_differ(const struct conf_by *a, const struct conf_by *b)
{
	bool differ = a->n != b->n;
	for (size_t i = 0; i < a->n && !differ; i++)
		differ = texts_differ(a->fields[i].text, b->fields[i].text);
	return differ;
}

static bool names_differ(const struct conf_names *a, const struct conf_names *b)
{
	bool differ = a->n != b->n;
	for (size_t i = 0; i < a->n && !differ; i++)
		differ = strcmp(a->names[i], b->names[i]) != 0;
	return differ;
}

/* With the word before the token, which a fingerprint leaves out. */
static bool secrets_differ(const struct secret *a, const struct secret *b)
{
	if (a == NULL || b == NULL)
		return a != b;
	return !secret_equal(a, b);
}

static bool header_differs(const struct conf_header *x, const struct conf_header *y)
{
	return x->source != y->source || texts_differ(x->name, y->name) ||
	       texts_differ(x->value, y->value) || texts_differ(x->path, y->path) ||
	       texts_differ(x->prefix, y->prefix) || secrets_differ(x->secret, y->secret);
}

static bool headers_differ(const struct conf_exporter *a, const struct conf_exporter *b)
{
	bool differ = a->n_headers != b->n_headers;
	for (size_t i = 0; i < a->n_headers && !differ; i++)
		differ = header_differs(&a->headers[i], &b->headers[i]);
	return differ;
}

/* The next one from `*i` on that is a credential; NULL: there is none. */
static const struct conf_header *next_secret(const struct conf_exporter *e, size_t *i)
{
	while (*i < e->n_headers && e->headers[*i].source == SOURCE_TEXT)
		++*i;
	return *i < e->n_headers ? &e->headers[(*i)++] : NULL;
}

/* Those that are credentials, in their order, by `differ`. */
static bool secrets_of_differ(const struct conf_exporter *a, const struct conf_exporter *b,
			      bool (*differ)(const struct conf_header *,
					     const struct conf_header *))
{
	size_t i = 0, k = 0;
	for (;;) {
		const struct conf_header *x = next_secret(a, &i), *y = next_secret(b, &k);
		if (x == NULL || y == NULL)
			return x != y;
		if (differ(x, y))
			return true;
	}
}

static bool header_is_another(const struct conf_header *x, const struct conf_header *y)
{
	return texts_differ(x->name, y->name);
}

static bool differs(const struct option *o, const void *a, const void *b)
{
	const void *x = field_of(o, a), *y = field_of(o, b);
	if (o->type == OPTION_HEADERS)
		return headers_differ(a, b);
	if (o->type == OPTION_LANGUAGE)
		return texts_differ(((const struct conf_text *)x)->text,
				    ((const struct conf_text *)y)->text);
	if (o->type == OPTION_FIELDS)
		return fields_differ(x, y);
	if (o->type == OPTION_NAMES)
		return names_differ(x, y);
	if (option_is_text(o))
		return texts_differ(text_of(o, a), text_of(o, b));
	return memcmp(x, y, o->size) != 0;
}

/* ---- how it is said ---- */

static uint64_t number_of(const struct option *o, const void *base)
{
	const void *field = field_of(o, base);
	if (o->size == sizeof(bool))
		return *(const bool *)field;
	if (o->size == sizeof(unsigned))
		return *(const unsigned *)field; /* an enum */
	return *(const uint64_t *)field;
}

static int put_fields(const struct conf_by *by, struct buf *out)
{
	int full = buf_printf(out, "[");
	for (size_t i = 0; i < by->n; i++)
		full |= buf_printf(out, "%s%s", i != 0 ? ", " : "", by->fields[i].text);
	return full | buf_printf(out, "]");
}

static int put_number(const struct option *o, const void *base, struct buf *out)
{
	char text[UNIT_TEXT] = "";
	uint64_t n = number_of(o, base);
	if (o->type == OPTION_CHOICE)
		return buf_printf(out, "%s", o->choices[n]);
	if (o->type == OPTION_SIZE)
		unit_print_size(text, n);
	else if (o->type == OPTION_TIME)
		unit_print_time(text, n);
	else
		unit_print_count(text, n);
	return buf_printf(out, "%s", text);
}

static int put_value(const struct option *o, const void *base, struct buf *out)
{
	const void *field = field_of(o, base);
	const char *text;
	switch (o->type) {
	case OPTION_SHARE:
	case OPTION_PERCENT:
		return buf_printf(out, "%.10g%%", *(const double *)field * 100);
	case OPTION_LANGUAGE:
		text = ((const struct conf_text *)field)->text;
		return buf_printf(out, "%s", text != NULL ? text : "none");
	case OPTION_FIELDS:
		return put_fields(field, out);
	case OPTION_SIZE:
	case OPTION_TIME:
	case OPTION_COUNT:
	case OPTION_CHOICE:
		return put_number(o, base, out);
	default:
		text = text_of(o, base);
		return buf_printf(out, "%s", *text != '\0' ? text : "none");
	}
}

static bool fields_are_secret(const struct conf_by *by)
{
	bool secret = false;
	for (size_t i = 0; i < by->n; i++)
		secret = secret || by->fields[i].secret;
	return secret;
}

/* Texts of any kind may have come out of the environment, which only conditions and fields
 * remember. Names, listeners and endpoints are shown on the status page too. */
static bool may_show(const struct option *o, const void *base)
{
	const void *field = field_of(o, base);
	switch (o->type) {
	case OPTION_TEXT:
	case OPTION_URL_PATH:
	case OPTION_HOST:
	case OPTION_HEADERS:
	case OPTION_NAMES:
		return false;
	case OPTION_LANGUAGE:
		return !((const struct conf_text *)field)->secret;
	case OPTION_FIELDS:
		return !fields_are_secret(field);
	default:
		return true;
	}
}

static int put_change(const char *key, const struct option *o, const void *a, const void *b,
		      struct buf *out)
{
	if (!may_show(o, a) || !may_show(o, b))
		return buf_printf(out, "%s: changed\n", key);
	int full = buf_printf(out, "%s: ", key);
	full |= put_value(o, a, out);
	full |= buf_printf(out, " -> ");
	full |= put_value(o, b, out);
	return full | buf_printf(out, "\n");
}

/* ---- lists ---- */

/* A list of one configuration, with its rows. */
struct items {
	const struct option_list *list;
	const char *base;
	size_t n;
	const struct option *name; /* NULL: they have none */
};

static struct items items_of(const struct option_list *l, const struct conf *c)
{
	struct items all = {.list = l};
	char key[KEY_MAX];
	memcpy(&all.base, (const char *)c + l->items, sizeof(all.base));
	memcpy(&all.n, (const char *)c + l->count, sizeof(all.n));
	snprintf(key, sizeof(key), "%s[].name", l->key);
	all.name = option_find(key);
	return all;
}

static const void *item_at(const struct items *all, size_t i)
{
	return all->base + i * all->list->item_size;
}

/* The counterpart of b's item i in a, or NULL. */
static const void *item_like(const struct items *a, const struct items *b, size_t i, size_t *at)
{
	*at = i;
	if (a->name == NULL)
		return i < a->n ? item_at(a, i) : NULL;
	const char *name = text_of(b->name, item_at(b, i));
	for (*at = 0; *at < a->n; ++*at)
		if (strcmp(text_of(a->name, item_at(a, *at)), name) == 0)
			return item_at(a, *at);
	return NULL;
}

static void label(const struct items *all, size_t i, char out[KEY_MAX])
{
	if (all->name != NULL)
		snprintf(out, KEY_MAX, "%s[%s]", all->list->key,
			 text_of(all->name, item_at(all, i)));
	else
		snprintf(out, KEY_MAX, "%s[%zu]", all->list->key, i);
}

static bool is_of_list(const struct option *o, const struct option_list *l)
{
	char key[KEY_MAX];
	snprintf(key, sizeof(key), "%s[]", l->key);
	return option_is_of(o, key);
}

static int compare_items(const struct items *all, size_t i, const void *a, struct buf *out)
{
	char key[KEY_MAX], item[KEY_MAX];
	int full = 0;
	label(all, i, item);
	for (size_t k = 0; k < N_OPTIONS; k++) {
		const struct option *o = &OPTIONS[k];
		if (!is_of_list(o, all->list) || !differs(o, a, item_at(all, i)))
			continue;
		snprintf(key, sizeof(key), "%.120s%s", item, strstr(o->key, "[]") + 2);
		full |= put_change(key, o, a, item_at(all, i), out);
	}
	return full;
}

/* What is there twice comes in the same order, or that is said. */
static int compare_list(const struct option_list *l, const struct conf *was, const struct conf *is,
			struct buf *out)
{
	struct items a = items_of(l, was), b = items_of(l, is);
	char item[KEY_MAX];
	size_t at, last = 0;
	bool moved = false;
	int full = 0;
	for (size_t i = 0; i < b.n; i++) {
		const void *before = item_like(&a, &b, i, &at);
		label(&b, i, item);
		if (before == NULL) {
			full |= buf_printf(out, "%s: added\n", item);
			continue;
		}
		full |= compare_items(&b, i, before, out);
		moved = moved || at < last;
		last = at;
	}
	for (size_t i = 0; i < a.n; i++)
		if (item_like(&b, &a, i, &at) == NULL) {
			label(&a, i, item);
			full |= buf_printf(out, "%s: removed\n", item);
		}
	return moved ? full | buf_printf(out, "%s: in another order\n", l->key) : full;
}

/* ---- all of it ---- */

/* What a file holds that the configuration names. */
static bool hmac_keys_differ(const struct conf *was, const struct conf *is)
{
	const struct conf_redaction *a = &was->redaction, *b = &is->redaction;
	return a->hmac_key_len != b->hmac_key_len ||
	       (a->hmac_key_len != 0 && memcmp(a->hmac_key, b->hmac_key, a->hmac_key_len) != 0);
}

static int compare(const char *under, const struct conf *was, const struct conf *is,
		   struct buf *out)
{
	size_t len = strlen(under);
	int full = 0;
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &OPTIONS[i];
		if (option_is_of(o, "") && strncmp(o->key, under, len) == 0 && differs(o, was, is))
			full |= put_change(o->key, o, was, is, out);
	}
	if (strncmp("redaction", under, len) == 0 && hmac_keys_differ(was, is))
		full |= buf_printf(out, "redaction.hmac_key: the key in the file changed\n");
	for (size_t i = 0; i < N_OPTION_LISTS; i++)
		if (strncmp(OPTION_LISTS[i].key, under, len) == 0)
			full |= compare_list(&OPTION_LISTS[i], was, is, out);
	return full;
}

int change_write(const struct conf *was, const struct conf *is, struct buf *out)
{
	return compare("", was, is, out);
}

bool change_under(const char *key, const struct conf *was, const struct conf *is)
{
	struct buf lines = {.data = NULL};
	bool any = compare(key, was, is, &lines) != 0 || lines.len != 0;
	buf_finish(&lines);
	return any;
}

/* ---- all of one configuration ---- */

static int put_text(const char *text, struct buf *out)
{
	return buf_printf(out, " %zu:%s", text != NULL ? strlen(text) : 0,
			  text != NULL ? text : "");
}

/* Secrets by their fingerprints: what is made of this is a hash, but it passes through memory. */
static int put_headers(const struct conf_exporter *e, struct buf *out)
{
	int full = 0;
	for (size_t i = 0; i < e->n_headers; i++) {
		const struct conf_header *h = &e->headers[i];
		char mark[SECRET_FINGERPRINT] = "";
		if (h->value != NULL)
			secret_print_fingerprint(slice_str(h->value), mark);
		full |= buf_printf(out, " %d", (int)h->source) | put_text(h->name, out);
		full |= put_text(h->secret != NULL ? secret_fingerprint(h->secret) : mark, out);
		full |= put_text(h->path, out) | put_text(h->prefix, out);
	}
	return full;
}

static int put_names(const struct conf_names *names, struct buf *out)
{
	int full = 0;
	for (size_t i = 0; i < names->n; i++)
		full |= put_text(names->names[i], out);
	return full;
}

static int put_row(const char *key, const struct option *o, const void *base, struct buf *out)
{
	int full = buf_printf(out, "%s:", key);
	if (o->type == OPTION_HEADERS)
		full |= put_headers(base, out);
	else if (o->type == OPTION_NAMES)
		full |= put_names(field_of(o, base), out);
	else if (option_is_text(o))
		full |= put_text(text_of(o, base), out);
	else
		full |= put_value(o, base, out);
	return full | buf_printf(out, "\n");
}

static int put_items(const struct option_list *l, const struct conf *c, struct buf *out)
{
	struct items all = items_of(l, c);
	char key[KEY_MAX];
	int full = 0;
	for (size_t i = 0; i < all.n; i++)
		for (size_t k = 0; k < N_OPTIONS; k++) {
			if (!is_of_list(&OPTIONS[k], l))
				continue;
			snprintf(key, sizeof(key), "%s[%zu]%s", l->key, i,
				 strstr(OPTIONS[k].key, "[]") + 2);
			full |= put_row(key, &OPTIONS[k], item_at(&all, i), out);
		}
	return full;
}

int change_canonical(const struct conf *c, struct buf *out)
{
	int full = 0;
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (option_is_of(&OPTIONS[i], ""))
			full |= put_row(OPTIONS[i].key, &OPTIONS[i], c, out);
	for (size_t i = 0; i < N_OPTION_LISTS; i++)
		full |= put_items(&OPTION_LISTS[i], c, out);
	return full | put_text(c->redaction.hmac_key_id, out);
}

bool change_of_exporter(const struct conf_exporter *was, const struct conf_exporter *is,
			bool (*except)(const char *key))
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &OPTIONS[i];
		if (option_is_of(o, "exporters[]") && (except == NULL || !except(o->key)) &&
		    differs(o, was, is))
			return true;
	}
	return false;
}

static bool is_no_oauth2(const char *key)
{
	return strncmp(key, "exporters[].oauth2.", 19) != 0;
}

bool change_of_credential(const struct conf_exporter *was, const struct conf_exporter *is)
{
	bool fetched = texts_differ(is->oauth2.token_url, "");
	return secrets_of_differ(was, is, header_differs) ||
	       change_of_exporter(was, is, is_no_oauth2) ||
	       (fetched && texts_differ(was->tls.ca_file, is->tls.ca_file));
}

bool change_of_secret_names(const struct conf_exporter *was, const struct conf_exporter *is)
{
	return secrets_of_differ(was, is, header_is_another);
}

static bool is_switched(const struct conf_tls *was, const struct conf_tls *is)
{
	return (*was->cert_file == '\0') != (*is->cert_file == '\0');
}

/* A port that begins to speak TLS, or ends to: whoever is connected spoke otherwise. */
static bool is_of_switched_port(const struct option *o, bool grpc, bool http)
{
	return (grpc && strncmp(o->key, "receivers.otlp_grpc.tls.", 24) == 0) ||
	       (http && strncmp(o->key, "receivers.otlp_http.tls.", 24) == 0);
}

/* Options of these kinds are texts and numbers, none in a list. */
void change_keep(struct conf *c, const struct conf *running, struct buf *restart, struct report *r)
{
	bool grpc = is_switched(&running->grpc.tls, &c->grpc.tls);
	bool http = is_switched(&running->http.tls, &c->http.tls);
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &OPTIONS[i];
		bool keep = o->reload == RESTART || is_of_switched_port(o, grpc, http);
		if (!keep || !option_is_of(o, "") || !differs(o, running, c))
			continue;
		char *field = (char *)c + o->offset;
		if (put_change(o->key, o, running, c, restart) != 0)
			r->no_memory = true;
		if (option_is_text(o))
			text_set((char **)(void *)field, text_of(o, running), r);
		else
			memcpy(field, field_of(o, running), o->size);
	}
}
