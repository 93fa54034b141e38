/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

enum { HEAP_KIB = 1024 }; /* of the interpreter; the JIT has a stack of 32 KiB */

struct pattern {
	pcre2_code *code;
};

struct matcher {
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

int pattern_create(struct pattern **out, struct slice text, size_t *offset,
		   char words[PATTERN_WORDS])
{
	int error;
	PCRE2_SIZE at;
	/* MATCH_INVALID_UTF: bytes that are no UTF-8 are no match, never a crash. */
	uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
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

struct matcher *matcher_create(void)
{
	struct matcher *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->data = pcre2_match_data_create(1, NULL);
	m->limits = pcre2_match_context_create(NULL);
	if (m->data == NULL || m->limits == NULL) {
		matcher_destroy(m);
		return NULL;
	}
	pcre2_set_match_limit(m->limits, PATTERN_MAX_STEPS);
	pcre2_set_heap_limit(m->limits, HEAP_KIB);
	return m;
}

void matcher_destroy(struct matcher *m)
{
	if (m == NULL)
		return;
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->limits);
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
