/* SPDX-License-Identifier: Apache-2.0
 * Random conditions on random requests, against an evaluator that is slow and obvious: it walks the
 * tree that the condition was printed from, over the request as protobuf-c decodes it. */
#include <regex.h>

#include "check.h"
#include "condition_sample.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "wire/otlp_index.h"

#define Request  Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest
#define Resource Opentelemetry__Proto__Trace__V1__ResourceSpans
#define Scope    Opentelemetry__Proto__Trace__V1__ScopeSpans
#define Span     Opentelemetry__Proto__Trace__V1__Span
#define KeyValue Opentelemetry__Proto__Common__V1__KeyValue
#define AnyValue Opentelemetry__Proto__Common__V1__AnyValue
#define unpack   opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define release                                                                                    \
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked
#define CASE(of) OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_##of##_VALUE

static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

#define PICK(of) of[below(sizeof(of) / sizeof((of)[0]))]

static const char *const KEYS[] = {"a",
				   "b",
				   "long.key.of.mine",
				   "error",
				   "http.method",
				   "http.request.method",
				   "http.status_code",
				   "http.response.status_code"};
static const char *const TEXTS[] = {
    "",   "abc", "/pay/1", "500", "0.5", "500.0", "true", "false", "-3",  "1e3",         "x5",
    "50", "nan", "0x10",   " 5",  "5.",  ".5",    "+7",   "1e",    "GET", "abcdefghijkl"};
static const double NUMBERS[] = {500, 0.5, -3, 1000, 50, 0, 9007199254740992.0, 1e300, 7, 499.5};
static const int64_t INTS[] = {500, -3, 50, 0, 1, 9007199254740993, INT64_MAX, INT64_MIN, 503, 7};
static const char *const PATTERNS[] = {"^/pay", "b",      "^5",    "^a.c$",   "(abc|5)",
				       "0$",    "^/p.*1", "^ab?c", "abcdefg", "^true$"};
static const char *const NAMES[] = {"GET /", "abc", "500", "test", ""};
static const uint64_t TIMES_MS[] = {0, 1, 150, 2000, 5000};

/* ---- requests ---- */

static void add_value(struct buf *v, unsigned depth)
{
	struct buf inner = {0}, element = {0};
	double d;
	uint64_t bits;
	switch (below(depth == 0 ? 9 : 6)) {
	case 0:
	case 1:
		pb_str(v, 1, PICK(TEXTS));
		break;
	case 2:
		pb_int(v, 2, below(2));
		break;
	case 3:
		pb_int(v, 3, (uint64_t)PICK(INTS));
		break;
	case 4:
		d = PICK(NUMBERS);
		memcpy(&bits, &d, sizeof(bits));
		pb_fixed64(v, 4, bits);
		if (below(9) == 0)
			pb_str(v, 1, "twice"); /* the last of a oneof counts */
		break;
	case 5:
		break;
	case 6:
		for (uint32_t n = below(4); n > 0; n--) {
			add_value(&element, 1);
			pb_message(&inner, 1, &element);
		}
		pb_message(v, 5, &inner);
		break;
	case 7:
		pb_int_attribute(&inner, 1, "a", 500);
		pb_message(v, 6, &inner);
		break;
	default:
		pb_bytes(v, 7, "500", 3);
		break;
	}
}

static void add_attributes(struct buf *b, unsigned field)
{
	for (uint32_t n = below(5); n > 0; n--) {
		struct buf kv = {0}, v = {0};
		const char *key = PICK(KEYS);
		bool swap = below(8) == 0;
		if (!swap)
			pb_str(&kv, 1, key);
		if (below(20) != 0) {
			add_value(&v, 0);
			pb_message(&kv, 2, &v);
		}
		if (swap)
			pb_str(&kv, 1, key);
		if (below(10) == 0)
			pb_int(&kv, 99, 1);
		pb_message(b, field, &kv);
	}
}

static void add_event(struct buf *span)
{
	struct buf event = {0};
	add_attributes(&event, 3);
	pb_str(&event, 2, PICK(NAMES));
	pb_message(span, 11, &event);
}

