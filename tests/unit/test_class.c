/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "redaction/class.h"

struct search {
	struct slice text;
	enum rule_class class;
	struct class_range found;
	uint32_t anchors, n;
};

static void on_anchor(void *user, enum rule_class class, size_t at)
{
	struct search *s = user;
	struct class_range range;
	CHECK_EQ(class, s->class);
	s->anchors++;
	if (!class_find(class, s->text, at, &range))
		return;
	s->found = range;
	s->n++;
}

/* What is found, or "". */
static const char *find(enum rule_class class, const char *text)
{
	static char found[128];
	struct search s = {.text = slice_str(text), .class = class};
	class_scan(s.text, 1u << class, on_anchor, &s);
	CHECK(s.n <= 1);
	snprintf(found, sizeof(found), "%.*s", (int)(s.found.end - s.found.start),
		 text + s.found.start);
	return found;
}

static void test_numbers_and_addresses_are_found_by_shape_and_sum(void)
{
	static const struct {
		enum rule_class class;
		const char *text, *want;
	} ROWS[] = {
	    {CLASS_CARD, "paid 4111111111111111 today", "4111111111111111"},
	    {CLASS_CARD, "4111 1111 1111 1111", "4111 1111 1111 1111"},
	    {CLASS_CARD, "4111-1111-1111-1111.", "4111-1111-1111-1111"},
	    {CLASS_CARD, "378282246310005", "378282246310005"},
	    {CLASS_CARD, "4111111111111112", ""},
	    {CLASS_CARD, "x4111111111111111", ""},
	    {CLASS_CARD, "41111111111111110", ""},
	    {CLASS_CARD, "4111 1111-1111 1111", ""},
	    {CLASS_CARD, "1700000000000000000", ""},
	    {CLASS_IBAN, "to GB82WEST12345698765432 now", "GB82WEST12345698765432"},
	    {CLASS_IBAN, "DE89 3704 0044 0532 0130 00 AND", "DE89 3704 0044 0532 0130 00"},
	    {CLASS_IBAN, "GB82WEST12345698765433", ""},
	    {CLASS_IBAN, "xGB82WEST12345698765432", ""},
	    {CLASS_EMAIL, "mail john.doe+x@mail.example.com, ok", "john.doe+x@mail.example.com"},
	    {CLASS_EMAIL, "john@example.com.", "john@example.com"},
	    {CLASS_EMAIL, "john@localhost", ""},
	    {CLASS_EMAIL, "@example.com", ""},
	    {CLASS_EMAIL, "git@1.2.3.4", ""},
	    {CLASS_IPV4, "from 10.0.255.1:80", "10.0.255.1"},
	    {CLASS_IPV4, "10.0.256.1", ""},
	    {CLASS_IPV4, "1.2.3.4.5", ""},
	    {CLASS_IPV4, "v1.2.3.4", ""},
	    {CLASS_IPV4, "end 1.2.3.4.", "1.2.3.4"},
	    {CLASS_SSN, "ssn 123-45-6789", "123-45-6789"},
	    {CLASS_SSN, "123 45 6789", "123 45 6789"},
	    {CLASS_SSN, "123-45 6789", ""},
	    {CLASS_SSN, "1123-45-6789", ""},
	    {CLASS_SSN, "123-45-67890", ""},
	};
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
		CHECK_STR(find(ROWS[i].class, ROWS[i].text), ROWS[i].want);
}

static void test_they_are_found_wherever_blocks_end(void)
{
	static const struct {
		enum rule_class class;
		const char *text;
	} ROWS[] = {{CLASS_CARD, "4111111111111111"},
		    {CLASS_IBAN, "GB82WEST12345698765432"},
		    {CLASS_EMAIL, "john@example.com"},
		    {CLASS_IPV4, "10.20.30.40"},
		    {CLASS_SSN, "123-45-6789"}};
	char text[256];
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		for (int before = 0; before < 140; before++) {
			snprintf(text, sizeof(text), "%*s %s", before, "", ROWS[i].text);
			CHECK_STR(find(ROWS[i].class, text), ROWS[i].text);
		}
	}
}

struct order {
	size_t at;
	int class;
	unsigned n;
};

static void on_ordered(void *user, enum rule_class class, size_t at)
{
	struct order *last = user;
	CHECK(last->n == 0 || at > last->at || (at == last->at && (int)class > last->class));
	*last = (struct order){at, class, last->n + 1};
}

/* Who hears of them goes through values once, from the first to the last. */
static void test_all_classes_are_told_in_the_order_of_places(void)
{
	static const char TEXT[] = "a@b.example 10.4.1.2 c@d.example 123-45-6789 e@f.example "
				   "4111 1111 1111 1111 GB82WEST12345698765432 g@h.example 1.2.3.4";
	struct order last = {.n = 0};
	class_scan(slice_str(TEXT), ~0u, on_ordered, &last);
	CHECK(last.n >= 9);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_all_classes_are_told_in_the_order_of_places),
		   TEST(test_numbers_and_addresses_are_found_by_shape_and_sum),
		   TEST(test_they_are_found_wherever_blocks_end));
}
