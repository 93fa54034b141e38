/* SPDX-License-Identifier: Apache-2.0
 * tests/truth/budget_truth.c - how true budgets are: each shape of traffic through the real code in
 * simulated time, and beside it through two textbook samplers. `budget_truth NAME` runs those whose
 * name has NAME in it, `budget_truth NAME SEED` with other random numbers. Source of the shapes and
 * bars: reference sampling-and-budgets 10. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "truth/sim.h"

/* ---- shapes ---- */

static double equal_101(unsigned key, double t)
{
	(void)key, (void)t;
	return 101;
}

static double equal_150(unsigned key, double t)
{
	(void)key, (void)t;
	return 150;
}

static double equal_199(unsigned key, double t)
{
	(void)key, (void)t;
	return 199;
}

static double equal_90(unsigned key, double t)
{
	(void)key, (void)t;
	return 90;
}

static double equal_500(unsigned key, double t)
{
	(void)key, (void)t;
	return 500;
}

static double zipf(unsigned key, double t)
{
	(void)t;
	return 100000 * pow(key + 1, -1.2);
}

static double hot_first(unsigned key, double t)
{
	(void)t;
	return key == 0 ? 100000 : 1;
}

static double hot_last(unsigned key, double t)
{
	(void)t;
	return key == 99 ? 100000 : 1;
}

static double flat(unsigned key, double t)
{
	(void)key, (void)t;
	return 1;
}

static double hill(unsigned key, double t)
{
	(void)t;
	return 2000 * pow(key + 1, -1.1);
}

static double step_up(unsigned key, double t)
{
	(void)key;
	return t >= 420 && t < 840 ? 2000 : 200;
}

static double step_from_below(unsigned key, double t)
{
	(void)key;
	return t >= 420 && t < 840 ? 500 : 50;
}

static double bursts(unsigned key, double t)
{
	(void)key;
	return fmod(t, 7) < 0.4 ? 3000 : 150;
}

static double silence(unsigned key, double t)
{
	(void)key;
	return t >= 420 && t < 1020 ? 0 : 300;
}

static double moving(unsigned key, double t)
{
	return 300 + 280 * sin(t / 97 + key);
}

static double idle_sibling(unsigned key, double t)
{
	return key % 3 == 2 && t < 720 ? 0 : 60;
}

static double half_errors(unsigned key, double t)
{
	(void)key;
	return t >= 420 && t < 840 ? 1 : 0.02;
}

/* Key 0 floods from 420 to 840 s. The others want half as much again as their part, or less. */
static double forger(unsigned key, double t)
{
	return key == 0 && t >= 420 && t < 840 ? 5000 : 150;
}

static double forged(unsigned key, double t)
{
	return key != 0 ? 0.05 : t >= 420 && t < 840 ? 1 : 0;
}

static double new_flood(unsigned key, double t)
{
	if (key == 0)
		return t >= 420 && t < 840 ? 10000 : 0;
	return 90;
}

/* Bars that are looser than 2 % say why.
 *
 * Counts: where 3 standard errors are more than 1 %, chance alone is. That is where a few large
 * streams are kept at a hundredth or less (Zipf, hot keys' neighbours, floods): each kept trace
 * then stands for hundreds. What is shown there is that no bias is larger than chance; the shapes
 * with small errors show that there is none.
 *
 * With other seeds about one window in a thousand is beyond 2 % by chance. */
