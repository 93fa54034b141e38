/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/regex.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/log.h"

struct parser {
	struct slice text;
	size_t at;
	struct arena *arena;
	bool any_case, dot_all, extended; /* until the end of the group */
	bool quoted;                      /* between \Q and \E */
	unsigned depth;
	int rc;
	size_t bad_at;
	const char *words;
};

/* ---- sets ---- */

static void set_add(struct byte_set *s, unsigned byte)
{
	s->bits[byte >> 6] |= (uint64_t)1 << (byte & 63);
}

static void set_add_range(struct byte_set *s, unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to; c++)
		set_add(s, c);
}

static void set_invert(struct byte_set *s)
{
	for (int i = 0; i < 4; i++)
		s->bits[i] = ~s->bits[i];
}

static void set_merge(struct byte_set *s, const struct byte_set *more)
{
	for (int i = 0; i < 4; i++)
		s->bits[i] |= more->bits[i];
}

static void set_add_cases(struct byte_set *s)
{
	for (unsigned c = 'a'; c <= 'z'; c++) {
		if (set_has(s, c))
			set_add(s, c - 32);
		else if (set_has(s, c - 32))
			set_add(s, c);
	}
}

bool set_is_literal(const struct byte_set *s)
{
	unsigned n = set_count(s);
	if (n != 2)
		return n == 1;
	for (unsigned c = 'a'; c <= 'z'; c++)
		if (set_has(s, c))
			return set_has(s, c - 32);
	return false;
}

/* The bytes for which the C locale says so; PCRE2 has the same tables unless told otherwise. */
static void set_add_if(struct byte_set *s, int (*is)(int))
{
	for (int c = 0; c < 128; c++)
		if (is(c) != 0)
			set_add(s, (unsigned)c);
}

/* ---- nodes ---- */

static struct regex *refuse(struct parser *p, size_t at, const char *words)
{
	if (p->rc == 0) {
		p->rc = REGEX_BAD;
		p->bad_at = at;
		p->words = words;
	}
	return NULL;
}

static struct regex *make(struct parser *p, enum regex_kind kind)
{
	struct regex *r = arena_alloc(p->arena, sizeof(*r));
	if (r == NULL) {
		p->rc = fail(-ENOMEM, "expression: no memory");
		return NULL;
	}
	*r = (struct regex){.kind = kind};
	return r;
}

static struct regex *make_set(struct parser *p, const struct byte_set *set)
{
	struct regex *r = make(p, REGEX_SET);
	if (r == NULL)
		return NULL;
	r->set = *set;
	if (p->any_case)
		set_add_cases(&r->set);
	r->narrow = r->wide = 1;
	return r;
}

static struct regex *make_byte(struct parser *p, unsigned byte)
{
	struct byte_set set = {{0}};
	set_add(&set, byte);
	return make_set(p, &set);
}

static struct regex *make_repeat(struct parser *p, struct regex *of, uint32_t least, uint32_t most)
{
	if (of == NULL || of->kind == REGEX_EMPTY)
		return of;
	struct regex *r = make(p, REGEX_REPEAT);
	if (r == NULL)
		return NULL;
	r->first = of;
	r->least = least;
	r->most = most;
	r->narrow = width_times(of->narrow, least);
	r->wide = width_times(of->wide, most);
	return r;
}

/* What refers to something that was matched elsewhere: any bytes. */
static struct regex *make_wild(struct parser *p)
{
	struct byte_set all = {{0}};
	set_invert(&all);
	return make_repeat(p, make_set(p, &all), 0, REGEX_FAR);
}

/* ---- characters ---- */

static bool more(const struct parser *p)
{
	return p->at < p->text.len;
}

static int peek(const struct parser *p, size_t ahead)
{
	return p->at + ahead < p->text.len ? p->text.data[p->at + ahead] : -1;
}

static bool eat(struct parser *p, const char *word)
{
	size_t len = strlen(word);
	if (p->text.len - p->at < len || memcmp(p->text.data + p->at, word, len) != 0)
		return false;
	p->at += len;
	return true;
}

