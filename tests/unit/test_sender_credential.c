/* SPDX-License-Identifier: Apache-2.0
 * A sender whose token changes: each request has one generation, a refused one goes again in its
 * place, and no refusal costs a span or a try. */
#include "conf/header.h"
#include "key_fixture.h"
#include "sender_fixture.h"

static struct conf_header header;
static char header_name[] = "authorization";

static void give(const char *token)
{
	sender_on_key(sender, key_of(token), NULL);
}

static void start_with_header(void)
{
	default_conf();
	header = (struct conf_header){.name = header_name, .source = SOURCE_FILE};
	conf.headers = &header;
	conf.n_headers = 1;
	conf.credentials = (struct conf_credentials){
	    .overlap_ms = 900000, .retry_ms = 30000, .give_up_ms = 600000};
	conf.retry_initial_ms = 1000;
	conf.retry_max_ms = 30000;
	refusals_told = 0;
	new_journal();
	start_from((struct cursor){0, 0, 0});
}

static const char *token_of(size_t i)
{
	return (const char *)secret_reveal(calls[i]->key->values[0]).data;
}

static void all_arrived_once(void)
{
	for (uint64_t i = 0; i < journal.n_spans; i++)
		CHECK_EQ(arrived[i], 1);
	CHECK_EQ(journal.sum.sent, journal.n_spans);
}

static void test_nothing_is_sent_before_a_token_is_there(void)
{
	start_with_header();
	file_spans(1, 10);
	CHECK_EQ(state(), SENDER_NO_CREDENTIAL);
	pass_ms(600000);
	CHECK_EQ(n_sends, 0);
	give("one");
	CHECK_EQ(n_calls, 1);
	CHECK_STR(token_of(0), "one");
	answer(0, SENT);
	CHECK_EQ(state(), SENDER_OK);
	all_arrived_once();
	stop();
}

static void test_refused_request_goes_again_at_once_with_the_previous_token(void)
{
	start_with_header();
	give("one");
	file_spans(1, 10);
	answer(0, SENT);
	give("two");
	file_spans(1, 10);
	CHECK_STR(token_of(0), "two");
	answer(0, HOLD_AUTH);
	CHECK_EQ(n_calls, 1);
	CHECK_STR(token_of(0), "one");
	CHECK_EQ(state(), SENDER_OK);
	CHECK_EQ(refusals_told, 1);
	answer(0, SENT);
	all_arrived_once();
	stop();
}

static void test_others_go_on_while_one_tries_the_new_token(void)
{
	start_with_header();
	give("one");
	file_spans(1, 10);
	answer(0, SENT);
	give("two");
	file_spans(1, 10);
	file_spans(1, 10);
	CHECK_EQ(n_calls, 2);
	CHECK_STR(token_of(0), "two");
	CHECK_STR(token_of(1), "one");
	answer(1, SENT);
	answer(0, SENT);
	file_spans(1, 10);
	CHECK_STR(token_of(0), "two");
	answer(0, SENT);
	all_arrived_once();
	stop();
}

/* 30 s, then twice as long each time up to five minutes, less jitter: nothing but one probe. */
static void test_where_all_is_refused_one_probe_goes_now_and_then(void)
{
	start_with_header();
	give("one");
	file_spans(1, 10);
	file_spans(1, 10);
	answer(0, HOLD_AUTH);
	answer(0, HOLD_AUTH);
	CHECK_EQ(state(), SENDER_HELD_AUTH);
	pass_ms(14900);
	CHECK_EQ(n_calls, 0);
	size_t before = n_sends;
	uint64_t began = clock_mono_ms();
	while (clock_mono_ms() - began < 3600000) {
		pass_ms(1000);
		CHECK(n_calls <= 1);
		if (n_calls == 1)
			answer(0, HOLD_AUTH);
	}
	CHECK(n_sends - before >= 3600 / 300 && n_sends - before <= 3600 / 150 + 4);
	CHECK_EQ(journal.sum.sent, 0);
	give("two"); /* any change wakes it at once */
	pass_ms(1);
	CHECK_EQ(n_calls, 1);
	CHECK_STR(token_of(0), "two");
	answer(0, SENT);
	while (n_calls != 0)
		answer(0, SENT);
	CHECK_EQ(state(), SENDER_OK);
	all_arrived_once();
	stop();
}

/* A hundred refusals in a row are neither bad data nor a request that fails alone. */
static void test_refusals_cost_no_try(void)
{
	start_with_header();
	give("one");
	file_spans(1, 1);
	for (int i = 0; i < 100; i++) {
		CHECK(wait_for_call());
		answer(0, HOLD_AUTH);
		skew_ns += (uint64_t)400 * 1000000000;
	}
	CHECK(wait_for_call());
	answer(0, SENT);
	CHECK_EQ(journal.sum.moved[PLACE_QUARANTINE], 0);
	all_arrived_once();
	stop();
}

static void test_request_that_waits_for_a_connection_gives_up_a_dropped_token(void)
{
	start_with_header();
	give("one");
	file_spans(1, 10);
	answer(0, SENT);
	give("two");
	file_spans(1, 10);
	file_spans(1, 10);
	CHECK_STR(token_of(1), "one");
	sender_drop_previous(sender);
	calls[1]->on_going(calls[1]);
	CHECK_STR(token_of(1), "two");
	answer(1, SENT);
	answer(0, SENT);
	all_arrived_once();
	stop();
}

