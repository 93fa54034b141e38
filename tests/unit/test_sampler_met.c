/* SPDX-License-Identifier: Apache-2.0
 * Which spans made a rule hold: how many there were, and where the first ones lie. */
#include "sampler_fixture.h"

enum { A = 1, B = 2, C = 4 };

/* The first rule is the only one but for the rest. Its predicates are bits from 0 on. */
static void begin(struct world *w, const char *when, double share)
{
	world_init(w);
	world_rule(w, "rule", when, share);
	world_last(w, 0.5);
	world_start(w);
}

static const struct met_by *decide(struct world *w)
{
	static const struct met_by none;
	world_pass(w, w->policy.wait_ms);
	CHECK(world_decide(w));
	CHECK_EQ(w->ruling.n_decisions, 1);
	CHECK(w->ruling.n_met <= 1);
	return w->ruling.n_met != 0 ? w->ruling.met : &none;
}

/* The witnesses lie there, in block 1. */
static bool are_at(const struct world *w, uint32_t first, uint32_t second)
{
	const struct pick *p = w->ruling.witnesses;
	return w->ruling.n_witnesses == 2 && p[0].block_id == 1 && p[0].at == first &&
	       p[0].decision == 0 && p[1].block_id == 1 && p[1].at == second && p[1].decision == 0;
}

static void test_first_two_spans_are_named_and_all_counted(void)
{
	struct world w;
	begin(&w, "any(span.a == 1)", 1);
	BLOCK(&w, {.trace = 1}, {.trace = 1, .bits = {A}}, {.trace = 1}, {.trace = 1, .bits = {A}},
	      {.trace = 1, .bits = {A}});
	CHECK_EQ(decide(&w)->spans, 3);
	CHECK(are_at(&w, 1, 3));
	world_end(&w);
}

static void test_dropped_traces_have_witnesses_too(void)
{
	struct world w;
	begin(&w, "any(span.a == 1)", 0);
	BLOCK(&w, {.trace = 1, .bits = {A}}, {.trace = 1}, {.trace = 1, .bits = {A}});
	CHECK_EQ(decide(&w)->spans, 2);
	CHECK_EQ(w.ruling.n_picks, 0);
	CHECK(are_at(&w, 0, 2));
	world_end(&w);
}

static void test_of_a_conjunction_one_of_each_is_named(void)
{
	struct world w;
	begin(&w, "any(span.a == 1) and any(span.b == 1)", 1);
	BLOCK(&w, {.trace = 1, .bits = {A}}, {.trace = 1, .bits = {A}}, {.trace = 1, .bits = {C}},
	      {.trace = 1, .bits = {B}}, {.trace = 1, .bits = {B}});
	CHECK_EQ(decide(&w)->spans, 4);
	CHECK(are_at(&w, 0, 3));
	world_end(&w);
}

static void test_of_or_only_the_sides_that_hold_count(void)
{
	struct world w;
	begin(&w, "any(span.a == 1) and any(span.b == 1) or any(span.c == 1)", 1);
	BLOCK(&w, {.trace = 1, .bits = {A}}, {.trace = 1, .bits = {C}});
	CHECK_EQ(decide(&w)->spans, 1);
	CHECK(w.ruling.n_witnesses == 1 && w.ruling.witnesses[0].at == 1);
	world_end(&w);
}

static void test_what_came_twice_is_one_witness(void)
{
	struct world w;
	begin(&w, "any(span.a == 1)", 1);
	BLOCK(&w, {.trace = 1, .identity = 7, .bits = {A}},
	      {.trace = 1, .identity = 7, .bits = {A}}, {.trace = 1, .identity = 8, .bits = {A}});
	CHECK_EQ(decide(&w)->spans, 2);
	CHECK(are_at(&w, 0, 2));
	world_end(&w);
}

static void test_no_span_meets_what_only_the_trace_or_nobody_does(void)
{
	static const char *const texts[] = {"trace.span_count > 1", "none(span.a == 1)",
					    "not any(span.a == 1)",
					    "all(span.b == 1) and trace.duration < 1h", NULL};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct world w;
		begin(&w, texts[i], 1);
		BLOCK(&w, {.trace = 1, .bits = {B}}, {.trace = 1, .bits = {B}});
		CHECK_EQ(decide(&w)->spans, 0);
		CHECK_EQ(w.ruling.decisions[0].rule, 0);
		CHECK(w.ruling.n_met == 0 && w.ruling.n_witnesses == 0);
		world_end(&w);
	}
}

/* not(none(A)) is any(A). */
static void test_two_negations_are_none(void)
{
	struct world w;
	begin(&w, "not (none(span.a == 1) or none(span.b == 1))", 1);
	BLOCK(&w, {.trace = 1, .bits = {A}}, {.trace = 1, .bits = {B}});
	CHECK_EQ(decide(&w)->spans, 2);
	CHECK(are_at(&w, 0, 1));
	world_end(&w);
}

