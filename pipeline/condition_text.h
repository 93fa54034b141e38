/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition_text.h - the text of a condition as a tree: what the parser hands to the
 * compiler. Within pipeline/ only; condition.h is for others. All of it lives in the arena or in
 * the text. */
#ifndef PIPELINE_CONDITION_TEXT_H
#define PIPELINE_CONDITION_TEXT_H

#include "base/arena.h"
#include "pipeline/condition.h"
#include "pipeline/value.h"

/* Where a field is read; what comes first is known first. */
enum level { LEVEL_RESOURCE, LEVEL_SCOPE, LEVEL_SPAN, LEVEL_EVENT, LEVEL_LINK, LEVELS };

enum what {
	WHAT_ATTRIBUTE,
	WHAT_NAME,
	WHAT_VERSION,
	WHAT_KIND,
	WHAT_STATUS,
	WHAT_DURATION,
	WHAT_ERROR,
	WHAT_ROOT,
	WHATS
};

struct field_name {
	enum level level;
	enum what what;
	struct slice key; /* of WHAT_ATTRIBUTE */
	bool of_root;     /* written root.: of spans without a parent */
	bool in_ms;       /* duration_ms: its values are numbers of milliseconds */
};

/* All are false where the field is missing; what is true there is written with EXPR_NOT. */
enum test_op {
	TEST_EXISTS,
	TEST_EQUAL, /* one of the values */
	TEST_BELOW,
	TEST_AT_MOST,
	TEST_ABOVE,
	TEST_AT_LEAST,
	TEST_MATCHES,
	TEST_CONTAINS,
	TEST_STARTS
};

enum literal_type { LITERAL_TEXT, LITERAL_NUMBER, LITERAL_BOOL };
struct literal {
	enum literal_type type;
	struct slice text;
	struct number number; /* of durations: nanoseconds */
	bool yes;
};

struct test {
	enum test_op op;
	struct field_name *fields; /* the first that is present counts; of one level and of_root */
	uint32_t n_fields;
	struct literal *values;
	uint32_t n_values, room;
};

enum fact { FACT_DURATION, FACT_SPANS, FACT_BYTES, FACT_ERRORS, FACT_HAS_ROOT };
struct fact_test {
	enum fact fact;
	enum test_op op; /* EQUAL to AT_LEAST */
	uint64_t value;  /* ns, a count, bytes, 0 or 1 */
};

enum expr_kind { EXPR_AND, EXPR_OR, EXPR_NOT, EXPR_ANY, EXPR_TEST, EXPR_FACT };
struct expr {
	enum expr_kind kind;
	size_t at; /* where it begins in the text, about */
	struct expr *
	    *children; /* of AND and OR: n, none of them of the same kind; of NOT, ANY: one */
	uint32_t n, room;
	struct test test;
	struct fact_test fact;
};

/* ---- words and marks ---- */

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_STRING,
	TOKEN_NUMBER, /* with its unit, if any */
	TOKEN_MARK    /* operators and brackets, in `text` */
};

struct token {
	enum token_kind kind;
	size_t at;                 /* offset of its first byte */
	struct slice text;         /* as written; of strings without quotes and escapes */
	struct slice digits, unit; /* of numbers */
};

struct parser {
	struct slice text;
	struct arena *arena;
	struct condition_error *why;
	struct token token; /* the one to be looked at */
	size_t at;          /* behind it */
	unsigned depth;
	bool in_spans; /* inside any(), all() or none() */
	bool no_memory;
};

/* Says what is wrong at `at`, once: the first word stays. Gives false. */
bool parser_fail(struct parser *p, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void *parser_alloc(struct parser *p, size_t size); /* zeroed; NULL with no_memory */

bool token_next(struct parser *p);                       /* false: no token, and said so */
bool token_is(const struct parser *p, const char *text); /* a word or mark; not a string */
/* Where byte `n` of a string without escapes stands in the text. */
size_t token_offset(const struct parser *p, const struct token *string, size_t n);

/* ---- names ---- */

/* The field that begins with the word at hand, with what is quoted behind it; takes them. */
bool field_parse(struct parser *p, struct field_name *f);
bool fact_parse(struct parser *p, enum fact *fact, bool *in_ms);
bool field_is_text(const struct field_name *f); /* an attribute, name or version */
/* The same for keys: *bare is an attribute of the span, else of its resource. */
bool key_field_parse(struct parser *p, struct field_name *f, bool *bare);

/* Says that `word` is unknown, and which of the words (up to NULL) may have been meant. */
bool name_unknown(struct parser *p, size_t at, const char *sort, struct slice word,
		  const char *const *words);

/* span.kind and span.status: their numbers. false: no such name. */
bool kind_parse(struct slice name, enum what what, int64_t *number);
extern const char *const KIND_NAMES[], *const STATUS_NAMES[]; /* by number; to NULL */

/* ---- values: take the token at hand; `op` is for the error ---- */
bool value_parse(struct parser *p, const struct field_name *f, enum test_op op, const char *written,
		 struct literal *v);
bool fact_value_parse(struct parser *p, enum fact fact, bool in_ms, const char *written,
		      uint64_t *value);

/* The whole text. NULL: p->why says why, or no_memory. */
struct expr *condition_parse(struct parser *p);

#endif
