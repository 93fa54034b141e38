/* SPDX-License-Identifier: Apache-2.0
 * tests/truth/sim.h - traffic of a shape in simulated time, through a real budget or a textbook
 * sampler, and what came out of it by windows. */
#ifndef TESTS_TRUTH_SIM_H
#define TESTS_TRUTH_SIM_H

#include "pipeline/budget.h"

enum { SIM_STEPS = 8, SIM_NODES = 8, SIM_TEAMS = 8 };

struct shape {
	const char *name;
	double seconds;
	unsigned keys;
	double (*rate)(unsigned key, double t); /* spans a second of a key, at a time */
	bool changing;                          /* the parts of keys change, not only the sum */
	bool new_keys;                          /* each trace has a key of its own */
	double late;        /* share of spans that come after the decision, within 60 s */
	bool mixed;         /* a third come sampled at 1 %, a third at 10 % */
	double big_every_s; /* a trace of 30,000 spans */
	double (*errors)(unsigned key, double t); /* share of traces that are protected */
	double flood_s, flooded_s;                /* from, to: key 0 is not honest then */
	double duplicates;                        /* share of requests that come again */
	bool nested;             /* total -> three teams -> a rule each; key % 3 is the team */
	double steps[SIM_STEPS]; /* times at which the windows begin anew; 0 ends */
	double kill_s, reload_s; /* once: saved and loaded; with three fifths of the goal */

	double goal, bytes_goal; /* per second; of the node that all pass */
	double largest, burst_s, debt_s, reserve;
	double count_bar;  /* allowed error of estimated / true; 0: 1 % */
	double steady_bar; /* of 19 of 20 steady windows; 0: 2 % */
	double most_bar;   /* of each of them; 0: 2 % */
};

enum { SIM_WINDOWS = 2048 };
struct window {
	double emitted, bytes, offered, goal;
	bool steady;
};
struct result {
	struct window window[SIM_WINDOWS];
	unsigned windows;
	double truth, estimate;  /* spans that the sources made, by knowledge and by `th` */
	double variance;         /* of the estimate, from what was kept */
	double offered, emitted; /* over the whole run */
	double charged;          /* what the budget says */
	double team[3];          /* of a nested shape: what each team had in steady windows */
	double honest[2][2];     /* spans of all other keys: before, in the flood; offered, kept */
	double late_over, most_waiting;
	double bound; /* seconds of goal: burst and debt */
};

enum sim_kind { SIM_BUDGET, SIM_EMA, SIM_WINDOWED };
/* Another seed is another run of the same traffic. */
void sim_run(const struct shape *s, enum sim_kind kind, uint64_t seed, struct result *r);

/* The end of months, by a pace. `used`: of the limit, when each was over. */
enum { SIM_MONTHS = 4 };
struct month_result {
	double off[SIM_WINDOWS], used[SIM_MONTHS];
	unsigned windows, months;
	double truth, estimate;
};
void sim_months(struct month_result *m);

/* Uniform, from 0 to 1; random numbers are the same in each run. */
struct random {
	uint64_t state;
};
uint64_t random_next(struct random *r);
double random_unit(struct random *r);
unsigned random_poisson(struct random *r, double mean);

#endif