static void add_span(struct buf *spans, bool root)
{
	struct buf span = {0}, link = {0}, status = {0};
	bool late = below(4) == 0;
	pb_span_head(&span, (uint8_t)below(200), root, PICK(TIMES_MS) * 1000000);
	if (late)
		add_attributes(&span, 9);
	if (below(2) == 0)
		pb_str(&span, 5, PICK(NAMES));
	if (below(3) != 0)
		pb_int(&span, 6, below(6));
	if (below(3) == 0)
		add_event(&span);
	if (!late)
		add_attributes(&span, 9);
	if (below(3) == 0)
		add_event(&span);
	if (below(4) == 0) {
		add_attributes(&link, 4);
		pb_message(&span, 13, &link);
	}
	if (below(3) == 0) {
		pb_int(&status, 3, below(3));
		pb_message(&span, 15, &status);
	}
	pb_int(&span, 1000, 1);
	pb_message(spans, 2, &span);
}

static void add_scope(struct buf *resource_spans, bool *root)
{
	struct buf scope = {0}, scope_spans = {0};
	bool late = below(4) == 0;
	pb_str(&scope, 1, PICK(NAMES));
	add_attributes(&scope, 3);
	if (!late && below(5) != 0)
		pb_message(&scope_spans, 1, &scope);
	for (uint32_t n = 1 + below(3); n > 0; n--) {
		bool is_root = *root && below(2) == 0;
		add_span(&scope_spans, is_root);
		*root = *root && !is_root;
	}
	if (late)
		pb_message(&scope_spans, 1, &scope);
	buf_finish(&scope);
	pb_message(resource_spans, 2, &scope_spans);
}

static void make_request(struct buf *request)
{
	bool root = below(4) != 0; /* at most one */
	for (uint32_t n = 1 + below(2); n > 0; n--) {
		struct buf resource = {0}, rs = {0};
		bool late = below(4) == 0;
		add_attributes(&resource, 1);
		if (!late)
			pb_message(&rs, 1, &resource);
		for (uint32_t k = 1 + below(2); k > 0; k--)
			add_scope(&rs, &root);
		if (late)
			pb_message(&rs, 1, &resource);
		pb_message(request, 1, &rs);
	}
}

/* ---- conditions ---- */

enum { AND, OR, NOT, ANY, ALL, NONE_OF, TEST, SPANS, DURATION, ERRORS, HAS_ROOT };
enum { F_ATTRIBUTE, F_NAME, F_KIND, F_STATUS, F_DURATION, F_ERROR };
enum { L_RESOURCE, L_SCOPE, L_SPAN, L_EVENT, L_LINK };
enum { EQUAL, IN, BELOW, AT_MOST, ABOVE, AT_LEAST, MATCHES, CONTAINS, STARTS, EXISTS };
static const char *const LEVEL_NAMES[] = {"resource", "scope", "span", "event", "link"};
static const char *const OPS[] = {"==", "in", "<",        "<=",          ">",
				  ">=", "=~", "contains", "starts_with", "exists"};
static const char *const NEGATIVE[] = {
    "!=", "not in", NULL, NULL, NULL, NULL, "!~", "not contains", "not starts_with", "not exists"};
static const char *const KIND_WORDS[] = {"unspecified", "internal", "server",
					 "client",      "producer", "consumer"};
static const char *const STATUS_WORDS[] = {"unset", "ok", "error"};

struct literal {
	enum { L_TEXT, L_NUMBER, L_INT, L_BOOL } type;
	const char *text;
	double number;
	int64_t i;
};

struct node {
	int kind, op;
	bool negative, of_root;
	struct node *a, *b;
	int what, n_fields, level[3];
	const char *key[3];
	struct literal value[2];
	uint64_t amount; /* of facts and durations: ms */
};

static struct node pool[4096];
static uint32_t used;

static struct node *new_node(int kind)
{
	struct node *n = &pool[used++];
	*n = (struct node){.kind = kind};
	return n;
}

static struct literal random_literal(int op)
{
	struct literal v = {.type = L_TEXT, .text = PICK(TEXTS)};
	if (op == MATCHES)
		v.text = PICK(PATTERNS);
	else if (op == CONTAINS || op == STARTS)
		v.text = TEXTS[1 + below(20)];
	else if (op > IN || below(2) == 0)
		v.type = below(2) == 0 ? L_NUMBER : L_INT;
	else if (below(6) == 0)
		v.type = L_BOOL;
	v.number = PICK(NUMBERS);
	v.i = v.type == L_BOOL ? below(2) : PICK(INTS);
	return v;
}

