/* SPDX-License-Identifier: Apache-2.0
 * What redaction leaves is left alone by redaction: random values with secrets, pieces of secrets,
 * marks and encodings in them, in spans that stay valid, with all else as it was.
 * Usage: again [VALUES] [SEED]. */
#include "base/log.h"
#include "compare.h"
#include "conf/conf.h"
#include "forms.h"
#include "packs.h"
#include "positions.h"
#include "redaction/redact.h"
#include "wire/otlp_index.h"

enum { SPANS = 8, ATTRIBUTES = 12, SHAPES = 512, MAX_VALUE = 4096 };

static uint64_t state;
static const struct example *shapes[SHAPES];
static uint32_t n_shapes;
static struct ruleset *set;
static struct redactor *redactor;

static uint64_t rnd(uint64_t below) /* splitmix64 */
{
	uint64_t z = state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % below;
}

static void add_piece(struct buf *out)
{
	static const char *const PIECES[] = {"password=",
					     "Bearer ",
					     "&token=",
					     "[REDACTED]",
					     "********",
					     "REDACTED",
					     "\xc3\xa9",
					     "\"key\":",
					     "%25",
					     "\\u00",
					     "%41",
					     "\\\\",
					     "Authorization: Basic ",
					     "https://u:p@example.com/?sig=",
					     "hmac:0badcafe:",
					     "4111111111111111",
					     "GET /users/42",
					     "[REDACTED:jwt]",
					     "************1111"};
	static const char LETTERS[] = "ABCDEFabcdefghijxyz0123456789+/=-_. :;,&?'\"\n";
	struct buf text = {0};
	const struct example *e = shapes[rnd(n_shapes)];
	size_t len = strlen(e->value);
	switch (rnd(4)) {
	case 0:
		to_form((enum form)rnd(FORMS), slice_str(e->value), out);
		break;
	case 1: { /* a part */
		size_t from = rnd(len);
		buf_append(out, e->value + from, rnd(len - from) + 1);
		break;
	}
	case 2:
		buf_printf(out, "%s", PIECES[rnd(sizeof(PIECES) / sizeof(PIECES[0]))]);
		break;
	default:
		for (uint64_t n = rnd(40); n > 0; n--)
			buf_append(out, &LETTERS[rnd(sizeof(LETTERS) - 1)], 1);
		break;
	}
	buf_finish(&text);
}

static void add_value(struct buf *span)
{
	static const char *const KEYS[] = {"a.key", "http.url", "password", "user.email", "é"};
	struct buf text = {0}, value = {0};
	enum how how = (enum how)rnd(AS_INT);
	for (uint64_t n = 1 + rnd(4); n > 0; n--)
		add_piece(&text);
	if (text.len > 1000 && (how == AS_KEY || how == AS_INNER_KEY))
		text.len = 0;
	put_value(&value, how, buf_slice(&text));
	put_pair(span, 9, how == AS_KEY ? buf_slice(&text) : slice_str(KEYS[rnd(5)]), &value);
	buf_finish(&text);
}

static void make(struct buf *request)
{
	struct buf spans = {0};
	struct otlp_index ix;
	struct arena arena;
	struct buf raw = {0};
	for (unsigned i = 0; i < SPANS; i++) {
		struct buf span = {0};
		pb_span_fields(&span, (unsigned)rnd(UINT32_MAX));
		for (unsigned k = 0; k < ATTRIBUTES; k++)
			add_value(&span);
		pb_message(&spans, 2, &span);
	}
	pb_request(&raw, "again", &spans);
	/* parts of characters are mended, as they are on their way in */
	arena_init(&arena, 1 << 22);
	if (otlp_index(&ix, buf_slice(&raw), &INDEX_LIMITS, &arena) != INDEX_OK ||
	    ix.spans != SPANS || buf_reserve(request, ix.edited_size + 1) != 0)
		abort();
	otlp_edit(&ix, buf_slice(&raw), request->data);
	request->len = ix.edited_size;
	arena_finish(&arena);
	buf_finish(&raw);
}

static bool any(void *ctx, const void *a, size_t a_len, const void *b, size_t b_len)
{
	(void)ctx, (void)a, (void)a_len, (void)b, (void)b_len;
	return true;
}