static void skip_past(struct parser *p, int end)
{
	while (more(p) && p->text.data[p->at] != end)
		p->at++;
	p->at += more(p);
}

static unsigned parse_digits(struct parser *p, int base, int most)
{
	unsigned value = 0;
	for (int i = 0; i < most && more(p); i++) {
		int digit = hex_digit(p->text.data[p->at]);
		if (digit < 0 || digit >= base)
			break;
		value = value * (unsigned)base + (unsigned)digit;
		p->at++;
	}
	return value;
}

/* \x41, \x{41}, \o{101}, \101: behind the letter, which is `c`. */
static unsigned parse_code(struct parser *p, int c)
{
	unsigned value;
	if (peek(p, 0) == '{' && (c == 'x' || c == 'o')) {
		p->at++;
		value = parse_digits(p, c == 'x' ? 16 : 8, 8);
		skip_past(p, '}');
	} else {
		value = c == 'x' ? parse_digits(p, 16, 2) : parse_digits(p, 8, 3);
	}
	return value & 0xff;
}

/* The set of \d and the like; false if `c` is none. */
static bool class_escape(int c, struct byte_set *set)
{
	*set = (struct byte_set){{0}};
	switch (c | 0x20) {
	case 'd':
		set_add_if(set, isdigit);
		break;
	case 'w':
		set_add_if(set, isalnum);
		set_add(set, '_');
		break;
	case 's':
		set_add_if(set, isspace);
		break;
	case 'h':
		set_add(set, '\t');
		set_add(set, ' ');
		set_add(set, 0xa0);
		break;
	case 'v':
		set_add_range(set, '\n', '\r');
		set_add(set, 0x85);
		break;
	case 'n':
		if (c == 'n')
			return false;
		set_add(set, '\n');
		break;
	default:
		return false;
	}
	if (isupper(c) != 0)
		set_invert(set);
	return true;
}

/* An escape that stands for one byte: its value, behind it; -1 if it is none of those. */
static int byte_escape(struct parser *p, int c)
{
	static const char LETTERS[] = "a\ae\033f\fn\nr\rt\t";
	for (const char *l = LETTERS; *l != '\0'; l += 2)
		if (c == *l) {
			p->at++;
			return l[1];
		}
	if (c == 'x' || c == 'o' || c == '0') {
		p->at += c != '0';
		return (int)parse_code(p, c);
	}
	if (c == 'c' && peek(p, 1) >= 0) {
		p->at += 2;
		return toupper(p->text.data[p->at - 1]) ^ 0x40;
	}
	if (c < 0 || isalnum(c) != 0)
		return -1;
	p->at++;
	return c;
}

/* ---- [classes] ---- */

static bool posix_class(struct parser *p, struct byte_set *set)
{
	static const struct {
		const char *name;
		int (*is)(int);
	} CLASSES_OF[] = {{"alpha:]", isalpha}, {"digit:]", isdigit},   {"alnum:]", isalnum},
			  {"upper:]", isupper}, {"lower:]", islower},   {"space:]", isspace},
			  {"punct:]", ispunct}, {"xdigit:]", isxdigit}, {"blank:]", isblank},
			  {"cntrl:]", iscntrl}, {"graph:]", isgraph},   {"print:]", isprint}};
	size_t start = p->at;
	if (!eat(p, "[:"))
		return false;
	struct byte_set one = {{0}};
	bool inverted = eat(p, "^"), found = false;
	for (size_t i = 0; i < sizeof(CLASSES_OF) / sizeof(CLASSES_OF[0]) && !found; i++) {
		found = eat(p, CLASSES_OF[i].name);
		if (found)
			set_add_if(&one, CLASSES_OF[i].is);
	}
	if (!found && eat(p, "word:]")) {
		class_escape('w', &one);
		found = true;
	}
	if (!found) {
		p->at = start;
		return false;
	}
	if (inverted)
		set_invert(&one);
	set_merge(set, &one);
	return true;
}