static struct node *random_test(bool of_root)
{
	struct node *n = new_node(TEST);
	n->of_root = of_root;
	n->what = below(2) == 0 ? F_ATTRIBUTE : (int)below(6);
	n->n_fields = n->what == F_ATTRIBUTE ? 1 + (int)below(3) * (int)below(2) : 1;
	for (int i = 0; i < n->n_fields; i++) {
		n->level[i] = below(2) == 0 ? L_SPAN : (int)below(5);
		n->key[i] = PICK(KEYS);
	}
	if (n->what == F_NAME && n->level[0] != L_SCOPE && n->level[0] != L_EVENT)
		n->level[0] = L_SPAN;
	else if (n->what > F_NAME)
		n->level[0] = L_SPAN;
	n->op = n->what == F_ATTRIBUTE  ? (int)below(10)
		: n->what == F_DURATION ? (int)below(4) + BELOW
					: EQUAL;
	if (n->what == F_NAME)
		n->op = below(2) == 0 ? (int)below(4) + MATCHES : (int)below(2);
	n->negative = NEGATIVE[n->op] != NULL && below(3) == 0;
	n->value[0] = random_literal(n->op);
	n->value[1] = random_literal(n->op);
	n->amount = n->what == F_KIND ? below(6) : n->what == F_STATUS ? below(3) : PICK(TIMES_MS);
	return n;
}

static struct node *random_span(unsigned depth, bool of_root)
{
	uint32_t r = depth == 0 ? 9 : below(8);
	if (r > 4)
		return random_test(of_root);
	struct node *n = new_node(r < 2 ? AND : r < 4 ? OR : NOT);
	n->a = random_span(depth - 1, of_root);
	n->b = r < 4 ? random_span(depth - 1, of_root) : NULL;
	return n;
}

static struct node *random_trace(unsigned depth)
{
	uint32_t r = depth == 0 ? 5 + below(6) : below(11);
	struct node *n;
	if (r == 10)
		return random_test(true);
	if (r < 5) {
		n = new_node(r < 2 ? AND : r < 4 ? OR : NOT);
		n->a = random_trace(depth - 1);
		n->b = r < 4 ? random_trace(depth - 1) : NULL;
	} else if (r == 5) {
		n = new_node(SPANS + (int)below(4));
		n->op = (int)below(5);
		n->op = n->op == IN ? EQUAL : n->op;
		n->amount = n->kind == DURATION ? PICK(TIMES_MS) : below(6);
	} else {
		n = new_node(ANY + (int)below(3));
		n->a = random_span(3, false);
	}
	return n;
}

static void print_literal(const struct literal *v, struct buf *out)
{
	if (v->type == L_TEXT)
		buf_printf(out, "\"%s\"", v->text);
	else if (v->type == L_NUMBER)
		buf_printf(out, "%.17g", v->number);
	else if (v->type == L_INT)
		buf_printf(out, "%" PRId64, v->i);
	else
		buf_printf(out, v->i ? "true" : "false");
}

static void print_test(const struct node *n, struct buf *out)
{
	static const char *const FIELDS[] = {"", "name", "kind", "status", "duration", "error"};
	for (int i = 0; i < n->n_fields; i++) {
		bool short_root = n->of_root && n->level[i] == L_SPAN;
		buf_printf(out, "%s%s%s%s", i != 0 ? " | " : "", n->of_root ? "root." : "",
			   short_root ? "" : LEVEL_NAMES[n->level[i]], short_root ? "" : ".");
		if (n->what == F_ATTRIBUTE)
			buf_printf(out, strcmp(n->key[i], "error") == 0 ? "\"%s\"" : "%s",
				   n->key[i]);
		else
			buf_printf(out, "%s", FIELDS[n->what]);
	}
	if (n->what == F_ERROR) {
		buf_printf(out, n->negative ? " != true" : "");
		return;
	}
	buf_printf(out, " %s ", n->negative ? NEGATIVE[n->op] : OPS[n->op]);
	if (n->what == F_DURATION)
		buf_printf(out, "%" PRIu64 "ms", n->amount);
	else if (n->what == F_KIND)
		buf_printf(out, "\"%s\"", KIND_WORDS[n->amount]);
	else if (n->what == F_STATUS)
		buf_printf(out, "\"%s\"", STATUS_WORDS[n->amount]);
	else if (n->op != EXISTS) {
		buf_printf(out, n->op == IN ? "[" : "");
		print_literal(&n->value[0], out);
		if (n->op == IN) {
			buf_printf(out, ", ");
			print_literal(&n->value[1], out);
			buf_printf(out, "]");
		}
	}
}

