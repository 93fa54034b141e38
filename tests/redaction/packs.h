/* SPDX-License-Identifier: Apache-2.0
 * tests/redaction/packs.h - the rules of the program's packs, for the tools beside it. */
#ifndef TESTS_REDACTION_PACKS_H
#define TESTS_REDACTION_PACKS_H

#include <stdio.h>
#include <stdlib.h>

#include "redaction/rule.h"

/* All packs, or those that are on by default. What is wrong goes to standard output; then it ends
 * the program. */
static inline void packs_read(struct rules *all, bool by_default_only)
{
	for (uint32_t i = 0; i < N_PACKS; i++) {
		struct report report = {.n = 0};
		struct buf words = {.data = NULL};
		if (by_default_only && !PACKS[i].by_default)
			continue;
		int rc = rules_read(all, PACKS[i].file, PACKS[i].text, &report);
		report_write(&report, PACKS[i].file, &words);
		printf("%.*s", (int)words.len, words.data != NULL ? (const char *)words.data : "");
		buf_finish(&words);
		if (rc != 0)
			exit(1);
	}
}

#endif
