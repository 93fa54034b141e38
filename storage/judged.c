/* SPDX-License-Identifier: Apache-2.0
 * What the judge gets back of its rulings, after a start. */
#include <errno.h>

#include "base/log.h"
#include "storage/internal.h"
#include "storage/sealed.h"
#include "storage/states.h"

void store_judged(const struct store *s, struct store_judged *out)
{
	out->position = s->state.position;
	out->next_chapter = s->state.next[TREE_CHAPTERS];
}

int store_each_chapter(struct store *s,
		       int (*on_chapter)(void *ctx, uint64_t number, struct slice bytes), void *ctx)
{
	struct journal_txn t;
	struct slice value, bytes;
	uint64_t id = s->state.first[TREE_CHAPTERS], number;
	int rc, said = 0;
	journal_begin_read(&t, &s->journal);
	for (; (rc = journal_next(&t, TREE_CHAPTERS, &id, &value)) == 0 && said == 0; id++)
		if (id >= s->state.next[TREE_CHAPTERS])
			break; /* of a commit that failed */
		else if (sealed_read(value, SEALED_CHAPTER, &number, &bytes) == 0 && number == id)
			said = on_chapter(ctx, number, bytes);
		else
			log_error("chapter is damaged and skipped", "chapter=%llu bytes=%zu",
				  (unsigned long long)id, value.len);
	journal_abort(&t);
	if (said != 0)
		return said;
	return rc == 0 || rc == JOURNAL_NONE
		   ? 0
		   : fail(rc < 0 ? rc : -EIO, "journal: cannot read %s", s->journal.path);
}

int store_state(struct store *s, const char *name, struct buf *out)
{
	struct journal_txn t;
	struct slice bytes = {NULL, 0};
	journal_begin_read(&t, &s->journal);
	int rc = states_get(&t, name, s->state.rulings, &bytes);
	if (rc == 0 && buf_append(out, bytes.data, bytes.len) != 0)
		rc = fail(-ENOMEM, "store: no memory for the state %s", name);
	journal_abort(&t);
	if (rc == JOURNAL_BAD)
		log_error("state is damaged, it begins anew", "state=%s", name);
	return rc > 0 ? STORE_GONE : rc;
}