static const struct shape shapes[] = {
    /* What is offered in a window varies by 1.6 % (sizes are 1, 5 and 20), so that for seconds it
     * is below the goal, for longer than a bucket of 2 s can make up for. */
    {.name = "10 keys, 1.01 of their part", .keys = 10, .rate = equal_101, .most_bar = 0.025},
    {.name = "10 keys, 1.50 of their part", .keys = 10, .rate = equal_150},
    {.name = "10 keys, 1.99 of their part", .keys = 10, .rate = equal_199},
    {.name = "10 keys, 0.90: below the goal", .keys = 10, .rate = equal_90},
    {.name = "200 keys, Zipf 1.2", .keys = 200, .rate = zipf, .seconds = 900},
    {.name = "hot key first, 99 idle", .keys = 100, .rate = hot_first},
    {.name = "hot key last, 99 idle", .keys = 100, .rate = hot_last},
    {.name = "10,000 keys, equal", .keys = 10000, .rate = flat},
    {.name = "10,000 keys, Zipf 1.1", .keys = 10000, .rate = hill},
    {.name = "a new key per trace", .keys = 10, .rate = equal_500, .new_keys = true},
    {.name = "keys rise and fall", .keys = 10, .rate = moving, .changing = true},
    {.name = "step x10 and back",
     .keys = 10,
     .rate = step_up,
     .seconds = 1260,
     .steps = {420, 840}},
    {.name = "step x10 from below the goal",
     .keys = 10,
     .rate = step_from_below,
     .seconds = 1260,
     .steps = {420, 840}},
    /* 8 or 9 bursts in a window. They bring 55 % of what is offered, so by a share that is right in
     * the mean one more or less is 3.7 % of the goal; each brings 3.8 s of it, and the bucket holds
     * 2: it evens out a part. */
    {.name = "bursts of 0.4 s each 7 s",
     .keys = 10,
     .rate = bursts,
     .seconds = 10800,
     .steady_bar = 0.025,
     .most_bar = 0.045},
    {.name = "silence for 10 minutes",
     .keys = 10,
     .rate = silence,
     .seconds = 1440,
     .steps = {420, 480, 540, 600, 660, 720, 780, 1020}},
    {.name = "30 % late, up to 60 s", .keys = 10, .rate = equal_500, .late = 0.3},
    /* While the large one waits for its turn, up to 10,000 are saved up for it, a sixth of a
     * window, and leave in the next one. */
    {.name = "a trace of 30,000 each 5 min",
     .keys = 10,
     .rate = equal_500,
     .big_every_s = 300,
     .largest = 10000,
     .seconds = 14400,
     .most_bar = 1.0 / 6},
    {.name = "all errors for 7 minutes",
     .keys = 10,
     .rate = equal_500,
     .errors = half_errors,
     .reserve = 0.2,
     .seconds = 1260,
     .steps = {420, 840}},
    {.name = "forged errors in one key",
     .keys = 10,
     .rate = forger,
     .changing = true,
     .errors = forged,
     .flood_s = 420,
     .flooded_s = 840,
     .seconds = 1260,
     .steps = {420, 840}},
    {.name = "the same, beside a reserve",
     .keys = 10,
     .rate = forger,
     .changing = true,
     .errors = forged,
     .reserve = 0.2,
     .flood_s = 420,
     .flooded_s = 840,
     .seconds = 1260,
     .steps = {420, 840}},
    {.name = "a flood in a key that is new",
     .keys = 10,
     .rate = new_flood,
     .changing = true,
     .flood_s = 420,
     .flooded_s = 840,
     .seconds = 1260,
     .steps = {420, 840}},
    {.name = "mixed th: none, 10 %, 1 %", .keys = 10, .rate = equal_500, .mixed = true},
    {.name = "spans and bytes", .keys = 10, .rate = equal_500, .bytes_goal = 400000},
    {.name = "nested, a sibling wakes",
     .keys = 60,
     .rate = idle_sibling,
     .changing = true,
     .nested = true,
     .seconds = 1440,
     .steps = {720},
     .count_bar = 0.02},
    {.name = "repeats, a kill and a reload",
     .keys = 10,
     .rate = equal_500,
     .late = 0.1,
     .duplicates = 0.2,
     .kill_s = 405.5,
     .reload_s = 780.2,
     .seconds = 1260,
     .steps = {780}},
};

/* ---- the table ---- */