static void test_each_trace_has_its_own_and_they_come_by_place(void)
{
	struct world w;
	begin(&w, "any(span.a == 1)", 1);
	BLOCK(&w, {.trace = 1, .bits = {A}}, {.trace = 2, .bits = {A}}, {.trace = 3, .low = HALF});
	BLOCK(&w, {.trace = 2, .bits = {A}}, {.trace = 1, .bits = {A}});
	world_pass(&w, w.policy.wait_ms);
	CHECK(world_decide(&w));
	const struct ruling *r = &w.ruling;
	CHECK(r->n_decisions == 3 && r->n_met == 2 && r->n_witnesses == 4);
	for (size_t i = 0; i < 4; i++) {
		const struct pick *p = &r->witnesses[i];
		uint32_t decision = r->met[p->decision].decision;
		CHECK(p->block_id == 1 + i / 2 && p->at == i % 2);
		CHECK_EQ(r->decisions[decision].trace_id[7], (i % 2 == 0) == (i < 2) ? 1 : 2);
	}
	world_end(&w);
}

/* Of predicates a span remembers the first ones: of 30 rules, those of 24. */
static void test_rules_beyond_what_a_span_remembers_are_met_by_none(void)
{
	for (int rule = 22; rule < 26; rule++) {
		struct world w;
		char text[30][32];
		world_init(&w);
		for (int i = 0; i < 30; i++) {
			snprintf(text[i], sizeof(text[i]), "any(span.k == %d)", i);
			if (i != rule)
				world_condition(&w, text[i]);
			else
				world_rule(&w, "rule", text[i], 1);
		}
		world_start(&w);
		BLOCK(&w, {.trace = 1, .bits = {(uint64_t)1 << rule}});
		CHECK_EQ(decide(&w)->spans, rule < 24);
		CHECK_EQ(w.ruling.decisions[0].rule, 0);
		world_end(&w);
	}
}

static void test_what_a_span_cannot_remember_does_not_hide_the_rest(void)
{
	struct world w;
	char text[30][32];
	world_init(&w);
	for (int i = 0; i < 30; i++) {
		snprintf(text[i], sizeof(text[i]), "any(span.k == %d)", i);
		world_condition(&w, text[i]);
	}
	world_rule(&w, "rule", "any(span.k == 3) or any(span.k == 25)", 1);
	world_start(&w);
	uint64_t both = (uint64_t)1 << 3 | (uint64_t)1 << 25, one = (uint64_t)1 << 3;
	BLOCK(&w, {.trace = 1, .bits = {one}}, {.trace = 1, .bits = {both}},
	      {.trace = 1, .bits = {one}});
	CHECK_EQ(decide(&w)->spans, 3);
	CHECK(are_at(&w, 0, 1));
	world_end(&w);
}

static void test_undecided_traces_say_who_meets_what_would_decide(void)
{
	struct world w;
	struct sampler_look look;
	uint8_t id[16];
	begin(&w, "any(span.a == 1)", 0.5);
	BLOCK(&w, {.trace = 1}, {.trace = 1, .bits = {A}}, {.trace = 2});
	put_id(id, 1, 0);
	sampler_look(w.sampler, id, w.now, &look);
	CHECK(look.state == SAMPLER_PENDING && look.met.spans == 1 && look.n_witnesses == 1);
	CHECK(look.witnesses[0].block_id == 1 && look.witnesses[0].at == 1);
	put_id(id, 2, 0);
	sampler_look(w.sampler, id, w.now, &look);
	CHECK(look.state == SAMPLER_PENDING && look.met.spans == 0 && look.n_witnesses == 0);
	world_end(&w);
}

/* A size has 24 bits: the largest request has no larger span. */
static void test_largest_span_is_counted(void)
{
	struct world w;
	begin(&w, "any(span.a == 1)", 1);
	w.policy.trace_bytes = 1 << 30;
	BLOCK(&w, {.trace = 1, .bytes = (16 << 20) - 1, .bits = {A}});
	CHECK_EQ(decide(&w)->spans, 1);
	CHECK_EQ(w.ruling.bytes[VERDICT_KEPT], (16 << 20) - 1);
	world_end(&w);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_first_two_spans_are_named_and_all_counted),
		   TEST(test_dropped_traces_have_witnesses_too),
		   TEST(test_of_a_conjunction_one_of_each_is_named),
		   TEST(test_of_or_only_the_sides_that_hold_count),
		   TEST(test_what_came_twice_is_one_witness),
		   TEST(test_no_span_meets_what_only_the_trace_or_nobody_does),
		   TEST(test_two_negations_are_none),
		   TEST(test_each_trace_has_its_own_and_they_come_by_place),
		   TEST(test_rules_beyond_what_a_span_remembers_are_met_by_none),
		   TEST(test_what_a_span_cannot_remember_does_not_hide_the_rest),
		   TEST(test_undecided_traces_say_who_meets_what_would_decide),
		   TEST(test_largest_span_is_counted));
}