static void print(const struct node *n, struct buf *out)
{
	static const char *const QUANTIFIERS[] = {"any", "all", "none"};
	static const char *const FACTS[] = {"span_count", "duration", "error_count", "has_root"};
	switch (n->kind) {
	case AND:
	case OR:
		buf_printf(out, "(");
		print(n->a, out);
		buf_printf(out, n->kind == AND ? " and " : " or ");
		print(n->b, out);
		buf_printf(out, ")");
		break;
	case NOT:
		buf_printf(out, "not ");
		print(n->a, out);
		break;
	case ANY:
	case ALL:
	case NONE_OF:
		buf_printf(out, "%s(", QUANTIFIERS[n->kind - ANY]);
		print(n->a, out);
		buf_printf(out, ")");
		break;
	case TEST:
		print_test(n, out);
		break;
	default:
		buf_printf(out, "trace.%s", FACTS[n->kind - SPANS]);
		if (n->kind != HAS_ROOT)
			buf_printf(out, " %s %" PRIu64 "%s", OPS[n->op], n->amount,
				   n->kind == DURATION ? "ms" : "");
		break;
	}
}

/* ---- the slow evaluator ---- */

struct where {
	const Resource *resource;
	const Scope *scope;
	const Span *span; /* NULL: there is no root */
};

static bool is_decimal(const char *text)
{
	static regex_t re;
	static bool ready;
	if (!ready)
		ready = regcomp(&re, "^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$",
				REG_EXTENDED | REG_NOSUB) == 0;
	return regexec(&re, text, 0, NULL, 0) == 0;
}

static bool compare(int op, long double a, long double b)
{
	return op == BELOW      ? a < b
	       : op == AT_MOST  ? a <= b
	       : op == ABOVE    ? a > b
	       : op == AT_LEAST ? a >= b
				: a == b;
}

static long double number_of(const struct literal *v)
{
	return v->type == L_INT ? (long double)v->i : (long double)v->number;
}

static bool text_meets(int op, const char *text, const char *value)
{
	regex_t re;
	if (op == CONTAINS)
		return strstr(text, value) != NULL;
	if (op == STARTS)
		return strncmp(text, value, strlen(value)) == 0;
	CHECK_EQ(regcomp(&re, value, REG_EXTENDED | REG_NOSUB), 0);
	bool yes = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return yes;
}

static bool equals(const AnyValue *v, const struct literal *l)
{
	switch (v->value_case) {
	case CASE(STRING):
		if (l->type == L_TEXT)
			return strcmp(v->string_value, l->text) == 0;
		if (l->type == L_BOOL)
			return strcmp(v->string_value, l->i ? "true" : "false") == 0;
		return is_decimal(v->string_value) &&
		       strtold(v->string_value, NULL) == number_of(l);
	case CASE(BOOL):
		if (l->type == L_TEXT)
			return strcmp(l->text, v->bool_value ? "true" : "false") == 0;
		return l->type == L_BOOL && l->i == v->bool_value;
	default:
		if (l->type == L_BOOL)
			return false;
		long double is = v->value_case == CASE(INT) ? (long double)v->int_value
							    : (long double)v->double_value;
		if (l->type == L_TEXT)
			return is_decimal(l->text) && strtold(l->text, NULL) == is;
		return is == number_of(l);
	}
}

static long double number_in(const AnyValue *v)
{
	if (v->value_case == CASE(INT))
		return (long double)v->int_value;
	return v->value_case == CASE(DOUBLE) ? (long double)v->double_value : 0;
}

/* As operators for text see it. */
static const char *text_in(const AnyValue *v, char room[64])
{
	if (v->value_case == CASE(STRING))
		return v->string_value;
	if (v->value_case == CASE(BOOL))
		return v->bool_value ? "true" : "false";
	snprintf(room, 64, v->value_case == CASE(INT) ? "%.0Lf" : "%.15Lg", number_in(v));
	if (v->value_case == CASE(DOUBLE) && v->double_value == 9007199254740992.0)
		snprintf(room, 64, "9007199254740992"); /* whole: as an int */
	return room;
}