struct row {
	double median, p95, most, over, count, error, kept; /* error: standard, of the count */
	unsigned windows;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double off_of(const struct shape *s, const struct window *w)
{
	/* Less cannot leave than what is there: by chance it may be less than the goal. */
	double off = w->emitted / fmin(60 * w->goal, w->offered) - 1;
	if (s->bytes_goal > 0)
		off = fmax(off, w->bytes / (60 * s->bytes_goal) - 1);
	return off;
}

static void finish_row(struct row *row, double *off)
{
	double size[SIM_WINDOWS];
	if (row->windows == 0)
		return;
	for (unsigned i = 0; i < row->windows; i++)
		size[i] = fabs(off[i]);
	qsort(off, row->windows, sizeof(double), by_value);
	qsort(size, row->windows, sizeof(double), by_value);
	row->median = off[row->windows / 2];
	row->p95 = size[(unsigned)ceil(0.95 * row->windows) - 1];
	row->most = size[row->windows - 1];
}

static struct row row_of(const struct shape *s, const struct result *r)
{
	struct row row = {.over = -1, .count = r->estimate / r->truth, .kept = 1};
	row.error = sqrt(r->variance) / r->truth;
	double off[SIM_WINDOWS];
	for (unsigned i = 0; i < r->windows; i++) {
		const struct window *w = &r->window[i];
		double o = off_of(s, w);
		row.over = fmax(row.over, w->emitted / (60 * w->goal) - 1);
		if (s->bytes_goal > 0)
			row.over = fmax(row.over, w->bytes / (60 * s->bytes_goal) - 1);
		if (!w->steady)
			continue;
		if (w->offered < 0.95 * 60 * w->goal) {
			if (w->offered > 0)
				row.kept = fmin(row.kept, w->emitted / w->offered);
			continue;
		}
		off[row.windows++] = o;
	}
	finish_row(&row, off);
	return row;
}

static void print_row(const char *name, const struct row *r, double bound, const char *verdict)
{
	printf("%-30s %4u %+7.2f %7.2f %7.2f %+8.2f", name, r->windows, 100 * r->median,
	       100 * r->p95, 100 * r->most, 100 * r->over);
	if (bound > 0)
		printf(" %7.2f", 100 * bound);
	else
		printf(" %7s", "");
	printf(" %8.4f %6.4f %7.2f  %s\n", r->count, r->error, 100 * r->kept, verdict);
	fflush(stdout);
}

static unsigned failed;
static uint64_t seed = 12345;

static void judge(bool holds, char *verdict, const char *name)
{
	if (holds)
		return;
	if (verdict[0] == '\0')
		strncat(verdict, "FAILED:", 16);
	strncat(verdict, " ", 2);
	strncat(verdict, name, 32);
}

/* The nested shape: weights 2, 1 and 1; the third sleeps for the first half. */
static bool teams_have_their_part(const struct shape *s, const struct result *r)
{
	static const double part[2][3] = {{2.0 / 3, 1.0 / 3, 0}, {1.0 / 2, 1.0 / 4, 1.0 / 4}};
	double wanted[3] = {0};
	for (unsigned w = 0; w < r->windows; w++)
		for (unsigned i = 0; i < 3 && r->window[w].steady; i++)
			wanted[i] += part[60.0 * w >= s->seconds / 2][i] * 60 * s->goal;
	for (unsigned i = 0; i < 3; i++)
		if (fabs(r->team[i] / wanted[i] - 1) > 0.02)
			return false;
	return true;
}

/* Issue 5, "Bad input": honest ones keep nine tenths of what is usual. */
static double honest_part(const struct shape *s, const struct result *r)
{
	if (s->flooded_s <= 0)
		return 1;
	return (r->honest[1][1] / r->honest[1][0]) / (r->honest[0][1] / r->honest[0][0]);
}

static bool run(struct shape s)
{
	static struct result r;
	s.goal = s.goal > 0 ? s.goal : 1000;
	s.seconds = s.seconds > 0 ? s.seconds : 2520;
	s.largest = s.largest > 0 ? s.largest : 500;
	sim_run(&s, SIM_BUDGET, seed, &r);
	struct row row = row_of(&s, &r);
	double bound = r.bound / 60;
	char verdict[256] = "";
	judge(row.p95 <= (s.steady_bar > 0 ? s.steady_bar : 0.02), verdict, "steady");
	judge(row.most <= (s.most_bar > 0 ? s.most_bar : 0.02), verdict, "window");
	judge(row.over <= bound, verdict, "overshoot");
	double count_bar = fmax(s.count_bar > 0 ? s.count_bar : 0.01, 3 * row.error);
	judge(fabs(row.count - 1) <= count_bar, verdict, "counts");
	judge(row.kept >= 0.9999, verdict, "kept");
	judge(fabs(r.charged - r.emitted) < 0.5, verdict, "charged");
	judge(r.late_over == 0, verdict, "late");
	judge(!s.nested || teams_have_their_part(&s, &r), verdict, "teams");
	judge(honest_part(&s, &r) >= 0.9, verdict, "honest");
	print_row(s.name, &row, bound, verdict[0] != '\0' ? verdict : "ok");
	if (s.flooded_s > 0)
		printf("  the other keys keep %.1f %% of what they kept before\n",
		       100 * honest_part(&s, &r));
	static const char *const names[] = {"", "  EMA throughput", "  windowed throughput"};
	for (int kind = SIM_EMA; kind <= SIM_WINDOWED; kind++) {
		sim_run(&s, (enum sim_kind)kind, seed, &r);
		row = row_of(&s, &r);
		print_row(names[kind], &row, 0, "");
	}
	return verdict[0] == '\0';
}

static bool run_months(const char *name)
{
	static struct month_result m;
	sim_months(&m);
	struct row row = {
	    .windows = m.windows, .count = m.estimate / m.truth, .kept = 1, .over = -1};
	char verdict[256] = "";
	for (unsigned i = 0; i < m.windows; i++)
		row.over = fmax(row.over, m.off[i]);
	finish_row(&row, m.off);
	/* Of 553 windows, 5 times as many as elsewhere, one or two are further off by chance. */
	judge(row.p95 <= 0.02 && row.most <= 0.025, verdict, "steady");
	judge(row.over <= 2.0 / 60, verdict, "overshoot");
	judge(fabs(row.count - 1) <= 0.01, verdict, "counts");
	judge(m.months >= 2, verdict, "months");
	for (unsigned i = 0; i < m.months; i++)
		judge(m.used[i] <= 1.001 && m.used[i] >= 0.99, verdict, "month");
	print_row(name, &row, 2.0 / 60, verdict[0] != '\0' ? verdict : "ok");
	printf("  used of the month's limit:");
	for (unsigned i = 0; i < m.months; i++)
		printf(" %.3f %%", 100 * m.used[i]);
	printf("\n");
	return verdict[0] == '\0';
}

int main(int argc, char **argv)
{
	static const char month[] = "month ends, at a pace";
	unsigned passed = 0;
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	printf("%-30s %4s %7s %7s %7s %8s %7s %8s %6s %7s\n", "shape; errors of 60 s windows, %",
	       "n", "median", "p95", "max", "highest", "bound", "est/true", "s.e.", "kept");
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (argc > 1 && strstr(shapes[i].name, argv[1]) == NULL)
			continue;
		if (run(shapes[i]))
			passed++;
		else
			failed++;
	}
	if (argc < 2 || strstr(month, argv[1]) != NULL) {
		bool held = run_months(month);
		passed += held;
		failed += !held;
	}
	printf("budget-truth: %u passed, %u failed\n", passed, failed);
	return failed == 0 && passed > 0 ? 0 : 1;
}
