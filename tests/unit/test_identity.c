/* SPDX-License-Identifier: Apache-2.0
 * Who is found by what a request brings, and what is then written into it. */
#include "identity/registry.h"
#include "identity/stamp.h"

#include "check.h"
#include "otlp_sample.h"
#include "wire/otlp_index.h"
#include "wire/otlp_walk.h"

static char shop[] = "shop", bank[] = "bank", none[] = "", production[] = "production";
static struct conf_client clients[] = {
    {.name = shop, .environment = production, .role = none},
    {.name = bank, .environment = none, .role = none},
};
static const struct conf conf = {.clients = clients, .n_clients = 2};
static struct registry *registry;

static void open_registry(void)
{
	registry_destroy(registry);
	registry = registry_create(&conf);
	CHECK(registry != NULL);
	CHECK_EQ(registry_add(registry, 0, IDENTITY_TOKEN, slice_str("shop-1")), 0);
	CHECK_EQ(registry_add(registry, 0, IDENTITY_TOKEN, slice_str("shop-2")), 0);
	CHECK_EQ(registry_add(registry, 1, IDENTITY_MTLS, slice_str("subject:CN=bank")), 0);
	CHECK_EQ(registry_add(registry, 0, IDENTITY_MTLS, slice_str("san:shop.example")), 0);
}

/* "bearer"s value, and names parted by blanks. */
static struct identity find(const char *bearer, const char *names)
{
	struct credentials c = {.has_token = false};
	char header[128] = "", list[128];
	if (bearer != NULL)
		snprintf(header, sizeof(header), "Bearer %s", bearer);
	CHECK_EQ(credentials_bearer(&c, slice_str(header), false), 0);
	snprintf(list, sizeof(list), "%s", names);
	for (char *save, *n = strtok_r(list, " ", &save); n != NULL; n = strtok_r(NULL, " ", &save))
		CHECK_EQ(credentials_name(&c, slice_str(n)), 0);
	return registry_find(registry, &c);
}

static void check_found(struct identity i, int client, enum identity_source source)
{
	CHECK_EQ(i.client, client);
	CHECK_EQ((int)i.source, (int)source);
}

static void test_each_credential_stands_for_its_client(void)
{
	open_registry();
	check_found(find("shop-1", ""), 0, IDENTITY_TOKEN);
	check_found(find("shop-2", ""), 0, IDENTITY_TOKEN);
	check_found(find(NULL, "subject:CN=bank"), 1, IDENTITY_MTLS);
	check_found(find(NULL, "subject:CN=any san:shop.example"), 0, IDENTITY_MTLS);
	check_found(find("shop-1", "subject:CN=any san:shop.example"), 0, IDENTITY_MTLS);
	check_found(find("shop-1", "subject:CN=any"), 0, IDENTITY_TOKEN);
}

static void test_what_does_not_agree_is_nobodys(void)
{
	open_registry();
	check_found(find(NULL, ""), REGISTRY_NOBODY, IDENTITY_NONE);
	check_found(find("shop-3", ""), REGISTRY_NOBODY, IDENTITY_NONE);
	check_found(find("shop-1", "subject:CN=bank"), REGISTRY_NOBODY, IDENTITY_NONE);
	check_found(find("shop-3", "subject:CN=bank"), REGISTRY_NOBODY, IDENTITY_NONE);
	check_found(find(NULL, "subject:CN=bank san:shop.example"), REGISTRY_NOBODY, IDENTITY_NONE);
	/* a token that is a certificate's name, and the other way round */
	check_found(find("subject:CN=bank", ""), REGISTRY_NOBODY, IDENTITY_NONE);
	check_found(find(NULL, "shop-1"), REGISTRY_NOBODY, IDENTITY_NONE);
}

static void test_a_header_that_is_unclear_stands_for_nobody(void)
{
	static const char *const HEADERS[] = {"Bearer", "Bearer ", "shop-1", "Basic shop-1",
					      "Bearershop-1"};
	open_registry();
	for (size_t i = 0; i < sizeof(HEADERS) / sizeof(HEADERS[0]); i++) {
		struct credentials c = {.has_token = false};
		CHECK_EQ(credentials_bearer(&c, slice_str(HEADERS[i]), false), 0);
		CHECK(c.unclear);
		check_found(registry_find(registry, &c), REGISTRY_NOBODY, IDENTITY_NONE);
	}
	struct credentials c = {.has_token = false};
	CHECK_EQ(credentials_bearer(&c, slice_str("Bearer shop-1"), true), 0);
	CHECK_EQ(credentials_name(&c, slice_str("subject:CN=bank")), 0);
	check_found(registry_find(registry, &c), REGISTRY_NOBODY, IDENTITY_NONE);
}

static void test_nobody_gets_what_is_anothers(void)
{
	open_registry();
	CHECK_EQ(registry_add(registry, 1, IDENTITY_TOKEN, slice_str("shop-1")), REGISTRY_TAKEN);
	CHECK_EQ(registry_add(registry, 0, IDENTITY_TOKEN, slice_str("shop-1")), 0);
	CHECK_EQ(registry_add(registry, 1, IDENTITY_MTLS, slice_str("shop-1")), 0);
}

static void test_registries_are_equal_when_they_find_the_same(void)
{
	open_registry();
	struct registry *first = registry;
	registry = NULL;
	open_registry();
	CHECK(registry_equal(first, registry));
	CHECK_EQ(registry_add(registry, 1, IDENTITY_TOKEN, slice_str("bank-1")), 0);
	CHECK(!registry_equal(first, registry));
	CHECK_EQ(registry_add(first, 1, IDENTITY_TOKEN, slice_str("bank-2")), 0);
	CHECK(!registry_equal(first, registry));
	registry_destroy(first);
}

