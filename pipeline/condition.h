/* SPDX-License-Identifier: Apache-2.0
 * pipeline/condition.h - the language of sampling rules: conditions on traces, compiled together.
 *
 *   any(resource.service.name == "checkout" and span.http.route =~ "^/pay") and trace.duration > 2s
 *
 * A condition is `and`, `or`, `not` and parentheses over
 *   any(E), all(E), none(E)    E is met by some, every, no span; one span meets the whole of E
 *   root.FIELD ...             like E, but for the root: the span without a parent
 *   trace.duration .duration_ms .span_count .bytes .error_count .has_root
 * `and` binds closer than `or`. E is the same over tests of fields:
 *   span. event. link. resource. scope.
 *             and the key of an attribute: span.http.route, span."odd key"
 *   span.     and name, kind, status, error, duration, duration_ms
 *   scope.    and name, version
 *   event.    and name
 *   root.     as span.; root.resource. and so on are what belongs to the root
 *   A | B     the first of them that is present counts: span.http.route | span.url.path
 * Operators, with their other spellings:
 *   == (=)  !=  <  <=  >  >=  in [...]  not in (not-in)  exists  not exists (not-exists)
 *   =~ (matches)  !~ (not matches)  contains  not contains (does-not-contain)
 *   starts_with (starts-with)  not starts_with
 * Values:
 *   "text" or 'text', with \" \' and \\; any other \ stands for itself
 *   500, 0.5, true; 2s, 150ms, 1m (ns us ms s m h d) for durations; 10KiB, 1MB for bytes
 * span.error and trace.has_root (has-root-span) stand alone.
 *
 * What holds when:
 *   - A test of a field that is missing does not hold; != !~ and not X are the opposite of == =~
 *     and X, always, so there they hold. With no root, the fields of root. are missing.
 *   - Of an array, and of the events and links of a span, one element that meets a test will do; so
 *     != holds if no element is equal. Lists of keys, bytes and nothing meet `exists` alone.
 *   - Numbers compare by value, whether int, double or a string that is a decimal number. A string
 *     in the rule equals strings byte by byte, and numbers and bools by value. Operators for text
 *     see numbers in decimal. < <= > >= are for numbers.
 *   - Where an attribute stands twice, the first counts. An empty name is missing.
 *   - span.error: status ERROR; or HTTP 500 and above on a SERVER span, in the attribute
 *     http.response.status_code or http.status_code; or an attribute `error` that is true. Status,
 *     kind and duration are never missing.
 *   - http.request.method, http.response.status_code, url.full, url.scheme, user_agent.original and
 *     client.address of spans are, where missing, http.method, http.status_code, http.url,
 *     http.scheme, http.user_agent and http.client_ip, and the other way round (semantic
 *     conventions 1.23). What was split or joined since has to be written as A | B.
 *   - Ids and tracestate cannot be read: the probabilities on kept spans would be false.
 *   - Patterns look at the first 4096 bytes of a value (base/pattern.h).
 *
 * Several roots in a trace are one root each: root.a == 1 holds if one of them meets it, root.a !=
 * 1 if none is equal.
 *
 * A set is made by one thread and read by any; a scratch belongs to one thread. */
#ifndef PIPELINE_CONDITION_H
#define PIPELINE_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "base/slice.h"

enum {
	CONDITION_BAD = 1,
	CONDITION_FIELDS = 16,
	CONDITION_WORDS = 240,
	CONDITION_MAX_BYTES = 16384,
	CONDITION_MAX_BITS = 256,
	CONDITION_BIT_WORDS = CONDITION_MAX_BITS / 64
};

struct condition_error {
	size_t offset; /* of the byte in the text that is wrong; its length: something is missing */
	char words[CONDITION_WORDS];
};

struct condition_set;
struct condition_set *condition_set_create(void); /* NULL: no memory */
void condition_set_destroy(struct condition_set *set);

/* Borrows the text. Numbers count from 0; the same expressions in it and in those before are one.
 * 0, CONDITION_BAD with *why filled, or negative: no memory. After a failure that is not for the
 * text (negative) the set is only good to be destroyed. */
int condition_add(struct condition_set *set, struct slice text, uint32_t *number,
		  struct condition_error *why);

