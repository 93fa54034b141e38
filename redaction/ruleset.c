/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/ruleset.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/distance.h"
#include "base/log.h"
#include "redaction/ruleset_state.h"

static const char *const EXTRA_IDS[EXTRAS] = {
    [EXTRA_KEY_BLOCKED] = "key-blocked", [EXTRA_KEY_UNLISTED] = "key-unlisted",
    [EXTRA_TOO_LONG] = "too-long",       [EXTRA_TOO_DEEP] = "too-deep",
    [EXTRA_TOO_MANY] = "too-many",       [EXTRA_GAVE_UP] = "gave-up",
    [EXTRA_ENGINE] = "engine",
};

/* ---- from packs and files ---- */

struct reading {
	const struct conf_redaction *conf;
	struct rules rules;
	struct report report; /* of one file */
	struct buf *findings;
	bool faulty;
};

/* What was read of one file, good or not. Negative: no memory. */
static int finish_file(struct reading *rd, const char *name, int rc)
{
	int written = report_write(&rd->report, name, rd->findings);
	rd->faulty = rd->faulty || rc == RULE_FAULTY || written == CONF_FAULTY;
	rd->report = (struct report){.n = 0};
	return rc < 0 ? rc : written < 0 ? written : 0;
}

static void report_unknown_pack(struct reading *rd, struct place at, const char *name)
{
	const char *nearest = NULL;
	unsigned best = DISTANCE_WORD_MAX;
	for (uint32_t i = 0; i < N_PACKS; i++) {
		unsigned d = word_distance(name, PACKS[i].name);
		if (d < best) {
			best = d;
			nearest = PACKS[i].name;
		}
	}
	if (nearest != NULL && distance_is_near(best, name))
		report_fault(&rd->report, at, "packs: there is no \"%s\"; did you mean \"%s\"?",
			     name, nearest);
	else
		report_fault(&rd->report, at, "packs: there is no \"%s\"", name);
}

static int read_packs(struct reading *rd)
{
	const struct conf_names *packs = &rd->conf->packs;
	for (size_t i = 0; i < packs->n; i++) {
		const struct pack *p = pack_find(packs->names[i]);
		struct place at = {0};
		if (packs->at != NULL)
			at = (struct place){packs->at[i].line, packs->at[i].column};
		int rc = 0;
		if (p == NULL)
			report_unknown_pack(rd, at, packs->names[i]);
		else
			rc = rules_read(&rd->rules, p->file, p->text, &rd->report);
		rc = finish_file(rd, p != NULL ? p->file : rd->conf->file, rc);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int is_yaml(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');
	return e->d_name[0] != '.' && dot != NULL &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_file(struct reading *rd, const char *path)
{
	struct buf text = {.data = NULL};
	int rc = conf_read_file(path, &text);
	if (rc != 0)
		report_fault(&rd->report, (struct place){0}, "cannot be read: %s", strerror(rc));
	else
		rc = rules_read(&rd->rules, path, buf_slice(&text), &rd->report);
	buf_finish(&text);
	return finish_file(rd, path, rc == RULE_FAULTY || rc < 0 ? rc : 0);
}

static int read_folder(struct reading *rd)
{
	struct dirent **entries;
	const char *dir = rd->conf->rules_dir;
	if (dir == NULL || *dir == '\0')
		return 0;
	int n = scandir(dir, &entries, is_yaml, by_name), rc = 0;
	if (n < 0) {
		report_fault(&rd->report, (struct place){0}, "rules_dir: %s: %s", dir,
			     strerror(errno));
		return finish_file(rd, rd->conf->file, 0);
	}
	for (int i = 0; i < n; i++) {
		char *path = NULL;
		if (rc == 0 && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0)
			rc = fail(-ENOMEM, "rules: no memory");
		else if (rc == 0)
			rc = read_file(rd, path);
		free(path);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

int ruleset_build(struct ruleset **out, const struct conf_redaction *c, struct buf *findings)
{
	struct reading *rd = calloc(1, sizeof(*rd));
	if (rd == NULL)
		return fail(-ENOMEM, "rules: no memory");
	rd->conf = c;
	rd->findings = findings;
	int rc = read_packs(rd);
	if (rc == 0)
		rc = read_folder(rd);
	if (rc == 0 && rd->faulty)
		rc = RULESET_FAULTY;
	if (rc == 0)
		rc = ruleset_compile(out, &rd->rules, c, findings);
	else
		rules_finish(&rd->rules);
	free(rd);
	return rc;
}

/* ---- its life ---- */

struct ruleset *ruleset_take(struct ruleset *set)
{
	atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	return set;
}

void ruleset_release(struct ruleset *set)
{
	if (set == NULL ||
	    atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
		return;
	for (uint32_t i = 0; set->exact != NULL && i < set->n; i++) {
		struct exact *e = &set->exact[i];
		pattern_destroy(e->regex);
		for (uint32_t k = 0; k < e->n_allow; k++)
			pattern_destroy(e->allow[k]);
	}
	if (set->hmac_key != NULL)
		explicit_bzero(set->hmac_key, set->masking.hmac_key.len);
	hs_free_database(set->text);
	hs_free_database(set->keys);
	arena_finish(&set->arena);
	rules_finish(&set->rules);
	free(set);
}

/* ---- what is in it ---- */

uint32_t ruleset_rules(const struct ruleset *set)
{
	return set->n;
}

uint32_t ruleset_numbers(const struct ruleset *set)
{
	return set->n + EXTRAS;
}

const char *ruleset_id(const struct ruleset *set, uint32_t number)
{
	return number < set->n ? set->rules.list[number].id : EXTRA_IDS[number - set->n];
}

enum mask ruleset_mask(const struct ruleset *set, uint32_t number)
{
	if (number < set->n)
		return set->exact[number].mask;
	return number == set->n + EXTRA_KEY_UNLISTED ? MASK_DROP : set->mask;
}

const struct ruleset_masking *ruleset_masking(const struct ruleset *set)
{
	return &set->masking;
}

const struct rule *ruleset_rule(const struct ruleset *set, uint32_t number)
{
	return number < set->n ? &set->rules.list[number] : NULL;
}

size_t ruleset_bytes(const struct ruleset *set)
{
	size_t bytes = sizeof(*set) + set->arena.used + set->rules.arena.used +
		       set->rules.cap * sizeof(*set->rules.list);
	size_t one = 0;
	for (uint32_t i = 0; i < set->n; i++) {
		const struct exact *e = &set->exact[i];
		if (e->regex != NULL)
			bytes += pattern_bytes(e->regex);
		for (uint32_t k = 0; k < e->n_allow; k++)
			bytes += pattern_bytes(e->allow[k]);
	}
	if (set->text != NULL && hs_database_size(set->text, &one) == HS_SUCCESS)
		bytes += one;
	if (set->keys != NULL && hs_database_size(set->keys, &one) == HS_SUCCESS)
		bytes += one;
	return bytes;
}
