/* SPDX-License-Identifier: Apache-2.0
 * Every shape of secret that a rule knows by an example, at every place of a request that holds a
 * text, in every writing: each byte of it is masked, and nothing else is touched.
 * Usage: matrix [RULES]: of the first so many rules only. */
#include "compare.h"
#include "conf/conf.h"
#include "forms.h"
#include "packs.h"
#include "positions.h"
#include "redaction/redact.h"
#include "redaction/scan.h"

static const char *const FORM_NAMES[FORMS] = {"plain",      "url",  "double-url", "base64",
					      "base64-url", "json", "unicode",    "url-in-base64"};

/* One case: the text as it stands in the request, and where in it the secret does. */
struct hidden {
	struct slice text;
	size_t start, end;
	size_t kept; /* of its last bytes that the rule's mask leaves */
	bool seen;   /* it was found changed, as it has to be */
};

enum { KEPT = 4 };

static struct ruleset *set;
static struct redactor *redactor;
static unsigned long passed, failed;

/* All bytes of the secret are stars, and others are what they were, or stars as well. A mask of
 * another length must not have left it. */
static bool is_masked(void *ctx, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct hidden *h = ctx;
	const uint8_t *in = a, *out = b;
	size_t secret = h->end - h->start;
	if (!slice_equal(h->text, slice_of(a, a_len)))
		return false;
	h->seen = true;
	if (a_len != b_len || memmem(b, b_len, "REDACTED", 8) != NULL)
		return memmem(b, b_len, h->text.data + h->start, secret) == NULL;
	for (size_t i = 0; i < a_len; i++) {
		bool is_secret = i >= h->start && i + h->kept < h->end;
		if (out[i] != '*' && (is_secret || out[i] != in[i]))
			return false;
	}
	return true;
}

static bool is_number_masked(void *ctx, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct hidden *h = ctx;
	(void)a; /* the number's bits */
	h->seen = a_len == 8 && strspn(b, "*") + KEPT >= b_len;
	return h->seen;
}

static void report(bool good, const char *id, const char *form, int at, int how)
{
	if (good) {
		passed++;
		return;
	}
	if (failed++ < 20)
		printf("%s, %s: place %d, as %d\n", id, form, at, how);
}

static bool is_gone(struct hidden *h, may_differ *may, enum where at, enum how how)
{
	struct buf in = {0}, out = {0};
	struct redaction_counts counts;
	put_request(&in, at, how, slice_str("a.key"), h->text);
	buf_append(&out, in.data, in.len);
	if (redact_request(redactor, set, &out, 1 << 22, &counts) != 0)
		return false;
	struct compare c = {may, h};
	h->seen = false;
	Request *a = request_unpack(NULL, in.len, in.data);
	Request *b = request_unpack(NULL, out.len, out.data);
	bool good = a != NULL && b != NULL && same_message(&c, &a->base, &b->base);
	if (at == IN_UNKNOWN)
		good = good && memmem(out.data, out.len, h->text.data, h->text.len) == NULL;
	else
		good = good && h->seen;
	request_free(a, NULL);
	request_free(b, NULL);
	buf_finish(&in);
	buf_finish(&out);
	return good;
}

static void everywhere(const char *id, enum form form, struct hidden *h)
{
	for (int at = 0; at < WHERES; at++)
		for (int how = 0; how < (at <= IN_LINK ? AS_INT : 1); how++) {
			bool is_key = how == AS_KEY || how == AS_INNER_KEY;
			if (is_key && h->text.len > 1024)
				continue; /* the index refuses it */
			report(is_gone(h, is_masked, (enum where)at, (enum how)how), id,
			       FORM_NAMES[form], at, how);
		}
}

/* Where in base64 of the whole the bytes of a part are, all of their bits. */
static void in_base64(size_t *start, size_t *end)
{
	*start = *start * 8 / 6;
	*end = (*end * 8 + 5) / 6;
}

static void in_form(enum form form, const struct example *e, struct hidden *h)
{
	struct buf before = {0}, secret = {0};
	enum form inner = form == URL_IN_BASE64 ? URL : form;
	h->start = e->start;
	h->end = e->end;
	if (form != BASE64 && form != BASE64_URL) {
		to_form(inner, slice_of(e->value, e->start), &before);
		to_form(inner, slice_of(e->value + e->start, e->end - e->start), &secret);
		h->start = before.len;
		h->end = before.len + secret.len;
	}
	if (form == BASE64 || form == BASE64_URL || form == URL_IN_BASE64)
		in_base64(&h->start, &h->end);
	buf_finish(&before);
	buf_finish(&secret);
}

static void try_rule(const struct rule *r)
{
	for (uint32_t i = 0; i < r->n_match; i++) {
		const struct example *e = &r->match[i];
		if (!e->marked)
			continue;
		for (int form = 0; form < FORMS; form++) {
			struct buf text = {0};
			struct hidden h;
			to_form((enum form)form, slice_str(e->value), &text);
			h.text = buf_slice(&text);
			h.kept = r->mask == MASK_KEEP_LAST_4 ? KEPT : 0;
			in_form((enum form)form, e, &h);
			if (text.len < SCAN_MAX_VALUE)
				everywhere(r->id, (enum form)form, &h);
			buf_finish(&text);
		}
		return;
	}
}

/* Numbers of cards: digits of some issuer, and the one that makes them right. */
static void try_cards(void)
{
	static const char *const ISSUERS[] = {"4",  "51", "52", "55",   "34",
					      "37", "62", "65", "6011", "2221"};
	for (unsigned i = 0; i < 40; i++) {
		const char *issuer = ISSUERS[i % 10];
		size_t digits = issuer[0] == '3' ? 15 : 16;
		char text[20];
		int sum = 0;
		snprintf(text, sizeof(text), "%s%0*u", issuer, (int)(digits - 1 - strlen(issuer)),
			 (i + 3) * 7654321u);
		for (size_t k = 0; k < digits - 1; k++) {
			int d = text[digits - 2 - k] - '0';
			sum += k % 2 != 0 ? d : d * 2 > 9 ? d * 2 - 9 : d * 2;
		}
		text[digits - 1] = (char)('0' + (10 - sum % 10) % 10);
		text[digits] = '\0';
		struct hidden h = {.text = slice_str(text)};
		for (int at = 0; at <= IN_LINK; at++)
			for (int how = AS_INT; how <= AS_DOUBLE; how++)
				report(is_gone(&h, is_number_masked, (enum where)at, (enum how)how),
				       text, "number", at, how);
	}
}

int main(int argc, char **argv)
{
	struct conf_redaction conf = {.file = "", .rules_dir = (char[]){""}};
	struct rules rules = {.list = NULL};
	struct buf findings = {0};
	struct report wrong = {.n = 0};
	packs_read(&rules, true);
	if (rules_read(&rules, "card", pack_find("pii-card")->text, &wrong) != 0 ||
	    ruleset_compile(&set, &rules, &conf, &findings) != 0) {
		printf("%.*s\n", (int)findings.len, findings.data);
		return 1;
	}
	redactor = redactor_create();
	uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : UINT32_MAX;
	for (uint32_t i = 0; i < ruleset_rules(set) && i < n; i++)
		if (ruleset_rule(set, i)->keys.n == 0)
			try_rule(ruleset_rule(set, i));
	try_cards();
	redactor_destroy(redactor);
	ruleset_release(set);
	buf_finish(&findings);
	printf("redact-matrix: %lu passed, %lu failed\n", passed, failed);
	return failed != 0;
}