/* A field whose values traces are told apart by, such as resource.team, span.http.route |
 * span.url.path, root.url.path or service.name. Names and alternatives are those of conditions; a
 * name without a prefix is an attribute of the span, else of its resource. Not of events and links,
 * of which a span has many, and no durations. Equal fields have one number; numbers count from 0.
 * At most CONDITION_FIELDS. Outcomes as of condition_add(). */
int condition_add_field(struct condition_set *set, struct slice text, uint32_t *number,
			struct condition_error *why);
uint32_t condition_set_fields(const struct condition_set *set);

/* Makes the tables for evaluation, when all are in. 0, or negative: no memory. */
int condition_compile(struct condition_set *set);

uint32_t condition_set_bits(const struct condition_set *set); /* at most CONDITION_MAX_BITS */

/* What a condition set sees of one span. Good until the callback returns. */
struct span_facts {
	const uint8_t *trace_id, *span_id; /* 16 and 8 bytes, in the request */
	uint64_t start_ns, end_ns;         /* as the span has them: end may be before start, or 0 */
	uint64_t th, rv;                   /* wire/tracestate.h */
	bool has_th, has_rv;
	bool bad_tracestate; /* there, but not to be read */
	bool is_root;        /* without a parent */
	bool is_error;       /* span.error */
	uint32_t ordinal;    /* of the span in the request, from 0, in the order of the document */
	uint32_t offset, length; /* in the request, of the span with its tag and length */
	uint64_t bits[CONDITION_BIT_WORDS]; /* the predicates it meets */
	/* By field: 0 where it is missing, or is of the root and this is none; else the low half of
	 * the keyed hash of the value as operators for text see it, so that 200, 200.0 and "200"
	 * are one (but "200.0", like 1.10 in "1.10", is another), with 1 for 0. The elements of an
	 * array are hashed one after the other; lists of keys, bytes and nothing are all alike. */
	const uint32_t *keys;
};

/* 0 where the end is before the start: skewed clocks and spans without an end are normal. */
static inline uint64_t span_duration_ns(const struct span_facts *f)
{
	return f->end_ns > f->start_ns ? f->end_ns - f->start_ns : 0;
}

/* Room for evaluating one compiled set. NULL: no memory. */
struct condition_scratch;
struct condition_scratch *condition_scratch_create(const struct condition_set *set);
void condition_scratch_destroy(struct condition_scratch *s);
/* What the hashes of fields are keyed with: zeros until this is called. Give it the same from start
 * to start, or what is remembered by key is forgotten. */
void condition_scratch_set_key(struct condition_scratch *s, const struct siphash_key *key);
/* Matches of regular expressions that were given up, and so did not hold. */
uint64_t condition_scratch_gave_up(const struct condition_scratch *s);

typedef void (*condition_on_span)(void *user, const struct span_facts *facts);

/* Walks an ExportTraceServiceRequest that otlp_index() passed (its edits applied) and calls back
 * for each span. Allocates nothing. Gives whether a ScopeSpans has more than spans behind its first
 * span, such as a schema_url. */
bool condition_evaluate(const struct condition_set *set, struct condition_scratch *scratch,
			struct slice request, condition_on_span on_span, void *user);

/* What is known of a trace: sums over its spans, each counted once. */
struct trace_facts {
	uint64_t bits[CONDITION_BIT_WORDS]; /* of its spans, ORed */
	uint64_t duration_ns; /* the root's own if has_root, and then final; else the largest end
				 less the smallest start, or 0 */
	uint64_t bytes;
	uint32_t spans, errors;
	bool has_root;
};

bool condition_holds(const struct condition_set *set, uint32_t number,
		     const struct trace_facts *facts);

/* Of the first 64 predicates, those that are met and make a condition hold that does: of `or` those
 * of each side that holds. What holds because no span does something is met by none. */
uint64_t condition_reasons(const struct condition_set *set, uint32_t number,
			   const struct trace_facts *facts);

/* What more spans of the trace can do to a condition. Never says for good what could change; may
 * say OPEN of what could not. */
enum condition_outlook {
	CONDITION_OPEN,
	CONDITION_NEVER, /* it does not hold and never will */
	CONDITION_ALWAYS /* it holds, whatever comes */
};
enum condition_outlook condition_outlook(const struct condition_set *set, uint32_t number,
					 const struct trace_facts *facts);

/* Whether they are plainly the same condition, however it was written. */
bool condition_equal(const struct condition_set *set, uint32_t a, uint32_t b);

#endif