static bool scalar_meets(const struct node *n, const AnyValue *v)
{
	char text[64];
	if (n->op <= IN)
		return equals(v, &n->value[0]) || (n->op == IN && equals(v, &n->value[1]));
	long double is = number_in(v);
	bool is_number = v->value_case == CASE(INT) || v->value_case == CASE(DOUBLE);
	const char *s = text_in(v, text);
	if (n->op >= MATCHES)
		return text_meets(n->op, s, n->value[0].text);
	if (v->value_case == CASE(STRING) && is_decimal(s)) {
		is_number = true;
		is = strtold(s, NULL);
	}
	return is_number && compare(n->op, is, number_of(&n->value[0]));
}

static bool is_scalar(const AnyValue *v)
{
	return v->value_case == CASE(STRING) || v->value_case == CASE(BOOL) ||
	       v->value_case == CASE(INT) || v->value_case == CASE(DOUBLE);
}

static bool value_meets(const struct node *n, const AnyValue *v)
{
	if (n->op == EXISTS)
		return true;
	if (v == NULL)
		return false;
	if (v->value_case == CASE(ARRAY)) {
		for (size_t i = 0; i < v->array_value->n_values; i++)
			if (is_scalar(v->array_value->values[i]) &&
			    scalar_meets(n, v->array_value->values[i]))
				return true;
		return false;
	}
	return is_scalar(v) && scalar_meets(n, v);
}

static const KeyValue *find(KeyValue *const *all, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i]->key, key) == 0)
			return all[i];
	return NULL;
}

/* -1: the field is not there. */
static int field_meets(const struct node *n, const struct where *w, int level, const char *key)
{
	const KeyValue *kv = NULL;
	int is = -1;
	if (level == L_RESOURCE && w->resource->resource != NULL)
		kv = find(w->resource->resource->attributes, w->resource->resource->n_attributes,
			  key);
	else if (level == L_SCOPE && w->scope->scope != NULL)
		kv = find(w->scope->scope->attributes, w->scope->scope->n_attributes, key);
	else if (level == L_SPAN)
		kv = find(w->span->attributes, w->span->n_attributes, key);
	if (kv != NULL)
		return value_meets(n, kv->value);
	for (size_t i = 0; level == L_EVENT && i < w->span->n_events; i++) {
		kv = find(w->span->events[i]->attributes, w->span->events[i]->n_attributes, key);
		if (kv != NULL && is < 1)
			is = value_meets(n, kv->value);
	}
	for (size_t i = 0; level == L_LINK && i < w->span->n_links; i++) {
		kv = find(w->span->links[i]->attributes, w->span->links[i]->n_attributes, key);
		if (kv != NULL && is < 1)
			is = value_meets(n, kv->value);
	}
	return is;
}

static const char *other_name(int level, const char *key)
{
	static const char *const PAIRS[][2] = {{"http.method", "http.request.method"},
					       {"http.status_code", "http.response.status_code"}};
	for (int i = 0; level == L_SPAN && i < 4; i++)
		if (strcmp(key, PAIRS[i / 2][i % 2]) == 0)
			return PAIRS[i / 2][1 - i % 2];
	return NULL;
}

static bool attribute_meets(const struct node *n, const struct where *w)
{
	for (int i = 0; i < n->n_fields; i++) {
		const char *other = other_name(n->level[i], n->key[i]);
		int is = field_meets(n, w, n->level[i], n->key[i]);
		if (is < 0 && other != NULL)
			is = field_meets(n, w, n->level[i], other);
		if (is >= 0)
			return is;
	}
	return false;
}

static bool text_field_meets(const struct node *n, char *text)
{
	AnyValue v = {.value_case = CASE(STRING), .string_value = text};
	return text != NULL && *text != '\0' && value_meets(n, &v);
}

static bool name_meets(const struct node *n, const struct where *w)
{
	if (n->level[0] == L_SCOPE)
		return w->scope->scope != NULL && text_field_meets(n, w->scope->scope->name);
	if (n->level[0] == L_SPAN)
		return text_field_meets(n, w->span->name);
	for (size_t i = 0; i < w->span->n_events; i++)
		if (text_field_meets(n, w->span->events[i]->name))
			return true;
	return false;
}

