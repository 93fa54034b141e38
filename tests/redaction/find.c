/* SPDX-License-Identifier: Apache-2.0
 * What the default packs find in values that come in on standard input, by the oracle. A value is a
 * line with the bytes of its key and of itself, `0 12`, and then those bytes. For each one there is
 * a line out: `start end rule` of each hit, parted by spaces. */
#include "redaction/oracle.h"
#include "redaction/packs.h"

static void answer(struct oracle *o, const struct rules *all, struct slice key, struct slice value)
{
	const struct oracle_hit *hits;
	uint32_t n = oracle_find(o, key, value, &hits);
	for (uint32_t i = 0; i < n; i++)
		printf("%s%zu %zu %s", i != 0 ? " " : "", hits[i].start, hits[i].end,
		       hits[i].number < all->n ? all->list[hits[i].number].id : "failed-closed");
	printf("\n");
}

int main(void)
{
	static char text[1 << 20];
	struct rules all = {.n = 0};
	packs_read(&all, true);
	struct oracle *o = oracle_create(&all);
	size_t key, value;
	if (o == NULL)
		return 1;
	while (scanf("%zu %zu", &key, &value) == 2) {
		if (getchar() != '\n' || key + value > sizeof(text) ||
		    fread(text, 1, key + value, stdin) != key + value)
			return 1;
		answer(o, &all, slice_of(text, key), slice_of(text + key, value));
	}
	oracle_destroy(o);
	rules_finish(&all);
	return 0;
}