/* ---- the request ---- */

static struct buf request;
static struct stamper stamper;

static void span_with(struct buf *scope_spans, unsigned i, const char *key)
{
	struct buf span = {0}, event = {0};
	pb_span_fields(&span, i);
	pb_attribute(&event, 3, key, "forged");
	pb_attribute(&span, 9, key, "forged");
	pb_message(&span, 11, &event);
	pb_message(scope_spans, 2, &span);
}

/* One ResourceSpans; resource: 0 none, 1 empty, 2 with attributes. */
static void add_resource_spans(int resource, const char *key)
{
	struct buf all = {0}, r = {0}, scope_spans = {0}, scope = {0};
	if (resource == 2) {
		pb_attribute(&r, 1, "service.name", "shop");
		pb_attribute(&r, 1, key, "forged");
	}
	if (resource != 0)
		pb_message(&all, 1, &r);
	pb_attribute(&scope, 3, key, "forged");
	pb_message(&scope_spans, 1, &scope);
	span_with(&scope_spans, 1, key);
	span_with(&scope_spans, 2, key);
	pb_message(&all, 2, &scope_spans);
	pb_message(&request, 1, &all);
}

static size_t count(const char *text)
{
	size_t n = 0, len = strlen(text);
	for (size_t i = 0; i + len <= request.len; i++)
		n += memcmp(request.data + i, text, len) == 0;
	return n;
}

static int stamp_as(struct identity who, size_t limit, uint64_t *stripped)
{
	struct arena arena = {.limit = 1 << 20};
	struct otlp_index ix;
	CHECK(otlp_index(&ix, buf_slice(&request), &INDEX_LIMITS, &arena) == INDEX_OK);
	int rc = stamp_request(&stamper, &request, registry_stamp(registry, who), ix.reserved != 0,
			       limit, stripped);
	CHECK(otlp_index(&ix, buf_slice(&request), &INDEX_LIMITS, &arena) == INDEX_OK);
	CHECK_EQ(ix.rejected, 0);
	CHECK_EQ(otlp_walk_spans(buf_slice(&request)), ix.spans);
	arena_finish(&arena);
	return rc;
}

static void test_every_resource_says_who_sent_it(void)
{
	uint64_t stripped = 0;
	open_registry();
	request.len = 0;
	for (int resource = 0; resource <= 2; resource++)
		add_resource_spans(resource, "plain");
	CHECK_EQ(stamp_as((struct identity){0, IDENTITY_TOKEN}, 1 << 20, &stripped), 0);
	CHECK_EQ(stripped, 0);
	CHECK_EQ(count("spanrelay.identity.verified\x12\x02\x10\x01"), 3);
	CHECK_EQ(count("spanrelay.identity.source\x12\x07\x0a\x05token"), 3);
	CHECK_EQ(count("spanrelay.identity.client\x12\x06\x0a\x04shop"), 3);
	CHECK_EQ(count("spanrelay.identity.environment\x12\x0c\x0a\x0aproduction"), 3);
	CHECK_EQ(count("spanrelay.identity.role"), 0);
	CHECK_EQ(count("plain"), 3 * 5 + 1);
}

static void test_of_nobody_it_says_so(void)
{
	uint64_t stripped = 0;
	open_registry();
	request.len = 0;
	add_resource_spans(2, "plain");
	CHECK_EQ(stamp_as((struct identity){REGISTRY_NOBODY, IDENTITY_NONE}, 1 << 20, &stripped),
		 0);
	CHECK_EQ(count("spanrelay.identity."), 2);
	CHECK(memmem(request.data, request.len, "verified\x12\x02\x10\x00", 12) != NULL);
	CHECK_EQ(count("spanrelay.identity.source\x12\x06\x0a\x04none"), 1);
}

static void test_what_a_sender_says_of_itself_is_taken_out(void)
{
	uint64_t stripped = 0;
	open_registry();
	request.len = 0;
	add_resource_spans(0, "spanrelay.identity.client");
	add_resource_spans(1, "spanrelay.identity.made.up");
	add_resource_spans(2, "spanrelay.identity.");
	CHECK_EQ(stamp_as((struct identity){1, IDENTITY_MTLS}, 1 << 20, &stripped), 0);
	CHECK_EQ(stripped, 3 * 5 + 1);
	CHECK_EQ(count("forged"), 0);
	CHECK_EQ(count("spanrelay.identity."), 3 * 3);
	CHECK_EQ(count("spanrelay.identity.client\x12\x06\x0a\x04"
		       "bank"),
		 3);
}

static void test_a_request_that_grows_too_large_stays_as_it_was(void)
{
	uint64_t stripped = 0;
	open_registry();
	request.len = 0;
	add_resource_spans(2, "plain");
	size_t before = request.len;
	CHECK_EQ(stamp_as((struct identity){0, IDENTITY_TOKEN}, before + 10, &stripped),
		 STAMP_TOO_LARGE);
	CHECK_EQ(request.len, before);
	CHECK_EQ(count("spanrelay"), 0);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_each_credential_stands_for_its_client),
		   TEST(test_what_does_not_agree_is_nobodys),
		   TEST(test_a_header_that_is_unclear_stands_for_nobody),
		   TEST(test_nobody_gets_what_is_anothers),
		   TEST(test_registries_are_equal_when_they_find_the_same),
		   TEST(test_every_resource_says_who_sent_it), TEST(test_of_nobody_it_says_so),
		   TEST(test_what_a_sender_says_of_itself_is_taken_out),
		   TEST(test_a_request_that_grows_too_large_stays_as_it_was));
}
