/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "check.h"
#include "conf/conf.h"

static char findings[4096];

static int parse(struct conf *c, const char *text)
{
	struct buf out = {.data = NULL};
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", 1);
	int rc = conf_parse(c, "f", slice_str(text), &out);
	snprintf(findings, sizeof(findings), "%.*s", (int)out.len,
		 out.data != NULL ? (const char *)out.data : "");
	buf_finish(&out);
	return rc;
}

static const struct {
	const char *text, *findings;
} WRONG[] = {
    {"redaction: { pack: [url] }\n",
     "f:1:14: unknown key \"pack\" in redaction; did you mean \"packs\"?\n"},
    {"redaction: { packs: [[url]] }\n",
     "f:1:22: redaction.packs: wanted a text of at most 64 bytes\n"},
    {"redaction: { keys: { block: ['a', ''] } }\n",
     "f:1:35: redaction.keys.block: wanted a text of at most 256 bytes\n"},
    {"redaction: { mask: stars }\n",
     "f:1:20: redaction.mask: \"stars\": wanted keep_length, replace, typed, hmac, keep_last_4 or "
     "drop\n"},
    {"redaction: { mask: hmac }\n",
     "f:1:20: redaction.mask: hmac wants a key: say redaction.hmac_key.file\n"},
    {"redaction: { hmac_key: { file: /nowhere/key } }\n",
     "f:1:32: redaction.hmac_key.file: /nowhere/key cannot be read: No such file or directory\n"},
    {"redaction:\n  allow:\n    - { rule: jwt }\n", "f:3:7: redaction.allow[].match is missing\n"},
    {"redaction:\n  allow:\n    - { match: x }\n", "f:3:7: redaction.allow[].rule is missing\n"},
};

static void test_what_is_wrong_is_told_by_its_place(void)
{
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		struct conf c;
		CHECK_EQ(parse(&c, WRONG[i].text), CONF_FAULTY);
		CHECK_STR(findings, WRONG[i].findings);
	}
}

static void check_names(const struct conf_names *all, const char *const *wanted)
{
	size_t n = 0;
	for (; wanted[n] != NULL; n++) {
		CHECK(n < all->n);
		CHECK_STR(all->names[n], wanted[n]);
	}
	CHECK_EQ(all->n, n);
}

static void test_five_packs_are_the_default(void)
{
	static const char *const PACKS[] = {"secrets", "secrets-context", "url", "headers", "keys",
					    NULL};
	struct conf c;
	CHECK_EQ(parse(&c, "data_dir: d\n"), 0);
	check_names(&c.redaction.packs, PACKS);
	CHECK(c.redaction.mask == CONF_MASK_KEEP_LENGTH && c.redaction.marks == MARKS_SILENT);
	CHECK_EQ(c.redaction.keys.allow_only.n, 0);
	conf_finish(&c);
}

static void test_lists_take_the_place_of_the_default(void)
{
	static const char *const KEYS[] = {"*password*", "card.*", NULL};
	static const char *const NONE[] = {NULL};
	struct conf c;
	CHECK_EQ(parse(&c, "redaction:\n"
			   "  packs: []\n"
			   "  keys: { block: ['*password*',\n  'card.*'], ignore: http.route }\n"
			   "  allow: [{ rule: jwt, match: '^eyJ0' }]\n"
			   "  marks: count\n"),
		 0);
	check_names(&c.redaction.packs, NONE);
	check_names(&c.redaction.keys.block, KEYS);
	CHECK(c.redaction.keys.block.at[1].line == 4 && c.redaction.keys.block.at[1].column == 3);
	CHECK_EQ(c.redaction.keys.ignore.n, 1);
	CHECK_STR(c.redaction.keys.ignore.names[0], "http.route");
	CHECK_EQ(c.redaction.n_allow, 1);
	CHECK_STR(c.redaction.allow[0].rule, "jwt");
	CHECK_STR(c.redaction.allow[0].match.text, "^eyJ0");
	CHECK_EQ(c.redaction.allow[0].at.line, 5);
	CHECK_EQ(c.redaction.marks, MARKS_COUNT);
	conf_finish(&c);
}

/* The id tells keys apart; the key is not to be read out of it. */
static void test_key_of_hashes_comes_from_a_file(void)
{
	char path[] = "/tmp/spanrelay-key-XXXXXX", text[256];
	char key[40] = "0123456789abcdef0123456789abcdef01234567";
	int fd = mkstemp(path);
	struct conf c;
	CHECK(fd >= 0 && write(fd, key, sizeof(key)) == sizeof(key));
	snprintf(text, sizeof(text), "redaction: { mask: hmac, hmac_key: { file: %s } }\n", path);
	CHECK_EQ(parse(&c, text), 0);
	CHECK_EQ(c.redaction.hmac_key_len, sizeof(key));
	CHECK(memcmp(c.redaction.hmac_key, key, sizeof(key)) == 0);
	CHECK_EQ(strspn(c.redaction.hmac_key_id, "0123456789abcdef"), 8);
	conf_finish(&c);
	CHECK(ftruncate(fd, CONF_HMAC_LEAST - 1) == 0);
	CHECK_EQ(parse(&c, text), CONF_FAULTY);
	CHECK(strstr(findings, "wanted at least 32 bytes") != NULL);
	close(fd);
	unlink(path);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_what_is_wrong_is_told_by_its_place),
		   TEST(test_five_packs_are_the_default),
		   TEST(test_lists_take_the_place_of_the_default),
		   TEST(test_key_of_hashes_comes_from_a_file));
}
