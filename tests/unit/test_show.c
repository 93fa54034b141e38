/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "exporters/show.h"
#include "otlp_sample.h"

static struct buf spans, out;

/* In the one trace of `trace`, with ids that are made of the numbers; parent 0: a root. */
static void add_span(uint8_t trace, uint8_t id, uint8_t parent, const char *name)
{
	struct buf span = {0};
	uint8_t trace_id[16], span_id[8], parent_id[8];
	memset(trace_id, trace, sizeof(trace_id));
	memset(span_id, id, sizeof(span_id));
	memset(parent_id, parent, sizeof(parent_id));
	pb_bytes(&span, 1, trace_id, 16);
	pb_bytes(&span, 2, span_id, 8);
	if (parent != 0)
		pb_bytes(&span, 4, parent_id, 8);
	pb_str(&span, 5, name);
	pb_int(&span, 6, 2);
	pb_fixed64(&span, 7, 1700000000123000000u);
	pb_fixed64(&span, 8, 1700000000124500000u);
	pb_attribute(&span, 9, "url.path", "/a");
	pb_message(&spans, 2, &span);
}

static const char *show(const char *service)
{
	struct buf request = {0};
	pb_request(&request, service, &spans);
	out.len = 0;
	CHECK_EQ(show_request(buf_slice(&request), &out), 0);
	CHECK_EQ(buf_append(&out, "", 1), 0);
	buf_finish(&request);
	return (const char *)out.data;
}

#define REST "  server  1.500 ms  2023-11-14T22:13:20.123Z url.path=/a\n"

static void test_a_trace_is_a_tree(void)
{
	add_span(1, 3, 2, "grandchild");
	add_span(2, 9, 0, "other");
	add_span(1, 2, 1, "child");
	add_span(1, 1, 0, "root");
	add_span(1, 4, 1, "second");
	CHECK_STR(show("shop"),
		  "trace 01010101010101010101010101010101\n"
		  "  shop: root" REST "    shop: child" REST "      shop: grandchild" REST
		  "    shop: second" REST "trace 02020202020202020202020202020202\n"
		  "  shop: other" REST);
}

static void test_a_loop_of_parents_ends(void)
{
	add_span(1, 1, 2, "a");
	add_span(1, 2, 1, "b");
	add_span(1, 3, 3, "itself");
	CHECK_STR(show("x"), "trace 01010101010101010101010101010101\n"
			     "  x: itself" REST "  x: a" REST "    x: b" REST);
}

static void test_data_cannot_drive_the_terminal(void)
{
	add_span(1, 1, 0,
		 "\x1b[2J\x07\r\n\xc2\x9b"
		 "31m\\ gr\xc3\xbc\xc3\x9f");
	const char *text = show("ev\x7fil");
	CHECK(
	    strstr(text, "  ev\\x7fil: \\x1b[2J\\x07\\x0d\\x0a\\x9b31m\\x5c gr\xc3\xbc\xc3\x9f") !=
	    NULL);
	for (const char *c = text; *c != '\0'; c++)
		CHECK((*c & 0xff) >= 0x20 || *c == '\n');
}

static void test_output_is_bounded(void)
{
	char name[1000];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (unsigned i = 0; i < 250; i++)
		add_span(1, (uint8_t)(i + 1), (uint8_t)i, name); /* a chain */
	const char *text = show("deep");
	CHECK(strstr(text, "nnn...") != NULL);
	CHECK(strstr(text, "... and 150 more spans\n") != NULL);
	CHECK(strlen(text) < SHOW_SPANS * 500);
}

static void test_times_that_went_backwards_are_no_duration(void)
{
	struct buf span = {0};
	pb_span_fields(&span, 1);
	pb_fixed64(&span, 7, UINT64_MAX);
	pb_fixed64(&span, 8, 0);
	pb_message(&spans, 2, &span);
	CHECK(strstr(show("x"), "server  -  ") != NULL);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_a_trace_is_a_tree), TEST(test_a_loop_of_parents_ends),
		   TEST(test_data_cannot_drive_the_terminal), TEST(test_output_is_bounded),
		   TEST(test_times_that_went_backwards_are_no_duration));
}