/* A strict decoder takes it, and only texts are others. */
static bool is_valid(const struct buf *was, const struct buf *now, bool same_shape)
{
	struct compare c = {any, NULL};
	struct otlp_index ix;
	struct arena arena;
	Request *a = request_unpack(NULL, was->len, was->data);
	Request *b = request_unpack(NULL, now->len, now->data);
	bool good = a != NULL && b != NULL;
	good = good && (!same_shape || same_message(&c, &a->base, &b->base));
	if (a != NULL)
		request_free(a, NULL);
	if (b != NULL)
		request_free(b, NULL);
	arena_init(&arena, 1 << 22);
	good = good && otlp_index(&ix, buf_slice(now), &INDEX_LIMITS, &arena) == INDEX_OK &&
	       ix.edits == NULL && ix.spans == SPANS;
	arena_finish(&arena);
	return good;
}

/* The end of what is not the same: before it, lengths may be others. */
static void show(struct slice was, struct slice now)
{
	while (was.len > 0 && now.len > 0 && was.data[was.len - 1] == now.data[now.len - 1])
		was.len--, now.len--;
	size_t from = was.len < 120 ? 0 : was.len - 120,
	       now_from = now.len < 120 ? 0 : now.len - 120;
	printf("%.*s\n%.*s\n", (int)(was.len - from) + 8, was.data + from,
	       (int)(now.len - now_from) + 8, now.data + now_from);
}

static bool round_of(bool same_shape)
{
	struct buf first = {0}, once = {0}, twice = {0};
	struct redaction_counts counts;
	make(&first);
	buf_append(&once, first.data, first.len);
	bool good = redact_request(redactor, set, &once, 1 << 24, &counts) == 0 &&
		    is_valid(&first, &once, same_shape);
	if (!good)
		printf("not valid any more\n");
	buf_append(&twice, once.data, once.len);
	good = good && redact_request(redactor, set, &twice, 1 << 24, &counts) == 0;
	if (good && !slice_equal(buf_slice(&once), buf_slice(&twice))) {
		show(buf_slice(&once), buf_slice(&twice));
		good = false;
	} else if (good && counts.hits != 0) {
		printf("%d hits without a change\n", (int)counts.hits);
		good = false;
	}
	buf_finish(&first);
	buf_finish(&once);
	buf_finish(&twice);
	return good;
}

static void begin(enum conf_mask mask)
{
	static uint8_t key[] = "0123456789abcdef0123456789abcdef";
	struct conf_redaction conf = {.file = "",
				      .rules_dir = (char[]){""},
				      .mask = mask,
				      .hmac_key = key,
				      .hmac_key_len = 32,
				      .hmac_key_id = "0badcafe"};
	struct rules rules = {.list = NULL};
	struct buf findings = {0};
	packs_read(&rules, true);
	if (ruleset_compile(&set, &rules, &conf, &findings) != 0) {
		printf("%.*s\n", (int)findings.len, findings.data);
		exit(1);
	}
	buf_finish(&findings);
	n_shapes = 0;
	for (uint32_t i = 0; i < ruleset_rules(set) && n_shapes < SHAPES; i++)
		if (strlen(ruleset_rule(set, i)->match[0].value) < MAX_VALUE / 8)
			shapes[n_shapes++] = &ruleset_rule(set, i)->match[0];
}

int main(int argc, char **argv)
{
	unsigned long values = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	unsigned long passed = 0, failed = 0;
	state = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	redactor = redactor_create();
	for (int mask = CONF_MASK_KEEP_LENGTH; mask <= CONF_MASK_DROP; mask++) {
		begin((enum conf_mask)mask);
		for (unsigned long i = 0; i < values / 6; i += SPANS * ATTRIBUTES) {
			uint64_t seed = state;
			if (round_of(mask != CONF_MASK_DROP))
				passed += SPANS * ATTRIBUTES;
			else if (failed++ < 5)
				printf("mask %d, seed %llu\n", mask, (unsigned long long)seed);
		}
		ruleset_release(set);
	}
	redactor_destroy(redactor);
	printf("redact-again: %lu passed, %lu failed\n", passed, failed);
	return failed != 0;
}