static bool span_error(const Span *s)
{
	const KeyValue *kv = find(s->attributes, s->n_attributes, "error");
	if (s->status != NULL && s->status->code == 2)
		return true;
	if (kv != NULL && kv->value != NULL &&
	    ((kv->value->value_case == CASE(BOOL) && kv->value->bool_value) ||
	     (kv->value->value_case == CASE(STRING) &&
	      strcmp(kv->value->string_value, "true") == 0)))
		return true;
	kv = find(s->attributes, s->n_attributes, "http.response.status_code");
	if (kv == NULL)
		kv = find(s->attributes, s->n_attributes, "http.status_code");
	struct node at_least = {.op = AT_LEAST, .value = {{.type = L_INT, .i = 500}}};
	return s->kind == 2 && kv != NULL && kv->value != NULL && is_scalar(kv->value) &&
	       scalar_meets(&at_least, kv->value);
}

static uint64_t duration_of(const Span *s)
{
	return s->end_time_unix_nano - s->start_time_unix_nano; /* never negative here */
}

static bool test_meets(const struct node *n, const struct where *w)
{
	bool is = false;
	if (w->span == NULL)
		return n->negative;
	switch (n->what) {
	case F_ATTRIBUTE:
		is = attribute_meets(n, w);
		break;
	case F_NAME:
		is = name_meets(n, w);
		break;
	case F_KIND:
		is = (uint64_t)w->span->kind == n->amount;
		break;
	case F_STATUS:
		is = (w->span->status != NULL ? (uint64_t)w->span->status->code : 0) == n->amount;
		break;
	case F_DURATION:
		is = compare(n->op, (long double)duration_of(w->span),
			     (long double)n->amount * 1000000);
		break;
	default:
		is = span_error(w->span);
		break;
	}
	return is != n->negative;
}

static bool span_meets(const struct node *n, const struct where *w)
{
	switch (n->kind) {
	case AND:
		return span_meets(n->a, w) && span_meets(n->b, w);
	case OR:
		return span_meets(n->a, w) || span_meets(n->b, w);
	case NOT:
		return !span_meets(n->a, w);
	default:
		return test_meets(n, w);
	}
}

struct whole {
	struct where span[64];
	uint32_t spans, errors;
	struct where root;
	uint64_t duration_ns;
};

static bool trace_meets(const struct node *n, const struct whole *t)
{
	switch (n->kind) {
	case AND:
		return trace_meets(n->a, t) && trace_meets(n->b, t);
	case OR:
		return trace_meets(n->a, t) || trace_meets(n->b, t);
	case NOT:
		return !trace_meets(n->a, t);
	case TEST:
		return test_meets(n, &t->root);
	case SPANS:
		return compare(n->op, t->spans, (long double)n->amount);
	case ERRORS:
		return compare(n->op, t->errors, (long double)n->amount);
	case DURATION:
		return compare(n->op, (long double)t->duration_ns,
			       (long double)n->amount * 1000000);
	case HAS_ROOT:
		return t->root.span != NULL;
	default:
		break;
	}
	for (uint32_t i = 0; i < t->spans; i++)
		if (span_meets(n->a, &t->span[i]) != (n->kind == ALL))
			return n->kind == ANY;
	return n->kind != ANY;
}

static void gather(const Request *r, struct whole *t)
{
	*t = (struct whole){.spans = 0};
	for (size_t i = 0; i < r->n_resource_spans; i++)
		for (size_t k = 0; k < r->resource_spans[i]->n_scope_spans; k++) {
			const Scope *scope = r->resource_spans[i]->scope_spans[k];
			for (size_t m = 0; m < scope->n_spans; m++) {
				struct where w = {r->resource_spans[i], scope, scope->spans[m]};
				t->errors += span_error(w.span);
				if (w.span->parent_span_id.len == 0)
					t->root = w;
				else if (t->root.span == NULL &&
					 duration_of(w.span) > t->duration_ns)
					t->duration_ns =
					    duration_of(w.span); /* one start for all */
				t->span[t->spans++] = w;
			}
		}
	if (t->root.span != NULL)
		t->duration_ns = duration_of(t->root.span);
}

