/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

enum {
	HEAP_KIB = 1024, /* of the interpreter */
	STACK_LEAST = 32 << 10,
	STACK_MOST = 256 << 10 /* of the JIT's code; a pattern of text has 32 KiB */
};

struct pattern {
	pcre2_code *code;
};

struct matcher {
	pcre2_match_data *data;
	pcre2_match_context *limits;
	pcre2_match_context *window; /* limits, and where a match may begin */
	pcre2_jit_stack *stack;
};

static int compile(struct pattern **out, struct slice text, uint32_t options, size_t *offset,
		   char words[PATTERN_WORDS])
{
	int error;
	PCRE2_SIZE at;
	if (text.len > PATTERN_MAX_BYTES) {
		*offset = PATTERN_MAX_BYTES;
		snprintf(words, PATTERN_WORDS, "longer than %d bytes", PATTERN_MAX_BYTES);
		return PATTERN_BAD;
	}
	struct pattern *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return fail(-ENOMEM, "pattern: no memory");
	p->code = pcre2_compile(text.data, text.len, options, &error, &at, NULL);
	if (p->code == NULL) {
		free(p);
		*offset = at <= text.len ? at : text.len;
		pcre2_get_error_message(error, (PCRE2_UCHAR *)words, PATTERN_WORDS);
		return PATTERN_BAD;
	}
	/* Not where memory is never both written and run, as in our systemd unit: then it is
	 * interpreted, some ten times slower. */
	(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	*out = p;
	return 0;
}

int pattern_create(struct pattern **out, struct slice text, size_t *offset,
		   char words[PATTERN_WORDS])
{
	/* MATCH_INVALID_UTF: bytes that are no UTF-8 are no match, never a crash. */
	return compile(out, text, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
		       offset, words);
}

int pattern_create_bytes(struct pattern **out, struct slice text, size_t *offset,
			 char words[PATTERN_WORDS])
{
	return compile(out, text, PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_USE_OFFSET_LIMIT,
		       offset, words);
}

void pattern_destroy(struct pattern *p)
{
	if (p == NULL)
		return;
	pcre2_code_free(p->code);
	free(p);
}

uint32_t pattern_groups(const struct pattern *p)
{
	uint32_t n = 0;
	(void)pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &n); /* cannot fail */
	return n;
}

size_t pattern_bytes(const struct pattern *p)
{
	size_t code = 0, jit = 0;
	(void)pcre2_pattern_info(p->code, PCRE2_INFO_SIZE, &code);
	(void)pcre2_pattern_info(p->code, PCRE2_INFO_JITSIZE, &jit);
	return sizeof(*p) + code + jit;
}

struct matcher *matcher_create(void)
{
	struct matcher *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->data = pcre2_match_data_create(PATTERN_MAX_GROUP + 1, NULL);
	m->limits = pcre2_match_context_create(NULL);
	if (m->limits != NULL) {
		pcre2_set_match_limit(m->limits, PATTERN_MAX_STEPS);
		pcre2_set_heap_limit(m->limits, HEAP_KIB);
		m->window = pcre2_match_context_copy(m->limits);
	}
	/* Without a stack of its own, as where there is no JIT, it has the thread's. */
	m->stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, NULL);
	if (m->data == NULL || m->window == NULL) {
		matcher_destroy(m);
		return NULL;
	}
	if (m->stack != NULL)
		pcre2_jit_stack_assign(m->window, NULL, m->stack);
	return m;
}

void matcher_destroy(struct matcher *m)
{
	if (m == NULL)
		return;
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->limits);
	pcre2_match_context_free(m->window);
	pcre2_jit_stack_free(m->stack);
	free(m);
}

enum pattern_outcome pattern_match(const struct pattern *p, struct matcher *m, struct slice subject)
{
	uint32_t options = subject.len > PATTERN_MAX_SUBJECT ? PCRE2_NOTEOL : 0;
	size_t len = subject.len > PATTERN_MAX_SUBJECT ? PATTERN_MAX_SUBJECT : subject.len;
	const uint8_t *data = len != 0 ? subject.data : (const uint8_t *)"";
	int rc = pcre2_match(p->code, data, len, 0, options, m->data, m->limits);
	if (rc >= 0)
		return PATTERN_YES;
	return rc == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_GAVE_UP;
}

enum pattern_outcome pattern_find(const struct pattern *p, struct matcher *m, struct slice subject,
				  struct pattern_search *s)
{
	const uint8_t *data = subject.len != 0 ? subject.data : (const uint8_t *)"";
	pcre2_set_offset_limit(m->window, s->until);
	int rc = pcre2_match(p->code, data, subject.len, s->from, 0, m->data, m->window);
	if (rc < 0)
		return rc == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_GAVE_UP;
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(m->data);
	s->match = (struct pattern_range){ends[0], ends[1]};
	s->part = (struct pattern_range){ends[1], ends[1]};
	bool is_set = (uint32_t)rc > s->group || rc == 0;
	const PCRE2_SIZE *group = ends + (size_t)2 * s->group;
	if (is_set && group[0] != PCRE2_UNSET)
		s->part = (struct pattern_range){group[0], group[1]};
	return PATTERN_YES;
}

/* One character at text[*at] that stands for itself, or -1. */
static int literal_at(struct slice text, size_t *at)
{
	uint8_t c = text.data[*at];
	if (c == '\\' && *at + 1 < text.len && text.data[*at + 1] < 0x80 &&
	    ispunct(text.data[*at + 1])) {
		*at += 2;
		return text.data[*at - 1];
	}
	if (c < ' ' || c >= 0x7f || strchr("\\^$.[]|()?*+{}", c) != NULL)
		return -1;
	++*at;
	return c;
}

enum pattern_shape pattern_shape(struct slice text, uint8_t *literal, size_t *len)
{
	bool anchored = text.len != 0 && text.data[0] == '^';
	size_t at = anchored;
	*len = 0;
	while (at < text.len) {
		int c = literal_at(text, &at);
		if (c < 0)
			break;
		literal[(*len)++] = (uint8_t)c;
	}
	if (at == text.len)
		return *len == 0 ? PATTERN_ANY : anchored ? PATTERN_STARTS : PATTERN_CONTAINS;
	if (*len != 0 && strchr("?*+{", text.data[at]) != NULL)
		--*len; /* it may be there 0 times */
	bool has_branches = memchr(text.data, '|', text.len) != NULL;
	return anchored && *len != 0 && !has_branches ? PATTERN_GUARDED : PATTERN_ANY;
}
