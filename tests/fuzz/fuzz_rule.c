/* SPDX-License-Identifier: Apache-2.0
 * A file of rules: any text is read or refused, what is refused is told and leaves nothing, and
 * what is read keeps its promises. */
#include <stdlib.h>

#include "redaction/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

static void check_example(const struct rule *r, const struct example *e)
{
	want(e->start <= e->end && e->end <= strlen(e->value));
	want(e->marked || e->end == 0);
	want(r->keys.n == 0 || e->key != NULL);
}

static void check_rule(const struct rule *r)
{
	want(r->id != NULL && r->id[0] != '\0' && r->pack != NULL && r->file != NULL);
	want(r->regex != NULL || r->class != CLASS_NONE || r->keys.n != 0);
	want(r->n_match != 0 && r->n_no_match != 0 && r->entropy >= 0 && r->entropy <= 8);
	for (uint32_t i = 0; i < r->n_match; i++)
		check_example(r, &r->match[i]);
	for (uint32_t i = 0; i < r->n_no_match; i++)
		want(r->no_match[i].value != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct report r;
	struct rules all = {.n = 0};
	r = (struct report){.n = 0};
	int rc = rules_read(&all, "f", slice_of(data, size), &r);
	want(rc == 0 || rc == RULE_FAULTY);
	want((rc == 0) == (r.faults == 0) && (rc == 0 || all.n == 0));
	for (uint32_t i = 0; i < all.n; i++)
		check_rule(&all.list[i]);
	rules_finish(&all);
	return 0;
}
