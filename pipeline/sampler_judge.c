/* SPDX-License-Identifier: Apache-2.0
 * One trace, as it stands: its rule, its randomness and the threshold it is judged by.
 * Source: reference sampling-and-budgets 2, 3 and 6. */
#include "pipeline/sampler_state.h"
#include "wire/tracestate.h"

/* ---- hashes that are the same on all nodes, and have nothing to do with R ---- */

static uint64_t salted(const uint8_t *trace_id, const char *salt)
{
	static const struct siphash_key fixed = {0x7370616e72656c61, 0x726f6c6c6f757431};
	uint64_t name = siphash(&fixed, salt, strlen(salt));
	struct siphash_key key = {fixed.k0 ^ name, fixed.k1 + name};
	return siphash(&key, trace_id, 16);
}

static bool sees_rule(const struct policy_rule *rule, const uint8_t *trace_id)
{
	if (rule->rollout >= 1)
		return true;
	return (double)(salted(trace_id, rule->name) >> 11) * 0x1p-53 < rule->rollout;
}

/* ---- rules ---- */

static enum condition_outlook outlook(const struct policy *p, uint32_t condition,
				      const struct trace_facts *f)
{
	if (condition == POLICY_ALWAYS)
		return CONDITION_ALWAYS;
	return condition_outlook(p->set, condition, f);
}

/* The last rule is for all. */
static void find_rule(const struct policy *p, const uint8_t *id, const struct trace_facts *f,
		      struct judgement *j)
{
	for (uint32_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];
		if (!sees_rule(rule, id) || !policy_holds(p, rule->condition, f))
			continue;
		if (!rule->dry_run) {
			j->rule = (uint16_t)i;
			return;
		}
		if (j->would == 0)
			j->would = (uint16_t)(i + 1);
	}
	j->rule = (uint16_t)(p->n_rules - 1);
}

/* ---- randomness and what it arrived with ---- */

static const struct policy_source *find_source(const struct policy *p, const struct trace_facts *f)
{
	for (uint32_t i = 0; i < p->n_sources; i++)
		if (policy_holds(p, p->sources[i].condition, f))
			return &p->sources[i];
	return NULL;
}

/* A `th` that R does not reach is not true: then it is as if nothing were known. */
static void find_randomness(const struct sampler *s, const struct trace *t,
			    const struct trace_facts *f, struct judgement *j)
{
	const struct policy_source *source = find_source(s->policy, f);
	j->write_rv = false;
	j->randomness = randomness_of(t->id);
	if (t->th_flags & TRACE_RV) {
		j->randomness = t->rv_list >> 8;
	} else if (source != NULL && source->hash) {
		j->randomness = salted(t->id, "randomness") >> 8;
		j->write_rv = true;
	}
	j->arrived = t->th_flags >> 8;
	j->erase_th = j->arrived > j->randomness;
	if (j->erase_th)
		j->arrived = 0;
	j->source = 1;
	if (!(t->th_flags & TRACE_TH) && source != NULL && source->share > 0 && source->share < 1)
		j->source = source->share;
}

/* ---- the way through the budget ---- */

static uint64_t key_of(const struct sampler *s, const struct trace *t, const struct policy_key *key)
{
	struct slice values[POLICY_KEY_FIELDS];
	for (unsigned i = 0; i < key->n; i++) {
		const uint32_t *v = trace_keys(s, t, key->field[i]);
		size_t n = 0;
		while (n < KEY_VALUES && v[n] != 0)
			n++;
		values[i] = slice_of(v, n * sizeof(*v));
	}
	return budget_key(&s->key, values, key->n);
}

/* Keys are kept for late spans: those of the nodes that have some, in order. */
static void find_path(const struct sampler *s, const struct trace *t, uint16_t node,
		      struct judgement *j)
{
	const struct policy *p = s->policy;
	unsigned depth = 0, n = 0;
	j->path.node = node;
	for (; node != BUDGET_ROOT && depth < BUDGET_DEPTH; node = p->nodes[node].parent, depth++) {
		if (p->keys[node].n == 0)
			continue;
		j->path.keys[depth] = key_of(s, t, &p->keys[node]);
		if (n < 4)
			j->keys[n++] = j->path.keys[depth];
	}
}

/* What came beyond a trace's limits before it could be decided: the newest spans. */
static void find_excess(const struct sampler *s, const struct trace *t, struct judgement *j)
{
	uint32_t spans = t->spans;
	uint64_t bytes = trace_bytes(t);
	j->over_spans = 0;
	j->over_bytes = 0;
	for (uint32_t i = t->newest; i != 0 && spans > 1; i = span_at(s, i - 1)->next) {
		const struct span_ref *ref = span_at(s, i - 1);
		if (spans <= s->trace_spans && bytes <= s->trace_bytes)
			break;
		if (ref->at & SPAN_DUPLICATE)
			continue;
		j->over_spans++;
		j->over_bytes += span_bytes(ref);
		spans--;
		bytes -= span_bytes(ref) < bytes ? span_bytes(ref) : bytes;
	}
}

/* ---- all of it ---- */