/* One byte of a class, or -1 if what was there is in the set already. */
static int class_member(struct parser *p, struct byte_set *set)
{
	struct byte_set escape;
	if (posix_class(p, set))
		return -1;
	int c = p->text.data[p->at++];
	if (c != '\\' || p->quoted)
		return c;
	c = peek(p, 0);
	if (c == 'b') {
		p->at++;
		return '\b';
	}
	if (class_escape(c, &escape)) {
		p->at++;
		set_merge(set, &escape);
		return -1;
	}
	if (c == 'p' || c == 'P') { /* by property: nothing is left out */
		set_add_range(set, 0, 255);
		p->at++;
		if (peek(p, 0) == '{')
			skip_past(p, '}');
		else
			p->at++;
		return -1;
	}
	if (c >= '1' && c <= '7')
		return (int)parse_code(p, '0');
	int byte = byte_escape(p, c);
	if (byte < 0)
		refuse(p, p->at, "this escape is not for rules");
	return byte;
}

static struct regex *parse_class(struct parser *p)
{
	struct byte_set set = {{0}};
	size_t start = p->at++;
	bool inverted = eat(p, "^"), empty = true;
	for (;; empty = false) {
		if (!more(p))
			return refuse(p, start, "this [ has no ]");
		if (p->quoted ? eat(p, "\\E") : eat(p, "\\Q")) {
			p->quoted = !p->quoted;
			continue;
		}
		if (!p->quoted && !empty && eat(p, "]"))
			break;
		int from = class_member(p, &set);
		if (p->rc != 0)
			return NULL;
		if (from < 0)
			continue;
		int to = from;
		if (!p->quoted && peek(p, 0) == '-' && peek(p, 1) >= 0 && peek(p, 1) != ']') {
			p->at++;
			to = class_member(p, &set);
			if (to < 0) { /* [a-\d]: three members */
				set_add(&set, '-');
				to = from;
			}
		}
		if (p->rc != 0)
			return NULL;
		set_add_range(&set, (unsigned)from, (unsigned)to);
	}
	if (p->any_case)
		set_add_cases(&set);
	if (inverted)
		set_invert(&set);
	struct regex *r = make_set(p, &set);
	if (r != NULL)
		r->set = set; /* its cases are in it already: [^a] is not made larger again */
	return r;
}

/* ---- what stands for itself ---- */

static struct regex *parse_newline(struct parser *p)
{
	struct byte_set set;
	class_escape('v', &set); /* one of these, or \r\n: at most two */
	return make_repeat(p, make_set(p, &set), 1, 2);
}

/* \1, \g{1}, \k<name>: behind the letter. */
static struct regex *parse_reference(struct parser *p)
{
	static const char OPEN[] = "{<'", CLOSE[] = "}>'";
	int c = peek(p, 0);
	const char *open = c > 0 ? strchr(OPEN, c) : NULL;
	if (open != NULL) {
		p->at++;
		skip_past(p, CLOSE[open - OPEN]);
	} else {
		while (isdigit(peek(p, 0)) != 0 || peek(p, 0) == '-' || peek(p, 0) == '+')
			p->at++;
	}
	return make_wild(p);
}

static struct regex *parse_escape(struct parser *p)
{
	struct byte_set set;
	size_t start = p->at++;
	int c = peek(p, 0);
	if (c > 0 && strchr("bBAzZGE", c) != NULL) {
		p->at++;
		return make(p, REGEX_EMPTY);
	}
	if (class_escape(c, &set)) {
		p->at++;
		struct regex *r = make_set(p, &set);
		if (r != NULL)
			r->set = set;
		return r;
	}
	if (c > 0 && strchr("123456789gk", c) != NULL) {
		p->at += isdigit(c) == 0;
		return parse_reference(p);
	}
	if (c == 'R') {
		p->at++;
		return parse_newline(p);
	}
	if (c == 'p' || c == 'P' || c == 'X' || c == 'C') {
		p->at++;
		if (c != 'X' && c != 'C') {
			if (peek(p, 0) == '{')
				skip_past(p, '}');
			else
				p->at++;
		}
		return make_wild(p);
	}
	if (c == 'K')
		return refuse(p, start, "\\K is not for rules: say which group is the `secret`");
	int byte = byte_escape(p, c);
	return byte < 0 ? refuse(p, start, "this escape is not for rules")
			: make_byte(p, (unsigned)byte);
}

