/* SPDX-License-Identifier: Apache-2.0
 * A condition or a field, a NUL, and a request: the parser takes any text and points into what it
 * refuses; what it takes can be evaluated on whatever the index lets pass, the same twice, for as
 * many spans as the index has counted, and what is certain on the way is so at the end. */
#include <stdlib.h>

#include "pipeline/condition.h"
#include "wire/otlp_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

struct watch {
	const struct condition_set *set;
	struct slice request;
	struct trace_facts facts;
	int always, never;
};

static void on_span(void *user, const struct span_facts *f)
{
	struct watch *w = user;
	struct trace_facts *t = &w->facts;
	want(f->ordinal == t->spans && f->length <= w->request.len &&
	     f->offset <= w->request.len - f->length);
	want(f->trace_id > w->request.data && f->span_id > w->request.data);
	for (int i = 0; i < CONDITION_BIT_WORDS; i++)
		t->bits[i] |= f->bits[i];
	if (f->is_root ? !t->has_root : !t->has_root && span_duration_ns(f) > t->duration_ns)
		t->duration_ns = span_duration_ns(f);
	t->has_root = t->has_root || f->is_root;
	t->spans++;
	t->errors += f->is_error;
	t->bytes += f->length;
	switch (condition_outlook(w->set, 0, t)) {
	case CONDITION_ALWAYS:
		w->always = 1;
		break;
	case CONDITION_NEVER:
		w->never = 1;
		break;
	default:
		want(!w->always && !w->never);
		break;
	}
}

static void evaluate(const struct condition_set *set, struct slice request, uint32_t spans)
{
	struct condition_scratch *s = condition_scratch_create(set);
	struct watch w[2] = {{.set = set, .request = request}, {.set = set, .request = request}};
	if (s == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		condition_evaluate(set, s, request, on_span, &w[i]);
		want(w[i].facts.spans == spans);
		int holds = condition_holds(set, 0, &w[i].facts);
		want(!(w[i].always && !holds) && !(w[i].never && holds));
	}
	want(memcmp(&w[0].facts, &w[1].facts, sizeof(w[0].facts)) == 0);
	condition_scratch_destroy(s);
}

static void vet_and_evaluate(const struct condition_set *set, struct slice raw)
{
	struct arena arena;
	struct otlp_index ix;
	arena_init(&arena, 1 << 20);
	if (otlp_index(&ix, raw, &INDEX_LIMITS, &arena) == INDEX_OK) {
		uint8_t *request = malloc(ix.edited_size + (ix.edited_size == 0));
		otlp_edit(&ix, raw, request);
		evaluate(set, slice_of(request, ix.edited_size), ix.spans);
		free(request);
	}
	arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size != 0 ? memchr(data, 0, size) : NULL;
	size_t len = nul != NULL ? (size_t)(nul - data) : size;
	struct condition_error why;
	struct condition_set *set = condition_set_create();
	uint32_t number;
	uint8_t *text = malloc(len + (len == 0)); /* its own, so that an overrun shows */
	if (len != 0)
		memcpy(text, data, len);
	int rc = condition_add_field(set, slice_of(text, len), &number, &why);
	want(rc == 0 ? condition_set_fields(set) == 1
		     : rc == CONDITION_BAD && why.words[0] != '\0' && why.offset <= len);
	rc = condition_add(set, slice_of(text, len), &number, &why);
	free(text);
	want(rc == 0 || rc == CONDITION_BAD);
	want(rc == 0 ? why.words[0] == '\0' : why.words[0] != '\0' && why.offset <= len);
	if (rc == 0) {
		want(condition_compile(set) == 0);
		if (nul != NULL)
			vet_and_evaluate(set, slice_of(nul + 1, size - len - 1));
	}
	condition_set_destroy(set);
	return 0;
}
