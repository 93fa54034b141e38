/* SPDX-License-Identifier: Apache-2.0
 * Whether the time that it takes to look up a token tells anything of the tokens there are: Welch's
 * t-test over COMPARISONS (1000000) of each of two kinds, in random turns, the slowest hundredth
 * left out (the method of dudect, Reparaz, Balasch and Verbauwhede 2017). |t| below 4.5 is no
 * difference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "identity/registry.h"

enum { CLIENTS = 64, TOKEN_BYTES = 40, KINDS = 2 };

struct sample {
	uint64_t ns;
	unsigned kind;
};

static char names[CLIENTS][8], none[] = "", tokens[CLIENTS][TOKEN_BYTES + 8];
static struct conf_client clients[CLIENTS];
static uint64_t drawn;

static uint64_t draw(void)
{
	static const struct siphash_key KEY = {1, 2};
	drawn++;
	return siphash(&KEY, &drawn, sizeof(drawn));
}

static void draw_text(char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)('a' + draw() % 26);
}

static struct registry *make(void)
{
	for (int i = 0; i < CLIENTS; i++) {
		snprintf(names[i], sizeof(names[i]), "c%d", i);
		clients[i] =
		    (struct conf_client){.name = names[i], .environment = none, .role = none};
		draw_text(tokens[i], TOKEN_BYTES);
	}
	struct registry *r =
	    registry_create(&(struct conf){.clients = clients, .n_clients = CLIENTS});
	for (size_t i = 0; i < CLIENTS; i++)
		if (r == NULL || registry_add(r, i, IDENTITY_TOKEN, slice_str(tokens[i])) != 0)
			exit(70);
	return r;
}

/* Kind 0 differs in its last byte from a token that there is, kind 1 in all of them; or they are
 * the first token of all and the last. */
static void fill(char *header, unsigned kind, bool good)
{
	memcpy(header, "Bearer ", 7);
	char *token = header + 7;
	draw_text(token, TOKEN_BYTES);
	if (good)
		memcpy(token, tokens[kind == 0 ? 0 : CLIENTS - 1], TOKEN_BYTES);
	else if (kind == 0)
		memcpy(token, tokens[draw() % CLIENTS], TOKEN_BYTES - 1);
	if (!good)
		token[TOKEN_BYTES - 1] = '!';
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct sample *)a)->ns, y = ((const struct sample *)b)->ns;
	return x < y ? -1 : x > y;
}

static double welch(struct sample *all, size_t n)
{
	double sum[KINDS] = {0}, squares[KINDS] = {0}, count[KINDS] = {0};
	qsort(all, n, sizeof(*all), by_time);
	for (size_t i = 0; i < n - n / 100; i++) {
		double t = (double)all[i].ns;
		sum[all[i].kind] += t;
		squares[all[i].kind] += t * t;
		count[all[i].kind]++;
	}
	double mean[KINDS], error[KINDS];
	for (int k = 0; k < KINDS; k++) {
		mean[k] = sum[k] / count[k];
		error[k] = (squares[k] / count[k] - mean[k] * mean[k]) / count[k];
	}
	printf("  %.1f ns and %.1f ns", mean[0], mean[1]);
	return (mean[0] - mean[1]) / sqrt(error[0] + error[1]);
}

static bool compare(const struct registry *r, struct sample *all, size_t n, bool good)
{
	char header[TOKEN_BYTES + 8] = "";
	for (size_t i = 0; i < n; i++) {
		struct credentials c = {.has_token = false};
		all[i].kind = draw() % KINDS;
		fill(header, all[i].kind, good);
		uint64_t start = clock_ns(CLOCK_MONOTONIC);
		int rc = credentials_bearer(&c, slice_of(header, TOKEN_BYTES + 7), false);
		struct identity who = registry_find(r, &c);
		all[i].ns = clock_ns(CLOCK_MONOTONIC) - start;
		if (rc != 0 || (who.client != REGISTRY_NOBODY) != good)
			exit(70);
	}
	double t = welch(all, n);
	printf(", t %.2f: %s\n", t,
	       good ? "the first token of all and the last"
		    : "a token that is wrong in its last byte and one in all");
	return fabs(t) < 4.5;
}

int main(int argc, char **argv)
{
	size_t n = KINDS * (argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000);
	struct registry *r = make();
	struct sample *all = calloc(n, sizeof(*all));
	unsigned passed = 0;
	if (all == NULL || n < 2000)
		return 70;
	for (int good = 0; good <= 1; good++)
		passed += compare(r, all, n, good);
	printf("identity-timing: %u passed, %u failed\n", passed, 2 - passed);
	registry_destroy(r);
	free(all);
	return passed == 2 ? 0 : 1;
}
