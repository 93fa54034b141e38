/* SPDX-License-Identifier: Apache-2.0
 * Spans are called by the id that stands where the sampler says they lie. */
#include "relay/witness.h"

#include "ruling_fixture.h"
#include "wire/otlp_walk.h"

enum { SPANS = 8 };

/* Places of the spans of a request. */
static void find_spans(struct slice request, uint32_t at[SPANS])
{
	const uint8_t *begin = request.data;
	struct field resource, scope, span;
	uint32_t n = 0;
	CHECK(field_next(&request, &resource));
	while (field_next(&resource.value, &scope))
		while (field_is(&scope, RESOURCE_SPANS_SCOPE_SPANS) &&
		       field_next(&scope.value, &span))
			if (field_is(&span, SCOPE_SPANS_SPANS) && n < SPANS)
				at[n++] = (uint32_t)(span.whole.data - begin);
	CHECK_EQ(n, SPANS);
}

/* Two pending blocks of two requests each. */
enum { REQUESTS = 4 };
struct desk {
	struct store *store;
	struct store_reader *reader;
	struct pending pending;
	struct store_block blocks[REQUESTS / 2];
	uint32_t at[REQUESTS][SPANS]; /* in its block */
	uint8_t ids[REQUESTS][SPANS][8];
};

/* Gives the size of its record. The transaction borrows `out`. */
static uint32_t add_request(struct desk *d, struct store_txn *t, unsigned r, uint32_t offset,
			    struct buf *out)
{
	pb_numbered_request(out, 1 + 100 * r, SPANS, 30);
	store_append(t, buf_slice(out), SPANS, 0);
	find_spans(buf_slice(out), d->at[r]);
	for (uint32_t i = 0; i < SPANS; i++) {
		CHECK(otlp_walk_span_id(buf_slice(out), d->at[r][i], d->ids[r][i]));
		d->at[r][i] += offset;
	}
	return record_size((uint32_t)out->len);
}

static void begin(struct desk *d)
{
	*d = (struct desk){.store = NULL};
	new_dir();
	test_judged = true;
	d->store = open_store(ONE, 1);
	CHECK_EQ(store_reader_open(&d->reader, d->store), 0);
	for (unsigned b = 0; b < REQUESTS / 2; b++) {
		struct store_txn t;
		struct told told;
		struct buf requests[2] = {{0}, {0}};
		store_begin(&t, d->store, 2);
		uint32_t size = add_request(d, &t, 2 * b, 0, &requests[0]);
		add_request(d, &t, 2 * b + 1, size, &requests[1]);
		CHECK_EQ(commit_telling(&t, &told), 0);
		buf_finish(&requests[0]);
		buf_finish(&requests[1]);
		CHECK_EQ(told.n_pending, 1);
		d->blocks[b] = told.pending[0];
		for (uint32_t i = 0; i < 2; i++)
			CHECK_EQ(pending_add(&d->pending,
					     (struct pending_request){.block_id = d->blocks[b].id,
								      .offset = i * size}),
				 0);
	}
	CHECK_EQ(store_reader_begin(d->reader), 0);
}

static void end(struct desk *d)
{
	store_reader_end(d->reader);
	store_reader_close(d->reader);
	store_close(d->store);
	pending_finish(&d->pending);
	drop_dir();
}

static struct pick span(const struct desk *d, unsigned r, unsigned i, uint32_t decision)
{
	return (struct pick){
	    .block_id = d->blocks[r / 2].id, .at = d->at[r][i], .decision = decision};
}

static void test_witnesses_are_named_in_the_order_they_came(void)
{
	struct desk d;
	begin(&d);
	const struct pick list[] = {span(&d, 0, 0, 1), span(&d, 0, 3, 0), span(&d, 1, 7, 2),
				    span(&d, 2, 2, 1), span(&d, 3, 3, 0)};
	struct met_by met[3] = {{.spans = 2}, {.spans = 2}, {.spans = 1}};
	static const uint8_t none[8];
	witness_name(met, list, 5, d.reader, &d.pending);
	CHECK(memcmp(met[0].span_ids[0], d.ids[0][3], 8) == 0);
	CHECK(memcmp(met[0].span_ids[1], d.ids[3][3], 8) == 0);
	CHECK(memcmp(met[1].span_ids[0], d.ids[0][0], 8) == 0);
	CHECK(memcmp(met[1].span_ids[1], d.ids[2][2], 8) == 0);
	CHECK(memcmp(met[2].span_ids[0], d.ids[1][7], 8) == 0);
	CHECK(memcmp(met[2].span_ids[1], none, 8) == 0);
	end(&d);
}

/* A block that is gone, a place where no span is, one that no request has. */
static void test_what_cannot_be_read_has_no_name(void)
{
	struct desk d;
	begin(&d);
	struct pick list[] = {span(&d, 0, 1, 0), span(&d, 0, 2, 0), span(&d, 2, 0, 1),
			      span(&d, 3, 5, 1), span(&d, 3, 6, 2)};
	struct met_by met[3] = {{.spans = 2}, {.spans = 2}, {.spans = 1}};
	static const uint8_t none[8];
	list[0].at++;
	list[2].at += 1 << 20;
	list[4].block_id += 5;
	witness_name(met, list, 5, d.reader, &d.pending);
	CHECK(memcmp(met[0].span_ids[0], d.ids[0][2], 8) == 0);
	CHECK(memcmp(met[0].span_ids[1], none, 8) == 0);
	CHECK(memcmp(met[1].span_ids[0], d.ids[3][5], 8) == 0);
	CHECK(memcmp(met[2].span_ids[0], none, 8) == 0);
	pending_drop(&d.pending, UINT64_MAX);
	met[1] = (struct met_by){.spans = 2};
	witness_name(met, list + 3, 1, d.reader, &d.pending);
	CHECK(memcmp(met[1].span_ids[0], none, 8) == 0);
	end(&d);
}

/* A run of spans, as they stand in a request. */
static bool id_at(struct buf *b, uint32_t at, uint64_t *id)
{
	*id = 0;
	return otlp_walk_span_id(buf_slice(b), at, (uint8_t *)id);
}

static void test_id_of_a_span_is_found_whatever_the_span(void)
{
	static const uint64_t one = 1, two = 2;
	struct buf all = {0}, none = {0}, many = {0};
	uint64_t id;
	pb_str(&none, 5, "without an id");
	pb_bytes(&none, 2, "short", 5);
	pb_message(&all, 2, &none);
	uint32_t second = (uint32_t)all.len;
	pb_bytes(&many, 2, &one, 8);
	pb_bytes(&many, 2, &two, 8);
	pb_attribute(&many, 9, "key", "value");
	pb_bytes(&many, 2, &one, 8);
	pb_message(&all, 2, &many);
	uint32_t third = (uint32_t)all.len;
	pb_str(&all, 3, "no span");
	CHECK(!id_at(&all, 0, &id));
	CHECK(id_at(&all, second, &id) && id == two);
	CHECK(!id_at(&all, third, &id) && !id_at(&all, (uint32_t)all.len, &id));
	for (all.len = third - 1; all.len > second; all.len--)
		CHECK(!id_at(&all, second, &id));
	buf_finish(&all);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_witnesses_are_named_in_the_order_they_came),
		   TEST(test_what_cannot_be_read_has_no_name),
		   TEST(test_id_of_a_span_is_found_whatever_the_span));
}