static struct regex *parse_dot(struct parser *p)
{
	struct byte_set set = {{0}};
	p->at++;
	if (!p->dot_all)
		set_add(&set, '\n');
	set_invert(&set);
	return make_set(p, &set);
}

/* ---- (groups) ---- */

static struct regex *parse_branches(struct parser *p);

/* (?i), (?i-s:, (?^...: up to the ) or : that ends them. */
static bool parse_flags(struct parser *p)
{
	bool on = true;
	for (; more(p); p->at++) {
		int c = peek(p, 0);
		if (c == ')' || c == ':')
			return true;
		if (c == '-')
			on = false;
		else if (c == '^')
			p->any_case = p->dot_all = p->extended = false;
		else if (c == 'i')
			p->any_case = on;
		else if (c == 's')
			p->dot_all = on;
		else if (c == 'x')
			p->extended = on;
		else if (strchr("mnJUa", c) == NULL)
			return false;
	}
	return false;
}

static struct regex *parse_inside(struct parser *p, size_t start, bool looks_around)
{
	if (++p->depth > REGEX_MAX_DEPTH)
		return refuse(p, start, "groups within groups: too deep");
	struct regex *r = parse_branches(p);
	p->depth--;
	if (p->rc != 0)
		return NULL;
	if (!eat(p, ")"))
		return refuse(p, start, "this ( has no )");
	return looks_around ? make(p, REGEX_EMPTY) : r;
}

/* Behind `(?`. Of flags without a group, *holds: they are good for the rest of what they are in. */
static struct regex *parse_special(struct parser *p, size_t start, bool *holds)
{
	static const char *const AROUND[] = {"=", "!", "<=", "<!"}, *const PLAIN[] = {":", ">",
										      "|"};
	for (int i = 0; i < 4; i++)
		if (eat(p, AROUND[i]))
			return parse_inside(p, start, true);
	for (int i = 0; i < 3; i++)
		if (eat(p, PLAIN[i]))
			return parse_inside(p, start, false);
	int c = peek(p, 0), next = peek(p, 1);
	if (c == '<' || c == '\'' || (c == 'P' && next == '<')) {
		p->at += c == 'P' ? 2 : 1;
		skip_past(p, c == '\'' ? '\'' : '>');
		return parse_inside(p, start, false);
	}
	if (c == '#') {
		skip_past(p, ')');
		return make(p, REGEX_EMPTY);
	}
	if (c == 'R' || c == '&' || c == '+' || c == 'P' || isdigit(c) != 0 ||
	    (c == '-' && isdigit(next) != 0)) {
		skip_past(p, ')');
		return make_wild(p);
	}
	if (!parse_flags(p))
		return refuse(p, start, "this kind of group is not for rules");
	if (eat(p, ":"))
		return parse_inside(p, start, false);
	p->at++;
	*holds = true;
	return make(p, REGEX_EMPTY);
}

static struct regex *parse_group(struct parser *p)
{
	bool any_case = p->any_case, dot_all = p->dot_all, extended = p->extended, holds = false;
	size_t start = p->at++;
	if (peek(p, 0) == '*')
		return refuse(p, start, "verbs are not for rules");
	struct regex *r =
	    eat(p, "?") ? parse_special(p, start, &holds) : parse_inside(p, start, false);
	if (!holds) {
		p->any_case = any_case;
		p->dot_all = dot_all;
		p->extended = extended;
	}
	return r;
}

/* ---- sequences ---- */

/* {2}, {2,} or {2,5}; anything else with a { stands for itself. */
static bool parse_braces(struct parser *p, uint32_t *least, uint32_t *most)
{
	size_t start = p->at++;
	if (isdigit(peek(p, 0)) != 0) {
		*least = parse_digits(p, 10, 6);
		*most = *least;
		if (eat(p, ","))
			*most = peek(p, 0) == '}' ? REGEX_FAR : parse_digits(p, 10, 6);
		if (p->text.data[p->at - 1] != '{' && eat(p, "}"))
			return true;
	}
	p->at = start;
	return false;
}

