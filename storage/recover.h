/* SPDX-License-Identifier: Apache-2.0
 * storage/recover.h - what a journal holds, found out when it is opened. Private to storage/. */
#ifndef STORAGE_RECOVER_H
#define STORAGE_RECOVER_H

#include "storage/scan.h"

/* Takes what was found in the file, brings ledger and blocks into agreement, and commits what had
 * to be corrected. Gives `held`, by stage, and `st`. What is pending is corrected only where the
 * record does not say it: which spans of pending blocks are undecided, only the judge knows. 0,
 * JOURNAL_BAD (the file is to be set aside) or negative.
 */
int recover(struct journal *j, const struct store_options *o, const struct scan *found,
	    struct held held[STAGES], struct state *st);

#endif
