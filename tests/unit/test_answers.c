/* SPDX-License-Identifier: Apache-2.0
 * What clients are told by HTTP, and what a JSON request costs while it is decoded. */
#include <jansson.h>

#include "check.h"
#include "google/rpc/status.pb-c.h"
#include "receivers/receiver.h"

static struct buf scratch;

static struct response answer_of(struct batch *b, enum answer a)
{
	struct response r;
	b->receiver = &RECEIVER_OTLP_HTTP;
	b->answer = a;
	answer_words(b, &r, &scratch);
	return r;
}

static json_t *body_of(const struct response *r)
{
	json_error_t error;
	CHECK_STR(r->content_type, "application/json");
	json_t *j = json_loadb((const char *)r->body.data, r->body.len, 0, &error);
	CHECK(json_is_object(j));
	return j;
}

static void check_error(struct batch *b, enum answer a)
{
	b->is_json = false;
	struct response protobuf = answer_of(b, a);
	CHECK_STR(protobuf.content_type, "application/x-protobuf");
	Google__Rpc__Status *s =
	    google__rpc__status__unpack(NULL, protobuf.body.len, protobuf.body.data);
	CHECK(s != NULL);
	b->is_json = true;
	struct response r = answer_of(b, a);
	CHECK_EQ(r.status, protobuf.status);
	CHECK_EQ(r.retry_after_s, protobuf.retry_after_s);
	CHECK_EQ(r.retry_after_s != 0, r.status == 503);
	json_t *j = body_of(&r);
	CHECK_EQ(json_object_size(j), 2);
	CHECK_EQ(json_integer_value(json_object_get(j, "code")), s->code);
	CHECK_STR(json_string_value(json_object_get(j, "message")), s->message);
	json_decref(j);
	google__rpc__status__free_unpacked(s, NULL);
}

static void test_each_error_says_the_same_in_json_and_protobuf(void)
{
	for (int a = ANSWER_NONE; a < ANSWERS; a++) {
		struct batch b = {0};
		if (a != ACCEPTED && a != HEALTHY)
			check_error(&b, (enum answer)a);
	}
	for (int v = INDEX_MALFORMED; v <= INDEX_NO_MEMORY; v++) {
		struct batch b = {.why = INDEX_REASONS[v]};
		check_error(&b, OVER_LIMIT);
	}
}

static void test_success_in_json(void)
{
	struct batch b = {.is_json = true};
	struct response r = answer_of(&b, ACCEPTED);
	CHECK_EQ(r.status, 200);
	CHECK_STR(r.content_type, "application/json");
	CHECK(slice_is(r.body, "{}"));
	for (int v = INDEX_MALFORMED; v <= INDEX_NO_MEMORY; v++) {
		b.index.rejected = UINT32_MAX;
		b.index.why = (enum index_verdict)v;
		r = answer_of(&b, ACCEPTED);
		json_t *j = body_of(&r), *partial = json_object_get(j, "partialSuccess");
		CHECK_STR(json_string_value(json_object_get(partial, "rejectedSpans")),
			  "4294967295");
		CHECK_STR(json_string_value(json_object_get(partial, "errorMessage")),
			  INDEX_REASONS[v]);
		json_decref(j);
	}
	r = answer_of(&b, HEALTHY);
	CHECK(slice_is(r.body, "ok\n"));
}

static const char ONE[] =
    "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":"
    "\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\"}]}]}]}";

static enum answer decode(struct batch *b, const char *text, struct account *account)
{
	b->is_json = true;
	CHECK_EQ(buf_append(&b->body, text, strlen(text)), 0);
	CHECK_EQ(batch_charge(b, account), 0);
	return batch_decode(b, NULL, &INDEX_LIMITS, 1 << 20, account);
}

static void test_text_and_protobuf_are_both_paid_for(void)
{
	struct account account = {.limit = 1 << 20};
	struct batch *b = batch_create(NULL, &RECEIVER_OTLP_HTTP, 1 << 20);
	CHECK_EQ(decode(b, ONE, &account), ACCEPTED);
	CHECK_EQ(b->index.spans, 1);
	CHECK_EQ(account.used, sizeof(*b) + b->body.cap);
	batch_free(b);
	CHECK_EQ(account.used, 0);

	account.limit = sizeof(*b) + 512; /* for the text alone */
	b = batch_create(NULL, &RECEIVER_OTLP_HTTP, 1 << 20);
	CHECK_EQ(decode(b, ONE, &account), NO_MEMORY);
	batch_free(b);
	CHECK_EQ(account.used, 0);
}

static void test_a_refusal_says_why(void)
{
	struct account account = {.limit = 1 << 20};
	struct batch *b = batch_create(NULL, &RECEIVER_OTLP_HTTP, 1 << 20);
	CHECK_EQ(decode(b, "{", &account), MALFORMED);
	CHECK_STR(b->why, "not valid JSON");
	batch_free(b);
	b = batch_create(NULL, &RECEIVER_OTLP_HTTP, 1 << 20);
	CHECK_EQ(decode(b, "{\"resourceSpans\":[{\"resource\":{},\"resource\":{}},{}]}", &account),
		 ACCEPTED);
	CHECK_EQ(b->index.spans, 0);
	batch_free(b);
	CHECK_EQ(account.used, 0);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_each_error_says_the_same_in_json_and_protobuf),
		   TEST(test_success_in_json), TEST(test_text_and_protobuf_are_both_paid_for),
		   TEST(test_a_refusal_says_why));
}