/* ---- fields of keys ---- */

enum { FIELDS = 6, PLACES = 3, BARE = 99 };

struct key_field {
	bool of_root;
	int n, level[PLACES];
	const char *key[PLACES];
};

static struct key_field random_field(void)
{
	static const int LEVELS[] = {L_SPAN, L_RESOURCE, L_SCOPE, BARE};
	struct key_field f = {.of_root = below(4) == 0, .n = 1 + (int)below(PLACES)};
	for (int i = 0; i < f.n; i++) {
		f.level[i] = PICK(LEVELS);
		if (f.of_root && f.level[i] == BARE)
			f.level[i] = L_SPAN;
		f.key[i] = PICK(KEYS);
	}
	return f;
}

static void print_field(const struct key_field *f, struct buf *out)
{
	for (int i = 0; i < f->n; i++) {
		buf_printf(out, "%s%s", i != 0 ? " | " : "", f->of_root ? "root." : "");
		if (f->level[i] != BARE && !(f->of_root && f->level[i] == L_SPAN))
			buf_printf(out, "%s.", LEVEL_NAMES[f->level[i]]);
		buf_printf(out, strcmp(f->key[i], "error") == 0 ? "\"%s\"" : "%s", f->key[i]);
	}
}

static const struct siphash_key HASH_KEY = {3, 5};

static uint64_t hash_scalar(const AnyValue *v)
{
	char room[64];
	const char *text = v != NULL && is_scalar(v) ? text_in(v, room) : "\xff";
	return siphash(&HASH_KEY, text, strlen(text));
}

static uint32_t hash_value(const AnyValue *v)
{
	uint64_t chain[2] = {siphash(&HASH_KEY, "\xfe", 1), 0};
	if (v == NULL || v->value_case != CASE(ARRAY))
		return (uint32_t)hash_scalar(v);
	for (size_t i = 0; i < v->array_value->n_values; i++) {
		chain[1] = hash_scalar(v->array_value->values[i]);
		chain[0] = siphash(&HASH_KEY, chain, sizeof(chain));
	}
	return (uint32_t)chain[0];
}

static const KeyValue *find_at(const struct where *w, int level, const char *key)
{
	const KeyValue *kv = NULL;
	if (level == L_RESOURCE)
		return w->resource->resource == NULL
			   ? NULL
			   : find(w->resource->resource->attributes,
				  w->resource->resource->n_attributes, key);
	if (level == L_SCOPE)
		return w->scope->scope == NULL
			   ? NULL
			   : find(w->scope->scope->attributes, w->scope->scope->n_attributes, key);
	kv = find(w->span->attributes, w->span->n_attributes, key);
	if (kv == NULL && other_name(L_SPAN, key) != NULL)
		kv = find(w->span->attributes, w->span->n_attributes, other_name(L_SPAN, key));
	return kv != NULL || level != BARE ? kv : find_at(w, L_RESOURCE, key);
}

static uint32_t field_hash(const struct key_field *f, const struct where *w)
{
	const KeyValue *kv = NULL;
	if (f->of_root && w->span->parent_span_id.len != 0)
		return 0;
	for (int i = 0; i < f->n && kv == NULL; i++)
		kv = find_at(w, f->level[i], f->key[i]);
	return kv != NULL ? hash_value(kv->value) : 0;
}

/* ---- both ---- */

enum { CONDITIONS = 12 };

struct watch {
	uint32_t keys[64][FIELDS];
	const struct condition_set *set;
	struct trace_facts facts;
	bool always[CONDITIONS], never[CONDITIONS];
};

static void on_span(void *user, const struct span_facts *f)
{
	struct watch *w = user;
	uint64_t duration = w->facts.duration_ns;
	memcpy(w->keys[f->ordinal], f->keys, sizeof(w->keys[0]));
	bool had_root = w->facts.has_root;
	sum_span(&w->facts, f);
	if (had_root)
		w->facts.duration_ns = duration;
	else if (!f->is_root && span_duration_ns(f) > duration)
		w->facts.duration_ns = span_duration_ns(f);
	for (uint32_t i = 0; i < CONDITIONS; i++) {
		enum condition_outlook is = condition_outlook(w->set, i, &w->facts);
		w->always[i] = w->always[i] || is == CONDITION_ALWAYS;
		w->never[i] = w->never[i] || is == CONDITION_NEVER;
	}
}