void judge(const struct sampler *s, uint32_t trace, struct judgement *j)
{
	const struct trace *t = trace_at(s, trace);
	struct trace_facts f;
	*j = (struct judgement){.trace = trace, .verdict = VERDICT_KEPT};
	trace_facts(s, t, &f);
	find_rule(s->policy, t->id, &f, j);
	find_randomness(s, t, &f, j);
	const struct policy_rule *rule = &s->policy->rules[j->rule];
	j->threshold = rule->threshold;
	j->own = rule->share;
	if (rule->keep == POLICY_SATELLITE && rule->share < 1) {
		/* Its coin is not R: the probability is known, but cannot stand on the spans. */
		j->erase_th = true;
		j->own = 1;
		if (!satellite_keeps(t->id, rule->share))
			j->verdict = VERDICT_RULE;
	} else if (j->randomness < rule->threshold) {
		j->verdict = VERDICT_RULE;
	}
	if (rule->node == BUDGET_ROOT || s->budget == NULL || rule->share <= 0)
		return;
	if (rule->keep == POLICY_SATELLITE && j->verdict != VERDICT_KEPT)
		return;
	j->budgeted = true;
	j->protected = rule->protected;
	find_path(s, t, rule->node, j);
	find_excess(s, t, j);
}

void judge_offer(const struct judgement *j, const struct trace *t, struct budget_offer *out)
{
	*out = (struct budget_offer){.path = j->path,
				     .spans = t->spans,
				     .bytes = (double)trace_bytes(t),
				     .protected = j->protected,
				     .arrived = j->source,
				     .own = j->own};
	if (j->arrived != 0)
		out->arrived = threshold_share(j->arrived);
}

void judge_again(const struct sampler *s, struct judgement *j)
{
	const struct trace *t = trace_at(s, j->trace);
	const struct policy_rule *rule = &s->policy->rules[j->rule];
	struct trace_facts f;
	trace_facts(s, t, &f);
	find_randomness(s, t, &f, j);
	j->erase_th = j->erase_th || (rule->keep == POLICY_SATELLITE && rule->share < 1);
	find_excess(s, t, j);
}

bool judge_is_certain(const struct sampler *s, const struct trace *t)
{
	const struct policy *p = s->policy;
	struct trace_facts f;
	enum condition_outlook o = CONDITION_NEVER;
	uint32_t i = 0;
	trace_facts(s, t, &f);
	for (; i < p->n_rules; i++) {
		if (p->rules[i].dry_run || !sees_rule(&p->rules[i], t->id))
			continue;
		o = outlook(p, p->rules[i].condition, &f);
		if (o != CONDITION_NEVER)
			break;
	}
	if (o != CONDITION_ALWAYS)
		return false;
	if (p->rules[i].share <= 0)
		return true;
	if (p->rules[i].share < 1 || p->rules[i].node != BUDGET_ROOT)
		return false;
	/* What stands on its spans must be certain too. */
	o = CONDITION_NEVER;
	for (i = 0; i < p->n_sources && o == CONDITION_NEVER; i++)
		o = outlook(p, p->sources[i].condition, &f);
	return o != CONDITION_OPEN;
}

/* ---- the record ---- */

void judge_write(const struct sampler *s, const struct judgement *j, struct sampler_now now,
		 struct decision *out)
{
	const struct trace *t = trace_at(s, j->trace);
	struct trace_facts f;
	trace_facts(s, t, &f);
	*out = (struct decision){.first_unix_ms = near(t->first_ms, now.unix_ms),
				 .randomness = j->randomness,
				 .threshold = j->threshold,
				 .arrived = j->arrived,
				 .spans = f.spans,
				 .errors = f.errors,
				 .bytes = f.bytes,
				 .duration_ns = f.duration_ns,
				 .rule = j->rule,
				 .trigger = j->trigger,
				 .verdict = j->verdict,
				 .erase_th = j->erase_th,
				 .write_rv = j->write_rv,
				 .has_root = f.has_root,
				 .would = j->would};
	memcpy(out->trace_id, t->id, 16);
	memcpy(out->keys, j->keys, sizeof(out->keys));
	if (now.unix_ms > out->first_unix_ms)
		out->waited_ms = (uint32_t)(now.unix_ms - out->first_unix_ms);
	if (j->source >= 1 || j->verdict != VERDICT_KEPT)
		return;
	/* Its source tossed a coin of its own. Where R is below the product of both, it would look
	 * false on the span. */
	out->threshold = threshold_product(threshold_of(j->source), j->threshold);
	if (out->randomness < out->threshold)
		out->erase_th = 1;
}

void judge_count(struct sampler *s, const struct judgement *j)
{
	const struct policy *p = s->policy;
	const struct trace *t = trace_at(s, j->trace);
	struct sampler_rule_report *r = s->report.rules;
	struct trace_facts f;
	trace_facts(s, t, &f);
	for (uint32_t i = 0; i < j->rule && j->would != 0; i++) {
		const struct policy_rule *rule = &p->rules[i];
		if (!rule->dry_run || !sees_rule(rule, t->id) ||
		    !policy_holds(p, rule->condition, &f))
			continue;
		bool keeps = rule->keep == POLICY_SATELLITE ? satellite_keeps(t->id, rule->share)
							    : j->randomness >= rule->threshold;
		r[i].matched++;
		*(keeps ? &r[i].kept : &r[i].dropped) += 1;
		*(keeps ? &r[i].kept_spans : &r[i].dropped_spans) += t->spans;
	}
}
