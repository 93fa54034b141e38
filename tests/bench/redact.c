/* SPDX-License-Identifier: Apache-2.0
 * What looking for secrets costs: the values of requests of 300 spans, ten values and some 250 B a
 * span, one span in 200 with a secret; the default packs, and all of them. Then what it costs to
 * make the rule sets. Usage: redact [REQUESTS]. Prints a line for each. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "redaction/scan.h"

enum { SPANS = 300, VALUES = 10, ROUNDS = 7, SECRET_EVERY = 200, REQUESTS = 64 };

struct request {
	struct buf text;
	struct scan_value values[SPANS * VALUES];
	uint32_t n;
};

struct bench {
	struct request *requests;
	uint32_t n;
	uint64_t random;
};

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "redact: %s\n", what);
	exit(1);
}

static uint32_t draw(struct bench *b, uint32_t below)
{
	b->random = b->random * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
	return (uint32_t)((b->random >> 32) * below >> 32);
}

static void begin_value(struct request *r)
{
	r->values[r->n].at = (uint32_t)r->text.len;
}

static void end_value(struct request *r)
{
	r->values[r->n].len = (uint32_t)r->text.len - r->values[r->n].at;
	r->n++;
	need(buf_append(&r->text, "\n", 1) == 0, "no memory");
}

#define VALUE(r, ...)                                                                              \
	do {                                                                                       \
		begin_value(r);                                                                    \
		buf_printf(&(r)->text, __VA_ARGS__);                                               \
		end_value(r);                                                                      \
	} while (0)

static void write_secret(struct bench *b, struct request *r)
{
	char token[37];
	for (int i = 0; i < 36; i++)
		token[i] =
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[draw(b, 62)];
	token[36] = '\0';
	switch (draw(b, 3)) {
	case 0:
		VALUE(r, "https://api.example.com/v1/items?access_token=%s&page=2", token);
		break;
	case 1:
		VALUE(r, "Authorization: Bearer %s", token);
		break;
	default:
		VALUE(r, "connect failed: password=%.16s host=db-1", token);
		break;
	}
}

static void write_span(struct bench *b, struct request *r)
{
	static const char *const METHODS[] = {"GET", "POST", "PUT", "DELETE"};
	static const char *const SERVICES[] = {"checkout",    "cart",          "auth-gateway",
					       "payment-api", "token-service", "search"};
	const char *service = SERVICES[draw(b, 6)];
	uint32_t id = draw(b, 1 << 30), n = draw(b, 100000);
	VALUE(r, "%s", METHODS[draw(b, 4)]);
	VALUE(r, "/api/v2/%s/%u/items", service, n);
	VALUE(r, "https://%s.example.com/api/v2/orders/%u?page=%u&sort=asc", service, n, n % 40);
	VALUE(r, "%s-%08x-%05x", service, id, n);
	VALUE(r, "%08x-%04x-4%03x-a%03x-%012x", id, n & 0xffff, id & 0xfff, n & 0xfff, id ^ n);
	if (draw(b, SECRET_EVERY) == 0)
		write_secret(b, r);
	else
		VALUE(r, "SELECT id, name, total FROM orders WHERE customer_id = ? LIMIT %u",
		      n % 100);
	VALUE(r, "Mozilla/5.0 (X11; Linux x86_64) Chrome/%u.0", 90 + n % 40);
	VALUE(r, "10.%u.%u.%u", id & 255, n & 255, id >> 8 & 255);
	VALUE(r, "com.example.shop.%s.OrderController", service);
	VALUE(r, "ip-10-0-%u-%u.ec2.internal", n & 255, id & 255);
}

static void write_requests(struct bench *b)
{
	b->requests = calloc(b->n, sizeof(*b->requests));
	need(b->requests != NULL, "no memory");
	for (uint32_t i = 0; i < b->n; i++)
		for (int k = 0; k < SPANS; k++)
			write_span(b, &b->requests[i]);
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void measure(struct bench *b, const struct ruleset *set, const char *name)
{
	struct scanner *s = scanner_create();
	uint64_t best = UINT64_MAX, found = 0, bytes = 0;
	need(s != NULL, "no memory");
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = cpu_ns();
		found = bytes = 0;
		for (uint32_t i = 0; i < b->n; i++) {
			struct request *r = &b->requests[i];
			const struct hit *hits;
			uint32_t n;
			need(scanner_begin(s, set) == 0 &&
				 scan(s, buf_slice(&r->text), r->values, r->n, &hits, &n) == 0,
			     "no memory");
			found += n;
			bytes += r->text.len;
		}
		uint64_t took = cpu_ns() - start;
		best = took < best ? took : best;
	}
	double spans = (double)b->n * SPANS;
	printf("%-8s %4u rules  %6.0f ns/span  %6.0f ns/KiB  %.1f B/span  %.4f hits/span\n", name,
	       ruleset_rules(set), (double)best / spans, (double)best * 1024 / (double)bytes,
	       (double)bytes / spans, (double)found / spans);
	scanner_destroy(s);
}

static void run(struct bench *b, bool all, const char *name)
{
	char *names[16];
	struct conf_redaction conf = {.file = "bench", .packs = {.names = names}};
	struct ruleset *set = NULL;
	struct buf findings = {.data = NULL};
	for (uint32_t i = 0; i < N_PACKS && conf.packs.n < 16; i++)
		if (all || PACKS[i].by_default)
			names[conf.packs.n++] = strdup(PACKS[i].name);
	uint64_t start = cpu_ns();
	int rc = ruleset_build(&set, &conf, &findings);
	uint64_t took = cpu_ns() - start;
	if (findings.len != 0)
		printf("%.*s", (int)findings.len, (const char *)findings.data);
	need(rc == 0, "the rules are faulty");
	printf("%-8s %4u rules  %6.0f ms to make  %.1f MiB\n", name, ruleset_rules(set),
	       (double)took / 1e6, (double)ruleset_bytes(set) / (1 << 20));
	measure(b, set, name);
	ruleset_release(set);
	buf_finish(&findings);
	for (size_t i = 0; i < conf.packs.n; i++)
		free(names[i]);
}

int main(int argc, char **argv)
{
	struct bench b = {.random = 1,
			  .n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : REQUESTS};
	write_requests(&b);
	run(&b, false, "default");
	run(&b, true, "all");
	for (uint32_t i = 0; i < b.n; i++)
		buf_finish(&b.requests[i].text);
	free(b.requests);
	return 0;
}
