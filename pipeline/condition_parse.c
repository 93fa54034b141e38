/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_parse.c - the grammar of conditions (condition.h), by recursive descent. What
 * passes here is right: fields, operators and values fit each other, and patterns compile. */
#include "base/pattern.h"
#include "pipeline/condition_text.h"

enum { MAX_DEPTH = 32, MAX_CHILDREN = 1024, MAX_VALUES = 1024, MAX_FIELDS = 16 };

struct operator
{
	const char *name;
	enum test_op op;
	bool negative, many;
};
static const struct operator OPERATORS[] = {
    {"==", TEST_EQUAL, false, false},
    {"=", TEST_EQUAL, false, false},
    {"!=", TEST_EQUAL, true, false},
    {"<", TEST_BELOW, false, false},
    {"<=", TEST_AT_MOST, false, false},
    {">", TEST_ABOVE, false, false},
    {">=", TEST_AT_LEAST, false, false},
    {"in", TEST_EQUAL, false, true},
    {"not-in", TEST_EQUAL, true, true},
    {"exists", TEST_EXISTS, false, false},
    {"not-exists", TEST_EXISTS, true, false},
    {"=~", TEST_MATCHES, false, false},
    {"!~", TEST_MATCHES, true, false},
    {"matches", TEST_MATCHES, false, false},
    {"contains", TEST_CONTAINS, false, false},
    {"does-not-contain", TEST_CONTAINS, true, false},
    {"starts_with", TEST_STARTS, false, false},
    {"starts-with", TEST_STARTS, false, false},
};
enum { N_OPERATORS = sizeof(OPERATORS) / sizeof(OPERATORS[0]) };

static struct expr *parse_or(struct parser *p);

