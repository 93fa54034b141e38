/* SPDX-License-Identifier: Apache-2.0
 * What a reload would change, by the keys of the option table. */
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "conf/change.h"

#define EXPORTER "exporters: [{ name: a, endpoint: \"http://h:1\" }]\n"

static void parse(struct conf *c, const char *text)
{
	struct buf findings = {.data = NULL};
	int rc = conf_parse(c, "f", slice_str(text), &findings);
	if (rc != 0)
		printf("%.*s", (int)findings.len, (const char *)findings.data);
	CHECK_EQ(rc, 0);
	buf_finish(&findings);
}

/* What is said of the way from one text to another. */
static const char *changes(const char *was, const char *is)
{
	static char said[4096];
	struct conf a, b;
	struct buf out = {.data = NULL};
	parse(&a, was);
	parse(&b, is);
	CHECK_EQ(change_write(&a, &b, &out), 0);
	snprintf(said, sizeof(said), "%.*s", (int)out.len,
		 out.data != NULL ? (const char *)out.data : "");
	buf_finish(&out);
	conf_finish(&a);
	conf_finish(&b);
	return said;
}

#define RULES(a, b)                                                                                \
	EXPORTER "sampling: { rules: [{ name: x, when: 'any(span.error)', keep: " a                \
		 " }, { name: y, keep: " b " }] }\n"

static void test_nothing_is_said_of_what_is_the_same(void)
{
	CHECK_STR(changes(EXPORTER, EXPORTER "# a remark\n"), "");
	CHECK_STR(changes(EXPORTER "log: { level: info }\n", EXPORTER), "");
	CHECK_STR(changes(RULES("10%", "1%"), RULES("10%", "1%")), "");
}

static void test_values_are_shown_as_they_are_written(void)
{
	CHECK_STR(changes(EXPORTER, EXPORTER "log: { level: debug }\nlimits: { request: 1MiB }\n"),
		  "limits.request: 16MiB -> 1MiB\nlog.level: info -> debug\n");
	CHECK_STR(changes(RULES("10%", "1%"), RULES("20%", "1%")),
		  "sampling.rules[x].keep: 10% -> 20%\n");
	CHECK_STR(changes(EXPORTER, EXPORTER "journal: { linger: 5ms }\n"),
		  "journal.linger: 10ms -> 5ms\n");
}

static void test_items_are_known_by_their_names(void)
{
	static const char B_A[] = "exporters: [{ name: b, protocol: terminal }, { name: a, "
				  "endpoint: \"http://h:2\" }]\n";
	CHECK_STR(changes(EXPORTER, B_A), "exporters[b]: added\n"
					  "exporters[a].endpoint: http://h:1 -> http://h:2\n");
	CHECK_STR(changes(B_A, EXPORTER), "exporters[a].endpoint: http://h:2 -> http://h:1\n"
					  "exporters[b]: removed\n");
	CHECK_STR(changes(EXPORTER "budgets: [{ name: m, spans_per_second: 5 }]\n",
			  EXPORTER "budgets: [{ name: m, spans_per_second: 7 }]\n"),
		  "budgets[m].spans_per_second: 5 -> 7\n");
}

static void test_another_order_of_rules_is_a_change(void)
{
	static const char XYZ[] = EXPORTER "sampling: { rules: [{ name: x, when: 'any(span.error)',"
					   " keep: 1% }, { name: y, when: 'any(span.error)', keep: "
					   "2% }, { name: z, keep: 3% }] }\n";
	static const char YXZ[] = EXPORTER "sampling: { rules: [{ name: y, when: 'any(span.error)',"
					   " keep: 2% }, { name: x, when: 'any(span.error)', keep: "
					   "1% }, { name: z, keep: 3% }] }\n";
	CHECK_STR(changes(XYZ, YXZ), "sampling.rules: in another order\n");
}