/* Tokens come, die and come back; backends fail otherwise too. */
static void test_any_sequence_of_tokens_and_answers_loses_nothing(void)
{
	static const char *const TOKENS[] = {"a", "b", "c", "d"};
	uint32_t seed = 4711;
	start_with_header();
	give("a");
	for (int i = 0; i < 3000; i++) {
		seed = seed * 1664525u + 1013904223u;
		unsigned what = seed >> 28;
		if (what < 3 && journal.n_blocks < MAX_BLOCKS && journal.n_spans < MAX_SPANS - 8)
			file_spans(1, 8);
		if (what == 3)
			give(TOKENS[seed >> 20 & 3]);
		if (what == 4)
			sender_drop_previous(sender);
		if (what == 5)
			pass_ms(seed >> 12 & 0xffff);
		if (n_calls != 0 && what >= 6)
			answer(0, (seed >> 16 & 3) == 0   ? RETRY
				  : (seed >> 16 & 3) == 1 ? SENT
							  : HOLD_AUTH);
	}
	while (journal.sum.sent != journal.n_spans && wait_for_call())
		answer(0, SENT);
	all_arrived_once();
	stop();
}

/* ---- a reload ---- */

static char path_a[] = "/a", path_b[] = "/b", other_name[] = "x-api-key";

static struct conf_exporter from(struct conf_header *h, char *name, char *path)
{
	struct conf_exporter next = conf;
	*h = (struct conf_header){.name = name, .source = SOURCE_FILE, .path = path};
	next.headers = h;
	return next;
}

static void start_with_token(const char *token)
{
	start_with_header();
	header.path = path_a;
	give(token);
	file_spans(1, 10);
	CHECK_STR(token_of(0), token);
	answer(0, SENT);
}

static void test_another_source_keeps_the_token_until_it_has_one(void)
{
	struct conf_header h;
	start_with_token("one");
	struct conf_exporter next = from(&h, header_name, path_b);
	CHECK_EQ(sender_take(sender, &next, segment_bytes), 0);
	file_spans(1, 10);
	CHECK_STR(token_of(0), "one");
	give("two");
	answer(0, SENT);
	file_spans(1, 10);
	CHECK_STR(token_of(0), "two");
	answer(0, HOLD_AUTH);
	CHECK_STR(token_of(0), "one");
	answer(0, SENT);
	all_arrived_once();
	stop();
}

static void test_a_token_goes_under_no_other_header(void)
{
	struct conf_header h;
	start_with_token("one");
	struct conf_exporter next = from(&h, other_name, path_a);
	CHECK_EQ(sender_take(sender, &next, segment_bytes), 0);
	CHECK_EQ(state(), SENDER_NO_CREDENTIAL);
	file_spans(1, 10);
	CHECK_EQ(n_calls, 0);
	give("two");
	CHECK_STR(token_of(0), "two");
	answer(0, SENT);
	CHECK_EQ(state(), SENDER_OK);
	struct conf_exporter none = next;
	none.n_headers = 0;
	CHECK_EQ(sender_take(sender, &none, segment_bytes), 0);
	file_spans(1, 10);
	CHECK_EQ(n_calls, 1);
	CHECK(calls[0]->key == NULL);
	answer(0, SENT);
	all_arrived_once();
	stop();
}

/* But with its exporter it goes. */
static void test_a_token_of_another_source_goes_to_no_other_place(void)
{
	struct conf_header h;
	start_with_token("one");
	struct conf_exporter next = from(&h, header_name, path_a);
	sender_drain(sender);
	CHECK_EQ(sender_replace(sender, &next, NULL, segment_bytes), 0);
	file_spans(1, 10);
	CHECK_STR(token_of(0), "one");
	answer(0, SENT);
	struct conf_header k;
	struct conf_exporter last = from(&k, header_name, path_b);
	sender_drain(sender);
	CHECK_EQ(sender_replace(sender, &last, NULL, segment_bytes), 0);
	file_spans(1, 10);
	CHECK_EQ(n_calls, 0);
	CHECK_EQ(state(), SENDER_NO_CREDENTIAL);
	give("two");
	CHECK_STR(token_of(0), "two");
	answer(0, SENT);
	stop();
}

int main(int argc, char **argv)
{
	log_setup(LOG_ERROR, false);
	CHECK_MAIN(TEST(test_nothing_is_sent_before_a_token_is_there),
		   TEST(test_refused_request_goes_again_at_once_with_the_previous_token),
		   TEST(test_others_go_on_while_one_tries_the_new_token),
		   TEST(test_where_all_is_refused_one_probe_goes_now_and_then),
		   TEST(test_refusals_cost_no_try),
		   TEST(test_request_that_waits_for_a_connection_gives_up_a_dropped_token),
		   TEST(test_any_sequence_of_tokens_and_answers_loses_nothing),
		   TEST(test_another_source_keeps_the_token_until_it_has_one),
		   TEST(test_a_token_goes_under_no_other_header),
		   TEST(test_a_token_of_another_source_goes_to_no_other_place));
}