static struct expr *new_expr(struct parser *p, enum expr_kind kind)
{
	struct expr *e = parser_alloc(p, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->kind = kind;
	e->at = p->token.at;
	return e;
}

static struct expr *wrap(struct parser *p, enum expr_kind kind, struct expr *child)
{
	struct expr *e = child != NULL ? new_expr(p, kind) : NULL;
	struct expr **room = e != NULL ? parser_alloc(p, sizeof(struct expr *)) : NULL;
	if (room == NULL)
		return NULL;
	room[0] = child;
	e->at = child->at;
	e->children = room;
	e->n = e->room = 1;
	return e;
}

/* ---- tests ---- */

static const struct operator* find_operator(struct slice name)
{
	for (size_t i = 0; i < N_OPERATORS; i++)
		if (slice_is(name, OPERATORS[i].name))
			return &OPERATORS[i];
	return NULL;
}

static bool ends_operand(const struct parser *p)
{
	return p->token.kind == TOKEN_END || token_is(p, ")") || token_is(p, "and") ||
	       token_is(p, "or");
}

/* Takes the operator, `not` before it included. `field` is what it stands behind. */
static bool parse_operator(struct parser *p, struct slice field, struct operator* op)
{
	static const char *const WORDS[] = {
	    "in",       "not",    "exists",     "matches",          "starts_with",
	    "contains", "not-in", "not-exists", "does-not-contain", NULL};
	static const char *const POSITIVE[] = {"in",       "exists",      "matches",
					       "contains", "starts_with", NULL};
	size_t at = p->token.at;
	if (ends_operand(p) || (p->token.kind != TOKEN_WORD && p->token.kind != TOKEN_MARK))
		return parser_fail(p, at, "expected an operator after `%.*s`, such as == or exists",
				   (int)field.len, (const char *)field.data);
	bool negated = token_is(p, "not");
	if (negated && !token_next(p))
		return false;
	const struct operator* found = p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_MARK
	    ? find_operator(p->token.text)
	    : NULL;
	if (negated && (found == NULL || p->token.kind != TOKEN_WORD || found->negative)) {
		if (p->token.kind == TOKEN_WORD)
			return name_unknown(p, p->token.at, "operator after `not`", p->token.text,
					    POSITIVE);
		return parser_fail(p, p->token.at,
				   "expected in, exists, matches, contains or starts_with after "
				   "`not`");
	}
	if (found == NULL && p->token.kind == TOKEN_WORD)
		return name_unknown(p, at, "operator", p->token.text, WORDS);
	if (found == NULL)
		return parser_fail(p, at, "expected an operator after `%.*s`, such as == or exists",
				   (int)field.len, (const char *)field.data);
	*op = *found;
	op->negative ^= negated;
	return token_next(p);
}

static bool fits(struct parser *p, size_t at, struct slice field, const struct field_name *f,
		 const struct operator* op)
{
	const char *why = NULL;
	bool compares = op->op >= TEST_BELOW && op->op <= TEST_AT_LEAST;
	if (f->what == WHAT_DURATION && (!(compares || op->op == TEST_EQUAL) || op->many))
		why = "is compared with ==, !=, <, <=, > or >=";
	else if ((f->what == WHAT_KIND || f->what == WHAT_STATUS) && op->op != TEST_EQUAL)
		why = "is compared with ==, !=, in or not in";
	else if (f->what == WHAT_ERROR && (op->op != TEST_EQUAL || op->many))
		why = "stands alone, or with == or !=";
	else if ((f->what == WHAT_NAME || f->what == WHAT_VERSION) && compares)
		why = "is a text, and < <= > >= are for numbers";
	if (why == NULL)
		return true;
	return parser_fail(p, at, "`%.*s` %s", (int)field.len, (const char *)field.data, why);
}

/* The pattern's own error, where it stands in the text. */
static bool check_text(struct parser *p, const struct token *token, enum test_op op)
{
	struct pattern *pattern;
	char words[PATTERN_WORDS];
	size_t offset;
	if (op == TEST_CONTAINS || op == TEST_STARTS)
		return token->text.len != 0 ||
		       parser_fail(p, token->at, "every text contains and starts with nothing");
	if (op != TEST_MATCHES)
		return true;
	int rc = pattern_create(&pattern, token->text, &offset, words);
	if (rc == PATTERN_BAD)
		return parser_fail(p, token_offset(p, token, offset), "pattern: %s", words);
	if (rc < 0) {
		p->no_memory = true;
		return false;
	}
	pattern_destroy(pattern);
	return true;
}

/* Room for one more of `size` bytes in *all, which has n of room. */
static bool grow(struct parser *p, void *all, uint32_t n, uint32_t *room, size_t size)
{
	void *was, *now;
	if (n < *room)
		return true;
	uint32_t more = *room == 0 ? 1 : *room * 2;
	now = parser_alloc(p, more * size);
	if (now == NULL)
		return false;
	memcpy(&was, all, sizeof(was));
	if (n != 0)
		memcpy(now, was, n * size);
	memcpy(all, &now, sizeof(now));
	*room = more;
	return true;
}

static bool parse_value(struct parser *p, struct test *t, const char *written)
{
	struct token token = p->token;
	if (t->n_values == MAX_VALUES)
		return parser_fail(p, token.at, "more than %d values", MAX_VALUES);
	if (!grow(p, &t->values, t->n_values, &t->room, sizeof(*t->values)))
		return false;
	return value_parse(p, &t->fields[0], t->op, written, &t->values[t->n_values]) &&
	       check_text(p, &token, t->op) && ++t->n_values != 0;
}

static bool parse_list(struct parser *p, struct test *t, const char *written)
{
	if (!token_is(p, "["))
		return parser_fail(p, p->token.at,
				   "expected a list such as [\"a\", \"b\"] after `%s`", written);
	if (!token_next(p))
		return false;
	if (token_is(p, "]"))
		return parser_fail(p, p->token.at, "nothing is in an empty list");
	for (const char *before = "["; parse_value(p, t, before); before = ",") {
		if (token_is(p, "]"))
			return token_next(p);
		if (!token_is(p, ","))
			return parser_fail(p, p->token.at, "expected `,` or `]` in the list");
		if (!token_next(p))
			return false;
	}
	return false;
}

static bool parse_operand(struct parser *p, struct test *t, const struct operator* op)
{
	t->op = op->op;
	if (op->op == TEST_EXISTS)
		return true;
	return op->many ? parse_list(p, t, op->name) : parse_value(p, t, op->name);
}

/* FIELD | FIELD ... */
static bool parse_fields(struct parser *p, struct test *t)
{
	t->fields = parser_alloc(p, MAX_FIELDS * sizeof(*t->fields));
	if (t->fields == NULL)
		return false;
	for (;;) {
		size_t at = p->token.at;
		struct field_name *f = &t->fields[t->n_fields];
		if (t->n_fields == MAX_FIELDS)
			return parser_fail(p, at, "more than %d fields", MAX_FIELDS);
		if (t->n_fields != 0 && p->token.kind != TOKEN_WORD)
			return parser_fail(p, at, "expected a field after `|`; for || write `or`");
		if (!field_parse(p, f))
			return false;
		if (t->n_fields != 0 && f->of_root != t->fields[0].of_root)
			return parser_fail(p, at,
					   "fields of the root and of spans are no "
					   "alternatives");
		t->n_fields++;
		if ((t->n_fields > 1 || token_is(p, "|")) && !field_is_text(f))
			return parser_fail(
			    p, at, "this field is never missing, so it has no alternatives");
		if (!token_is(p, "|"))
			return true;
		if (!token_next(p))
			return false;
	}
}

static bool stands_right(struct parser *p)
{
	bool of_root = p->token.text.len > 5 && memcmp(p->token.text.data, "root.", 5) == 0;
	if (p->in_spans && of_root)
		return parser_fail(p, p->token.at,
				   "a field of the root stands outside any(), all() and none()");
	if (p->in_spans || of_root)
		return true;
	static const char *const INNER[] = {"span.", "resource.", "scope.", "event.", "link."};
	for (size_t i = 0; i < sizeof(INNER) / sizeof(INNER[0]); i++) {
		size_t len = strlen(INNER[i]);
		if (p->token.text.len >= len && memcmp(p->token.text.data, INNER[i], len) == 0)
			return parser_fail(p, p->token.at,
					   "a field of spans stands inside any(), all() or none()");
	}
	return true;
}

static struct expr *parse_test(struct parser *p)
{
	struct expr *e = new_expr(p, EXPR_TEST);
	size_t begin = p->token.at;
	if (e == NULL || !stands_right(p) || !parse_fields(p, &e->test))
		return NULL;
	const struct field_name *f = &e->test.fields[0];
	struct slice field = slice_of(p->text.data + begin, p->token.at - begin);
	while (field.len > 1 && strchr(" \t\r\n", field.data[field.len - 1]) != NULL)
		field.len--;
	size_t at = p->token.at;
	struct operator op = {.op = TEST_EQUAL};
	if (f->what == WHAT_ERROR && ends_operand(p)) {
		if (!grow(p, &e->test.values, 0, &e->test.room, sizeof(*e->test.values)))
			return NULL;
		e->test.values[e->test.n_values++] =
		    (struct literal){.type = LITERAL_BOOL, .yes = true};
		e->test.op = TEST_EQUAL;
		return e;
	}
	if (!parse_operator(p, field, &op) || !fits(p, at, field, f, &op) ||
	    !parse_operand(p, &e->test, &op))
		return NULL;
	return op.negative ? wrap(p, EXPR_NOT, e) : e;
}

/* ---- facts of the trace ---- */

static struct expr *parse_fact(struct parser *p)
{
	struct expr *e = new_expr(p, EXPR_FACT);
	struct slice field = p->token.text;
	bool in_ms;
	if (p->in_spans) {
		parser_fail(p, p->token.at,
			    "a field of the trace stands outside any(), all() and none()");
		return NULL;
	}
	if (e == NULL || !fact_parse(p, &e->fact.fact, &in_ms))
		return NULL;
	struct operator op = {.op = TEST_EQUAL, .name = "=="};
	bool is_flag = e->fact.fact == FACT_HAS_ROOT;
	size_t at = p->token.at;
	if (is_flag && ends_operand(p)) {
		e->fact.op = TEST_EQUAL;
		e->fact.value = 1;
		return e;
	}
	if (!parse_operator(p, field, &op))
		return NULL;
	if (op.many || op.op < TEST_EQUAL || op.op > TEST_AT_LEAST ||
	    (is_flag && op.op != TEST_EQUAL)) {
		parser_fail(p, at,
			    is_flag ? "`%.*s` stands alone, or with == or !="
				    : "`%.*s` is compared with ==, !=, <, <=, > or >=",
			    (int)field.len, (const char *)field.data);
		return NULL;
	}
	e->fact.op = op.op;
	if (!fact_value_parse(p, e->fact.fact, in_ms, op.name, &e->fact.value))
		return NULL;
	return op.negative ? wrap(p, EXPR_NOT, e) : e;
}

/* `has-root-span` is how others write trace.has_root. */
static struct expr *parse_has_root(struct parser *p)
{
	struct expr *e = new_expr(p, EXPR_FACT);
	if (e == NULL || !token_next(p))
		return NULL;
	e->fact = (struct fact_test){FACT_HAS_ROOT, TEST_EQUAL, 1};
	return e;
}

/* ---- and, or, not, quantifiers ---- */

/* `(` has been seen. */
static struct expr *parse_parenthesis(struct parser *p)
{
	size_t at = p->token.at;
	if (++p->depth > MAX_DEPTH) {
		parser_fail(p, at, "nested deeper than %d", MAX_DEPTH);
		return NULL;
	}
	struct expr *e = token_next(p) ? parse_or(p) : NULL;
	if (e == NULL)
		return NULL;
	if (!token_is(p, ")")) {
		parser_fail(p, p->token.at, "expected `and`, `or` or the `)` of the `(` at %zu",
			    at);
		return NULL;
	}
	p->depth--;
	return token_next(p) ? e : NULL;
}

/* all(E) is not any(not E); none(E) is not any(E). */
static struct expr *parse_quantifier(struct parser *p)
{
	bool all = token_is(p, "all"), any = token_is(p, "any");
	if (p->in_spans) {
		parser_fail(p, p->token.at, "any(), all() and none() do not stand inside another");
		return NULL;
	}
	if (!token_next(p))
		return NULL;
	if (!token_is(p, "(")) {
		parser_fail(p, p->token.at, "expected `(` after any, all or none");
		return NULL;
	}
	p->in_spans = true;
	struct expr *e = parse_parenthesis(p);
	p->in_spans = false;
	if (all)
		e = wrap(p, EXPR_NOT, e);
	e = wrap(p, EXPR_ANY, e);
	return any ? e : wrap(p, EXPR_NOT, e);
}

static struct expr *parse_unary(struct parser *p)
{
	if (token_is(p, "not")) {
		size_t at = p->token.at;
		if (++p->depth > MAX_DEPTH) {
			parser_fail(p, at, "nested deeper than %d", MAX_DEPTH);
			return NULL;
		}
		struct expr *e = token_next(p) ? wrap(p, EXPR_NOT, parse_unary(p)) : NULL;
		p->depth--;
		return e;
	}
	if (token_is(p, "("))
		return parse_parenthesis(p);
	if (token_is(p, "any") || token_is(p, "all") || token_is(p, "none"))
		return parse_quantifier(p);
	if (p->token.kind != TOKEN_WORD || token_is(p, "and") || token_is(p, "or")) {
		parser_fail(p, p->token.at,
			    p->token.kind == TOKEN_END ? "expected a condition, not the end%s"
						       : "expected a condition%s",
			    p->in_spans ? ", such as span.error" : ", such as any(span.error)");
		return NULL;
	}
	if (token_is(p, "has-root-span"))
		return parse_has_root(p);
	if (p->token.text.len > 6 && memcmp(p->token.text.data, "trace.", 6) == 0)
		return parse_fact(p);
	return parse_test(p);
}

/* Adds e to those of `list`: one of the same kind gives its children, so (a and b) and c is one. */
static bool add_child(struct parser *p, struct expr *list, struct expr *e)
{
	if (e == NULL)
		return false;
	bool splice = e->kind == list->kind;
	for (uint32_t i = 0; i < (splice ? e->n : 1); i++) {
		if (list->n == MAX_CHILDREN)
			return parser_fail(p, p->token.at, "more than %d conditions in one",
					   MAX_CHILDREN);
		if (!grow(p, &list->children, list->n, &list->room, sizeof(struct expr *)))
			return false;
		list->children[list->n++] = splice ? e->children[i] : e;
	}
	return true;
}

static struct expr *parse_chain(struct parser *p, enum expr_kind kind, const char *word,
				struct expr *(*operand)(struct parser *))
{
	struct expr *first = operand(p);
	if (first == NULL || !token_is(p, word))
		return first;
	struct expr *list = new_expr(p, kind);
	if (list == NULL || !add_child(p, list, first))
		return NULL;
	while (token_is(p, word))
		if (!token_next(p) || !add_child(p, list, operand(p)))
			return NULL;
	return list;
}

static struct expr *parse_and(struct parser *p)
{
	return parse_chain(p, EXPR_AND, "and", parse_unary);
}

static struct expr *parse_or(struct parser *p)
{
	return parse_chain(p, EXPR_OR, "or", parse_and);
}

struct expr *condition_parse(struct parser *p)
{
	if (p->text.len > CONDITION_MAX_BYTES) {
		parser_fail(p, CONDITION_MAX_BYTES, "longer than %d bytes", CONDITION_MAX_BYTES);
		return NULL;
	}
	struct expr *e = token_next(p) ? parse_or(p) : NULL;
	if (e != NULL && p->token.kind != TOKEN_END) {
		parser_fail(p, p->token.at, "expected `and`, `or` or the end");
		return NULL;
	}
	return e;
}