static void test_secrets_are_said_to_have_changed_and_no_more(void)
{
	setenv("T_SECRET", "hush-hush", 1);
	const char *said = changes(
	    EXPORTER,
	    "exporters: [{ name: a, endpoint: \"http://127.0.0.1:1\", headers: { k: tell-none } "
	    "}]\nsampling: { rules: [{ name: x, when: "
	    "'span.name == \"${env:T_SECRET}\"', keep: 1% }, { name: y, keep: 1% }] }\n");
	CHECK(strstr(said, "exporters[a].headers: changed\n") != NULL);
	CHECK(strstr(said, "tell-none") == NULL && strstr(said, "hush") == NULL);
	said = changes(RULES("10%", "1%"),
		       EXPORTER "sampling: { rules: [{ name: x, when: 'any(span.name == "
				"\"${env:T_SECRET}\")', keep: 10% }, { name: y, keep: 1% }] }\n");
	CHECK_STR(said, "sampling.rules[x].when: changed\n");
}

#define WITH(what) "exporters: [{ name: a, endpoint: \"https://h:1\", " what " }]\n"
#define HEADER(h)  WITH("headers: { " h " }")
#define FETCHED(o)                                                                                 \
	WITH("oauth2: { token_url: \"https://t/\", client_id_file: /i, client_secret_file: /s" o   \
	     " }")

enum { SAME, OTHER_SOURCE, OTHER_NAMES };

static int credential_change(const char *was, const char *is)
{
	struct conf a, b;
	parse(&a, was);
	parse(&b, is);
	bool names = change_of_secret_names(a.exporters, b.exporters);
	bool source = change_of_credential(a.exporters, b.exporters);
	CHECK(source || !names);
	conf_finish(&a);
	conf_finish(&b);
	return names ? OTHER_NAMES : source ? OTHER_SOURCE : SAME;
}

static void test_another_source_of_a_credential_is_one(void)
{
	static const char K[] = HEADER("x-k: { file: /k }");
	setenv("SPANRELAY_A", "Bearer abc", 1);
	setenv("SPANRELAY_B", "Basic abc", 1);
	CHECK_EQ(credential_change(K, K), SAME);
	CHECK_EQ(credential_change(K, HEADER("x-team: red, x-k: { file: /k }")), SAME);
	CHECK_EQ(credential_change(K, WITH("headers: { x-k: { file: /k } }, timeout: 3s")), SAME);
	CHECK_EQ(credential_change(K, HEADER("x-k: { file: /l }")), OTHER_SOURCE);
	CHECK_EQ(credential_change(K, HEADER("x-k: { file: /k, prefix: \"p \" }")), OTHER_SOURCE);
	CHECK_EQ(credential_change(K, HEADER("x-l: { file: /k }")), OTHER_NAMES);
	CHECK_EQ(credential_change(K, HEADER("x-k: { file: /k }, x-l: { file: /l }")), OTHER_NAMES);
	CHECK_EQ(credential_change(K, HEADER("x-k: plain")), OTHER_NAMES);
	CHECK_EQ(credential_change(EXPORTER, EXPORTER), SAME);
	/* the token is the same, what stands before it is not */
	CHECK_EQ(credential_change(HEADER("x-k: \"${env:SPANRELAY_A}\""),
				   HEADER("x-k: \"${env:SPANRELAY_B}\"")),
		 OTHER_SOURCE);
}

static void test_another_way_to_fetch_a_token_is_another_source(void)
{
	CHECK_EQ(credential_change(FETCHED(""), FETCHED("")), SAME);
	CHECK_EQ(credential_change(FETCHED(""), FETCHED(", scopes: all")), OTHER_SOURCE);
	CHECK_EQ(credential_change(FETCHED(""), HEADER("authorization: { file: /k }")),
		 OTHER_SOURCE);
	CHECK_EQ(credential_change(FETCHED(""), EXPORTER), OTHER_NAMES);
}

/* And what follows from it is made of the old value, not of the new one. */
static void test_what_takes_a_restart_stays_as_it_was(void)
{
	struct conf running, next;
	struct buf findings = {.data = NULL}, restart = {.data = NULL};
	char path[] = "/tmp/spanrelay-test-XXXXXX";
	static const char TEXT[] = EXPORTER "data_dir: /elsewhere\njournal: { limit: 64MiB, "
					    "linger: 1ms }\nintake: { threads: 3 }\n";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	CHECK(f != NULL && fputs(TEXT, f) >= 0 && fclose(f) == 0);
	parse(&running, EXPORTER "journal: { limit: 32MiB }\n");
	CHECK_EQ(conf_reload(&next, path, &running, &findings, &restart), 0);
	CHECK_STR(next.data_dir, "./spanrelay-data");
	CHECK_EQ(next.journal.limit_bytes, 32 << 20);
	CHECK_EQ(next.sampling.pending_bytes, 16 << 20);
	CHECK_EQ(next.intake_threads, 1);
	CHECK_EQ(next.journal.linger_ms, 1);
	CHECK_EQ(buf_append(&restart, "", 1), 0);
	CHECK_STR((const char *)restart.data, "data_dir: changed\njournal.limit: 32MiB -> 64MiB\n"
					      "intake.threads: 1 -> 3\n");
	unlink(path);
	buf_finish(&findings);
	buf_finish(&restart);
	conf_finish(&running);
	conf_finish(&next);
}