static bool parse_quantifier(struct parser *p, uint32_t *least, uint32_t *most)
{
	int c = p->quoted ? -1 : peek(p, 0);
	*least = c == '+';
	*most = c == '?' ? 1 : REGEX_FAR;
	if (c == '{') {
		if (!parse_braces(p, least, most))
			return false;
	} else if (c != '*' && c != '+' && c != '?') {
		return false;
	} else {
		p->at++;
	}
	if (peek(p, 0) == '?' || peek(p, 0) == '+')
		p->at++; /* lazy or possessive: the same bytes, or fewer */
	return true;
}

static struct regex *parse_atom(struct parser *p)
{
	int c = peek(p, 0);
	if (p->quoted || strchr("\\[(.^$", c) == NULL || c == 0) {
		p->at++;
		return make_byte(p, (unsigned)c);
	}
	if (c == '[')
		return parse_class(p);
	if (c == '(')
		return parse_group(p);
	if (c == '.')
		return parse_dot(p);
	if (c == '\\')
		return parse_escape(p);
	p->at++;
	return make(p, REGEX_EMPTY); /* ^ and $ */
}

/* What takes no part: white space and comments of (?x), the borders of \Q...\E. */
static bool skip_silent(struct parser *p)
{
	if (p->quoted ? eat(p, "\\E") : eat(p, "\\Q")) {
		p->quoted = !p->quoted;
		return true;
	}
	if (p->quoted || !p->extended)
		return false;
	int c = peek(p, 0);
	if (c == '#') {
		skip_past(p, '\n');
		return true;
	}
	if (isspace(c) == 0)
		return false;
	p->at++;
	return true;
}

static struct regex *parse_sequence(struct parser *p)
{
	struct regex *cat = make(p, REGEX_CAT), **end;
	if (cat == NULL)
		return NULL;
	end = &cat->first;
	while (more(p) && (p->quoted || (peek(p, 0) != '|' && peek(p, 0) != ')'))) {
		uint32_t least, most;
		if (skip_silent(p))
			continue;
		struct regex *r = parse_atom(p);
		while (r != NULL && p->rc == 0 && more(p)) {
			if (skip_silent(p))
				continue;
			if (!parse_quantifier(p, &least, &most))
				break;
			r = make_repeat(p, r, least, most);
		}
		if (r == NULL || p->rc != 0)
			return NULL;
		*end = r;
		end = &r->next;
		cat->narrow = width_add(cat->narrow, r->narrow);
		cat->wide = width_add(cat->wide, r->wide);
	}
	return cat;
}

static struct regex *parse_branches(struct parser *p)
{
	struct regex *first = parse_sequence(p), **end;
	if (first == NULL || peek(p, 0) != '|')
		return first;
	struct regex *alt = make(p, REGEX_ALT);
	if (alt == NULL)
		return NULL;
	alt->first = first;
	alt->narrow = first->narrow;
	alt->wide = first->wide;
	end = &first->next;
	while (eat(p, "|")) {
		struct regex *r = parse_sequence(p);
		if (r == NULL)
			return NULL;
		*end = r;
		end = &r->next;
		alt->narrow = r->narrow < alt->narrow ? r->narrow : alt->narrow;
		alt->wide = r->wide > alt->wide ? r->wide : alt->wide;
	}
	return alt;
}

int regex_parse(struct regex **out, struct slice text, struct arena *arena, size_t *offset,
		char words[REGEX_WORDS])
{
	struct parser p = {.text = text, .arena = arena};
	*out = parse_branches(&p);
	if (p.rc == 0 && more(&p))
		refuse(&p, p.at, "this ) has no (");
	if (p.rc == REGEX_BAD) {
		*offset = p.bad_at;
		snprintf(words, REGEX_WORDS, "%s", p.words);
	}
	return p.rc;
}
