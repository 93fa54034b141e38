/* SPDX-License-Identifier: Apache-2.0
 * redaction/harvest.h - every text of a request in one text, and where each of them stands.
 *
 *   text    GET /users\nalice@example.com\n4111111111111111\n ...
 *   values  where each lies in the text, and the key it is a value of, as scan() wants them
 *   spots  where each stands in the request
 *   owners  the messages with attributes: resources, scopes, spans, events, links
 *   cuts    what no text can be taken from and goes: fields nobody knows, attributes not listed
 *   forced  values that are masked without a look
 *
 * Behind the values of the request come decoded copies (redaction/decode.h), which have no place
 * but a source. Belongs to one redactor; used again, it keeps its memory. */
#ifndef REDACTION_HARVEST_H
#define REDACTION_HARVEST_H

#include "base/buf.h"
#include "redaction/redact.h"
#include "redaction/scan.h"

/* Texts shorter than this are left out unless a rule asks for their key: no secret is so short, and
 * half of all values that are (GET, 200, no) would only cost. */
enum { HARVEST_LEAST = 4 };
/* Numbers with fewer digits are none of a person or a card: US social security numbers have 9. */
#define HARVEST_LEAST_NUMBER 100000000

enum harvested_kind {
	HARVESTED_TEXT,
	HARVESTED_BYTES,
	HARVESTED_NUMBER, /* int, double or bool: its place is the field, tag and all */
	HARVESTED_KEY     /* keeps its length, whatever the style: others refer to it */
};

struct spot {
	uint32_t within; /* where the payload around it begins */
	uint32_t at, len;
	uint32_t attribute; /* where the field of its attribute begins; 0: none */
	uint32_t owner;
	uint8_t position, kind; /* enum position, enum harvested_kind */
};

enum { NO_SPAN = UINT32_MAX };
struct owner {
	uint32_t start, end; /* its payload */
	uint32_t span;       /* the owner that is its span, or NO_SPAN */
	uint8_t count_field; /* dropped_attributes_count */
	bool has_refs;       /* a resource with entity refs */
};

struct cut {
	uint32_t within, at, len;
	uint32_t owner;
	uint8_t position;  /* of an attribute */
	bool is_attribute; /* counts as dropped */
};

/* A value that was decoded from another one. */
struct copy {
	uint32_t of;   /* the value */
	uint32_t base; /* base64: offset in it of the group that the first byte is from */
	uint32_t end;  /* base64: offset in it of what is behind the run */
	uint32_t mark; /* escapes: its first in harvest.marks, and how many */
	uint32_t n_marks;
	uint8_t skip;  /* base64: bytes of the first group before the copy */
	uint8_t depth; /* 1 is decoded from a value of the request */
	bool is_base64;
};

/* The unit that gives a copy's byte `at` begins at byte `from` of what it was decoded from. */
struct decode_mark {
	uint32_t at, from;
};

struct harvest_frame;

struct harvest {
	struct buf text;
	struct scan_value *values;
	struct spot *spots;        /* of the first n_spots values */
	struct copy *copies;       /* of the others */
	struct decode_mark *marks; /* of copies: redaction/decode.h */
	struct owner *owners;      /* the first stands for none */
	struct cut *cuts;          /* in no order */
	struct hit *forced;        /* in the order of values */
	uint32_t n, n_spots;       /* values; those that are no copies */
	uint32_t n_copies, n_marks, n_owners, n_cuts, n_forced;
	uint32_t cap, cap_spots, cap_copies, cap_marks, cap_owners, cap_cuts, cap_forced;
	uint64_t unknown_fields;
	bool failed; /* no memory: nothing in here is to be used */

	const struct ruleset *set; /* the walk's */
	struct scanner *scanner;
	bool numbers; /* some rule may find something in a number without regard to its key */
	const uint8_t *base, *end;      /* of the request */
	uint8_t *bytes;                 /* the same, to move unknown fields together */
	uint32_t cut_spots, cut_owners; /* how many there were at the last cut */
	struct harvest_frame *frames;
};

int harvest_init(struct harvest *h); /* 0 or negative */
void harvest_finish(struct harvest *h);
void harvest_trim(struct harvest *h); /* gives its memory back; it stays ready */

/* Whether rules of the set look at numbers under any key: once for each set. */
bool harvest_wants_numbers(const struct ruleset *set);

/* Gathers a request that otlp_index() passed, edits applied. The scanner has begun. What is
 * nobody's may be moved in the request behind fields that stay as they are, so that it goes in one
 * piece. 0, or negative: no memory. */
int harvest_request(struct harvest *h, struct buf *request, const struct ruleset *set,
		    struct scanner *s);

/* Gathers one text, under a key or an empty one. */
int harvest_text(struct harvest *h, struct slice key, struct slice text, const struct ruleset *set,
		 struct scanner *s);

/* For redaction/search.c: texts that were masked, one by one. */
void harvest_begin(struct harvest *h, const struct ruleset *set, struct scanner *s);
void harvest_add(struct harvest *h, struct slice text, const struct key_verdict *key,
		 const struct spot *spot);

/* For redaction/decode.c. Room for a value more, for `len` bytes more; false: no memory. */
bool harvest_room(struct harvest *h, size_t len);
bool harvest_copy(struct harvest *h, uint32_t len, const struct copy *c); /* at the text's end */
bool harvest_mark(struct harvest *h, struct decode_mark m);
int harvest_outcome(const struct harvest *h); /* 0, or negative: no memory */
void harvest_force(struct harvest *h, uint32_t value, uint32_t len, enum ruleset_extra why);

#endif
