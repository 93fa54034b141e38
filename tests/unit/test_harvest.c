/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/harvest.h"
#include "redaction_fixture.h"

static struct harvest h;
static struct scanner *scanner;

static void begin(void)
{
	fixture_begin();
	CHECK_EQ(harvest_init(&h), 0);
	h.numbers = harvest_wants_numbers(set);
	scanner = scanner_create();
}

static void end(void)
{
	scanner_destroy(scanner);
	harvest_finish(&h);
	fixture_end();
}

/* Keys are known to be clean only once they were seen a few times. */
static void harvest(void)
{
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(scanner_begin(scanner, set), 0);
		CHECK_EQ(harvest_request(&h, &body, set, scanner), 0);
	}
}

/* The value with this text, or -1. */
static int64_t look_for(const char *text)
{
	for (uint32_t i = 0; i < h.n; i++)
		if (slice_is(slice_of(h.text.data + h.values[i].at, h.values[i].len), text))
			return i;
	return -1;
}

static void make(enum where at, enum how how, const char *key, const char *text)
{
	body.len = 0;
	put_request(&body, at, how, slice_str(key), slice_str(text));
	harvest();
}

static void test_each_text_is_told_by_its_position(void)
{
	static const uint8_t WANT[WHERES] = {
	    [IN_RESOURCE] = POSITION_RESOURCE_ATTRIBUTE,
	    [IN_SCOPE] = POSITION_SCOPE_ATTRIBUTE,
	    [IN_SPAN] = POSITION_SPAN_ATTRIBUTE,
	    [IN_EVENT] = POSITION_EVENT_ATTRIBUTE,
	    [IN_LINK] = POSITION_LINK_ATTRIBUTE,
	    [IN_ENTITY_URL] = POSITION_ENTITY_REF,
	    [IN_ENTITY_TYPE] = POSITION_ENTITY_REF,
	    [IN_ENTITY_ID] = POSITION_ENTITY_REF,
	    [IN_ENTITY_DESCRIPTION] = POSITION_ENTITY_REF,
	    [IN_RESOURCE_URL] = POSITION_RESOURCE_SCHEMA_URL,
	    [IN_SCOPE_URL] = POSITION_SCOPE_SCHEMA_URL,
	    [IN_SCOPE_NAME] = POSITION_SCOPE_NAME,
	    [IN_SCOPE_VERSION] = POSITION_SCOPE_VERSION,
	    [IN_NAME] = POSITION_SPAN_NAME,
	    [IN_TRACE_STATE] = POSITION_TRACE_STATE,
	    [IN_EVENT_NAME] = POSITION_EVENT_NAME,
	    [IN_LINK_STATE] = POSITION_LINK_TRACE_STATE,
	    [IN_STATUS] = POSITION_STATUS_MESSAGE,
	};
	begin();
	for (int at = 0; at < IN_UNKNOWN; at++)
		for (int how = 0; how < (at <= IN_LINK ? AS_KEY : 1); how++) {
			make((enum where)at, (enum how)how, "a.key", "look at me");
			int64_t i = look_for("look at me");
			CHECK(i >= 0);
			const struct spot *s = &h.spots[i];
			CHECK_EQ(s->position, WANT[at]);
			CHECK(memcmp(body.data + s->at, "look at me", 10) == 0);
			CHECK_EQ(s->attribute != 0, at <= IN_LINK);
		}
	end();
}

static void test_short_texts_and_small_numbers_cost_nothing(void)
{
	begin();
	make(IN_SPAN, AS_STRING, "a.key", "GET");
	CHECK(look_for("GET") < 0);
	make(IN_SPAN, AS_STRING, "a.password", "GET");
	CHECK(look_for("GET") >= 0);
	make(IN_SPAN, AS_INT, "a.key", "99999999");
	CHECK(look_for("99999999") < 0);
	make(IN_SPAN, AS_INT, "a.key", "-123456789");
	CHECK(look_for("-123456789") >= 0);
	make(IN_SPAN, AS_DOUBLE, "a.key", "4111111111111111");
	CHECK(look_for("4111111111111111") >= 0);
	make(IN_SPAN, AS_DOUBLE, "a.key", "1234567890.5");
	CHECK(look_for("1234567890.5") < 0);
	make(IN_SPAN, AS_INT, "a.password", "42");
	CHECK(look_for("42") >= 0);
	h.numbers = false;
	make(IN_SPAN, AS_INT, "a.key", "123456789");
	CHECK(look_for("123456789") < 0);
	end();
}

static void test_only_keys_in_which_something_may_be_are_looked_at(void)
{
	begin();
	make(IN_SPAN, AS_KEY, "", "an.ordinary.key");
	CHECK(look_for("an.ordinary.key") < 0);
	make(IN_SPAN, AS_KEY, "", "a." SECRET);
	CHECK(look_for("a." SECRET) >= 0);
	make(IN_SPAN, AS_INNER_KEY, "a.key", "%73ekret");
	CHECK(look_for("%73ekret") >= 0);
	end();
}

static void test_fields_nobody_knows_are_cut(void)
{
	struct buf span = {0}, spans = {0}, kv = {0}, value = {0};
	begin();
	pb_span_fields(&span, 1);
	pb_str(&span, 77, "x");
	pb_int(&span, 78, 1);
	pb_int(&value, 8, 3); /* string_value_strindex */
	pb_str(&kv, 1, "key");
	pb_message(&kv, 2, &value);
	pb_int(&kv, 3, 4); /* key_strindex */
	pb_message(&span, 9, &kv);
	pb_message(&spans, 2, &span);
	body.len = 0;
	pb_request(&body, "s", &spans);
	pb_int(&body, 80, 1);
	pb_str(&body, 3, "unknown too");
	harvest();
	CHECK_EQ(h.unknown_fields, 6);
	CHECK_EQ(h.n_cuts, 4); /* of six: neighbours go together */
	end();
}

static void test_values_stand_in_the_order_of_the_text(void)
{
	begin();
	make(IN_LINK, AS_DEEP, "a.key", "look at me");
	CHECK(h.n == h.n_spots && h.n > 15);
	for (uint32_t i = 0; i < h.n; i++) {
		const struct scan_value *v = &h.values[i];
		CHECK_EQ(v->at, i == 0 ? 0 : v[-1].at + v[-1].len + 1);
		CHECK_EQ(h.text.data[v->at + v->len], '\n');
	}
	end();
}

static void test_a_key_behind_its_value_counts(void)
{
	struct buf span = {0}, spans = {0}, kv = {0}, value = {0};
	begin();
	pb_span_fields(&span, 1);
	pb_str(&value, 1, "pw");
	pb_message(&kv, 2, &value);
	pb_str(&kv, 1, "the.password");
	pb_message(&span, 9, &kv);
	pb_message(&spans, 2, &span);
	body.len = 0;
	pb_request(&body, "s", &spans);
	harvest();
	CHECK(look_for("pw") >= 0 && h.values[look_for("pw")].key->n == 1);
	end();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_each_text_is_told_by_its_position),
		   TEST(test_short_texts_and_small_numbers_cost_nothing),
		   TEST(test_only_keys_in_which_something_may_be_are_looked_at),
		   TEST(test_fields_nobody_knows_are_cut),
		   TEST(test_values_stand_in_the_order_of_the_text),
		   TEST(test_a_key_behind_its_value_counts));
}
