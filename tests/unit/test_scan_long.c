/* SPDX-License-Identifier: Apache-2.0
 * Limits on work are for texts that are made to be slow: long values of every day stay within them,
 * with the default rules. */
#include "check.h"
#include "redaction/scan.h"

enum { MOST = 64 << 10, LEAST = 8 << 10 };

static struct ruleset *default_set(void)
{
	char *names[16];
	struct conf_redaction conf = {.file = "test", .packs = {.names = names}};
	struct ruleset *set = NULL;
	struct buf findings = {.data = NULL};
	for (uint32_t i = 0; i < N_PACKS && conf.packs.n < 16; i++)
		if (PACKS[i].by_default)
			names[conf.packs.n++] = strdup(PACKS[i].name);
	CHECK_EQ(ruleset_build(&set, &conf, &findings), 0);
	buf_finish(&findings);
	for (size_t i = 0; i < conf.packs.n; i++)
		free(names[i]);
	return set;
}

/* Hits in one value; *whole: it failed closed. */
static uint32_t count_hits(const struct ruleset *set, struct slice text, bool *whole)
{
	struct scanner *s = scanner_create();
	struct scan_value v = {.len = (uint32_t)text.len};
	const struct hit *hits;
	uint32_t n = 0;
	CHECK(s != NULL);
	CHECK_EQ(scanner_begin(s, set), 0);
	CHECK_EQ(scan(s, text, &v, 1, &hits, &n), 0);
	*whole = false;
	for (uint32_t i = 0; i < n; i++)
		*whole = *whole || hits[i].number >= ruleset_rules(set);
	scanner_destroy(s);
	return n;
}

/* Lines of a pattern with a number for each #. */
static void write_lines(struct buf *out, const char *pattern, size_t bytes)
{
	out->len = 0;
	for (unsigned i = 1; out->len + 512 < bytes; i++)
		for (const char *c = pattern; *c != '\0'; c++)
			CHECK_EQ(*c == '#' ? buf_printf(out, "%u", i * (unsigned)*(c - 1) % 1000)
					   : buf_append(out, c, 1),
				 0);
}

static void test_long_values_of_every_day_are_left_alone(void)
{
	static const char *const PATTERNS[] = {
	    "{\"id\":#,\"name\":\"item "
	    "#\",\"tokens\":#,\"key\":\"size\",\"tags\":[\"a\",\"b\"]},\n",
	    "INSERT INTO tokens (id, user_id, kind) VALUES (#, #, #), -- the key of the "
	    "session\n",
	    "\tat com.example.auth.TokenService.refresh#(TokenService.java:#) "
	    "~[auth-1.#.jar:?]\n",
	    "<tr id=\"row-#\"><td class=\"key\">item</td><td>#</td><td>password reset "
	    "#</td></tr>\n",
	    "2026-11-22T10:00:00Z INFO [worker-#] token refreshed for user # in # ms, key "
	    "cached\n",
	    "GET https://api.example.com/v1/tokens/#?page=#&limit=#\n",
	    "  \"password_policy_#\": {\"min_length\": #, \"expires_days\": #, \"enabled\": "
	    "true},\n",
	};
	struct ruleset *set = default_set();
	struct buf text = {.data = NULL};
	bool whole;
	for (size_t i = 0; i < sizeof(PATTERNS) / sizeof(PATTERNS[0]); i++)
		for (size_t bytes = LEAST; bytes <= MOST; bytes *= 2) {
			write_lines(&text, PATTERNS[i], bytes);
			CHECK_EQ(count_hits(set, buf_slice(&text), &whole), 0);
		}
	buf_finish(&text);
	ruleset_release(set);
}

static void test_many_secrets_in_a_short_value_are_masked_one_by_one(void)
{
	struct ruleset *set = default_set();
	struct buf text = {.data = NULL};
	bool whole;
	for (unsigned i = 0; i < 50; i++)
		CHECK_EQ(
		    buf_printf(&text,
			       "\"db%u\": {\"host\": \"db-%u\", \"password\": \"h7Gq%uLw9x\"},\n",
			       i, i, i * 37),
		    0);
	CHECK(count_hits(set, buf_slice(&text), &whole) >= 50);
	CHECK(!whole);
	buf_finish(&text);
	ruleset_release(set);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_long_values_of_every_day_are_left_alone),
		   TEST(test_many_secrets_in_a_short_value_are_masked_one_by_one));
}