static struct buf canonical(const char *text)
{
	struct buf out = {.data = NULL};
	struct conf c;
	parse(&c, text);
	CHECK_EQ(change_canonical(&c, &out), 0);
	conf_finish(&c);
	return out;
}

static bool same_text(const char *a, const char *b)
{
	struct buf x = canonical(a), y = canonical(b);
	bool same = slice_equal(buf_slice(&x), buf_slice(&y));
	buf_finish(&x);
	buf_finish(&y);
	return same;
}

static void test_the_same_configuration_is_the_same_text(void)
{
	static const char HEADER[] = "exporters: [{ name: a, endpoint: \"https://h:1\", headers: "
				     "{ x-team: hunter2 } }]\n";
	static const char OTHER[] = "exporters: [{ name: a, endpoint: \"https://h:1\", headers: "
				    "{ x-team: hunter3 } }]\n";
	CHECK(same_text(EXPORTER, EXPORTER "# a remark\nlog: { level: info }\n"));
	CHECK(!same_text(EXPORTER, EXPORTER "log: { level: debug }\n"));
	CHECK(!same_text(RULES("10%", "1%"), RULES("20%", "1%")));
	CHECK(!same_text(OTHER, HEADER));
	CHECK(!same_text(EXPORTER "redaction: { keys: { block: [a, b] } }\n",
			 EXPORTER "redaction: { keys: { block: [\"a b\"] } }\n"));
	struct buf text = canonical(HEADER);
	CHECK(!slice_contains(buf_slice(&text), slice_str("hunter2")));
	buf_finish(&text);
}

static void test_the_key_of_the_audit_log_is_read_and_never_shown(void)
{
	char path[] = "/tmp/spanrelay-key-XXXXXX", text[256];
	int fd = mkstemp(path);
	struct conf c;
	struct buf findings = {.data = NULL};
	CHECK(fd >= 0 && write(fd, "too short", 9) == 9);
	snprintf(text, sizeof(text), EXPORTER "audit: { key: { file: %s } }\n", path);
	CHECK_EQ(conf_parse(&c, "f", slice_str(text), &findings), CONF_FAULTY);
	CHECK(slice_contains(buf_slice(&findings), slice_str("f:2:23: audit.key.file: ")));
	CHECK(!slice_contains(buf_slice(&findings), slice_str("too short")));
	CHECK_EQ(pwrite(fd, "0123456789abcdef0123456789abcdef\n", 33, 0), 33);
	parse(&c, text);
	CHECK(slice_is(secret_reveal(c.audit.key), "0123456789abcdef0123456789abcdef"));
	conf_finish(&c);
	CHECK_EQ(fchmod(fd, 0644), 0);
	findings.len = 0;
	CHECK_EQ(conf_parse(&c, "f", slice_str(text), &findings), CONF_FAULTY);
	CHECK(slice_contains(buf_slice(&findings), slice_str("everybody may read it")));
	buf_finish(&findings);
	close(fd);
	unlink(path);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_nothing_is_said_of_what_is_the_same),
		   TEST(test_values_are_shown_as_they_are_written),
		   TEST(test_items_are_known_by_their_names),
		   TEST(test_another_order_of_rules_is_a_change),
		   TEST(test_secrets_are_said_to_have_changed_and_no_more),
		   TEST(test_another_source_of_a_credential_is_one),
		   TEST(test_another_way_to_fetch_a_token_is_another_source),
		   TEST(test_the_same_configuration_is_the_same_text),
		   TEST(test_the_key_of_the_audit_log_is_read_and_never_shown),
		   TEST(test_what_takes_a_restart_stays_as_it_was));
}
