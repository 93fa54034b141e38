/* SPDX-License-Identifier: Apache-2.0
 * tests/truth/textbook.h - two well-known samplers by throughput, from their description, to be
 * seen beside a budget. Source: reference sampling-and-budgets 3 and 4. They toss one coin a trace,
 * 1 in a whole number by key; they know no bucket, and late spans are counted by nobody. */
#ifndef TESTS_TRUTH_TEXTBOOK_H
#define TESTS_TRUTH_TEXTBOOK_H

enum textbook_kind {
	TEXTBOOK_EMA,     /* every 15 s, weight 0.5, by the logarithm of counts, surplus goes on */
	TEXTBOOK_WINDOWED /* every 1 s, over 30 s, equal parts */
};

struct textbook;
struct textbook *textbook_create(enum textbook_kind kind, double goal_per_second, unsigned keys);
void textbook_destroy(struct textbook *t);

/* Counts a trace and gives its rate N: it is kept once in N. Keys sort by their number. */
double textbook_offer(struct textbook *t, unsigned key, double spans);
void textbook_tick(struct textbook *t, double now_s);

#endif