static void check_vetted(struct slice request)
{
	struct arena arena;
	struct otlp_index ix;
	arena_init(&arena, 1 << 20);
	CHECK_EQ(otlp_index(&ix, request, &INDEX_LIMITS, &arena), INDEX_OK);
	CHECK(ix.edits == NULL);
	arena_finish(&arena);
}

/* Fields of the set, which may be fewer: equal ones are one. */
static void add_fields(struct condition_set *set, struct key_field fields[FIELDS],
		       uint32_t numbers[FIELDS])
{
	for (int i = 0; i < FIELDS; i++) {
		struct buf text = {0};
		struct condition_error why;
		fields[i] = random_field();
		print_field(&fields[i], &text);
		if (condition_add_field(set, buf_slice(&text), &numbers[i], &why) != 0) {
			printf("FAIL %.*s: %s\n", (int)text.len, (char *)text.data, why.words);
			exit(1);
		}
		buf_finish(&text);
	}
}

static void check_fields(const struct key_field fields[FIELDS], const uint32_t numbers[FIELDS],
			 const struct whole *t, const struct watch *w)
{
	for (uint32_t i = 0; i < t->spans; i++)
		for (int k = 0; k < FIELDS; k++) {
			struct buf text = {0};
			if (w->keys[i][numbers[k]] == field_hash(&fields[k], &t->span[i]))
				continue;
			print_field(&fields[k], &text);
			printf("FAIL %.*s of span %u\n", (int)text.len, (char *)text.data, i);
			exit(1);
		}
}

static void one_round(uint32_t *n_true)
{
	struct key_field fields[FIELDS];
	uint32_t numbers[FIELDS];
	struct node *trees[CONDITIONS];
	struct condition_set *set = condition_set_create();
	struct buf texts[CONDITIONS] = {{0}}, bytes = {0};
	used = 0;
	for (int i = 0; i < CONDITIONS; i++) {
		trees[i] = random_trace(3);
		print(trees[i], &texts[i]);
		CHECK_EQ(buf_append(&texts[i], "", 1), 0);
		CHECK_EQ(add_text(set, (char *)texts[i].data), i);
	}
	add_fields(set, fields, numbers);
	CHECK_EQ(condition_compile(set), 0);
	struct condition_scratch *s = condition_scratch_create(set);
	condition_scratch_set_key(s, &HASH_KEY);
	for (int round = 0; round < 5; round++) {
		struct watch w = {.set = set};
		struct whole t;
		bytes.len = 0;
		make_request(&bytes);
		check_vetted(buf_slice(&bytes));
		Request *r = unpack(NULL, bytes.len, bytes.data);
		gather(r, &t);
		condition_evaluate(set, s, buf_slice(&bytes), on_span, &w);
		CHECK_EQ(w.facts.spans, t.spans);
		CHECK_EQ(w.facts.errors, t.errors);
		CHECK_EQ(w.facts.duration_ns, t.duration_ns);
		check_fields(fields, numbers, &t, &w);
		for (uint32_t i = 0; i < CONDITIONS; i++) {
			bool want = trace_meets(trees[i], &t);
			if (condition_holds(set, i, &w.facts) != want || (w.always[i] && !want) ||
			    (w.never[i] && want)) {
				printf("FAIL %s\nshould %shold\n", (char *)texts[i].data,
				       want ? "" : "not ");
				exit(1);
			}
			*n_true += want;
		}
		release(r, NULL);
	}
	condition_scratch_destroy(s);
	condition_set_destroy(set);
	for (int i = 0; i < CONDITIONS; i++)
		buf_finish(&texts[i]);
	buf_finish(&bytes);
}

static void test_random_conditions_are_as_the_slow_evaluator_has_them(void)
{
	const char *rounds = getenv("CONDITION_ROUNDS");
	long n = rounds != NULL ? strtol(rounds, NULL, 10) : 1000;
	uint32_t n_true = 0;
	for (long i = 0; i < n; i++)
		one_round(&n_true);
	CHECK(n_true > n * 5 * CONDITIONS / 10); /* neither all nor nothing */
	CHECK(n_true < n * 5 * CONDITIONS * 9 / 10);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_random_conditions_are_as_the_slow_evaluator_has_them));
}
