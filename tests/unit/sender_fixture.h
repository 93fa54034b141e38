/* SPDX-License-Identifier: Apache-2.0
 * tests/unit/sender_fixture.h - a sender between a journal and boxes in memory, behind the doors of
 * relay/path.h, and a backend that answers as each test says. Each word of progress is checked
 * against the journal and the boxes, to the span, and booked by the real ledger. Time can be made
 * to pass at once. */
#ifndef TESTS_SENDER_FIXTURE_H
#define TESTS_SENDER_FIXTURE_H

#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "exporters/exporter.h"
#include "exporters/sender.h"
#include "otlp_sample.h"
#include "relay/path.h"
#include "storage/ledger.h"
#include "wire/otlp_walk.h"

enum {
	MAX_BLOCKS = 4096,
	MAX_CALLS = 64,
	MAX_SPANS = 40000,
	RECORDS = 4,
	MAX_PARCELS = 8192,
	MAX_SPILLS = 16
};

/* ---- time ---- */

static uint64_t skew_ns; /* both clocks are ahead by this, libev's too */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	long rc = syscall(SYS_clock_gettime, id, ts);
	uint64_t ns = (uint64_t)ts->tv_nsec + skew_ns % 1000000000u;
	ts->tv_sec += (time_t)(skew_ns / 1000000000u + ns / 1000000000u);
	ts->tv_nsec = (long)(ns % 1000000000u);
	return (int)rc;
}

/* ---- the journal and the boxes ---- */

struct fake_parcel {
	struct parcel parcel; /* its body is owned here */
	bool damaged, gone;
};

struct fake_box {
	struct fake_parcel *parcels;
	size_t n_parcels;
	uint64_t next_id, sealed_end, done;
	bool seal_wanted, shut;
	unsigned seals_asked;
};

struct export
{
	struct {
		struct buf bytes;
		uint32_t offset[RECORDS + 1], spans[RECORDS], n_records, n_spans;
		uint64_t unix_ms;
		bool gone;
	} block[MAX_BLOCKS + 1]; /* by id, from 1 */
	uint64_t n_blocks, n_spans;
	int reading;
	bool shut; /* cannot be read */
	struct cursor done;
	struct progress sum;
	struct ledger_exporter ledger;
	unsigned told;
	struct fake_box box[PLACES];      /* [PLACE_JOURNAL] is not used */
	struct spill *spills[MAX_SPILLS]; /* under way, oldest first */
	size_t n_spills, most_spills, most_spill_bytes;
};

static struct export journal;
static uint64_t put_back; /* spans that went to the end of the box they were in */

int path_read_begin(struct export *room)
{
	CHECK_EQ(room->reading++, 0);
	if (room->shut)
		room->reading--;
	return room->shut;
}

int path_read_block(struct export *room, uint64_t id, struct slice *out)
{
	CHECK_EQ(room->reading, 1);
	if (id == 0 || id > room->n_blocks || room->block[id].gone)
		return 1;
	*out = buf_slice(&room->block[id].bytes);
	return 0;
}

void path_read_end(struct export *room)
{
	CHECK_EQ(room->reading--, 1);
}

static inline uint64_t spans_before(const struct export *j, struct cursor c)
{
	uint64_t n = 0;
	for (uint64_t id = 1; id <= j->n_blocks && id < c.block_id; id++)
		n += j->block[id].n_spans;
	if (c.block_id == 0 || c.block_id > j->n_blocks)
		return n;
	uint32_t i = 0;
	for (; j->block[c.block_id].offset[i] < c.offset; i++)
		n += j->block[c.block_id].spans[i];
	CHECK_EQ(j->block[c.block_id].offset[i], c.offset);
	return n + c.span;
}

static inline uint64_t total(const struct progress *p)
{
	uint64_t n = p->sent + p->backend_rejected;
	for (int i = 0; i < DROP_REASONS; i++)
		n += p->dropped[i];
	for (int i = 0; i < PLACES; i++)
		n += p->moved[i];
	return n;
}

static inline uint64_t box_cursor(const struct export *j, int box)
{
	uint64_t id = j->ledger.cursor[box].block_id;
	return id != 0 ? id : 1;
}

/* What a start after a crash would find in a box: the parcels that are still where they came from
 * are the last ones, and the rest is what the ledger says. */
static inline void check_box(const struct export *j, int box)
{
	const struct fake_box *b = &j->box[box];
	uint64_t at = box_cursor(j, box), held = b->next_id - at, passed_end = b->next_id;
	for (size_t i = b->n_parcels; i-- > 0;) {
		const struct parcel *p = &b->parcels[i].parcel;
		bool passed = cursor_compare(j->ledger.cursor[p->from], p->to) >= 0;
		if (passed && p->id + p->n_spans <= at)
			break;
		if (passed)
			continue;
		CHECK_EQ(p->id + p->n_spans, passed_end); /* nothing that passed is behind it */
		CHECK(p->id >= at);
		passed_end = p->id;
		held -= p->n_spans;
	}
	CHECK_EQ(j->ledger.held[box], held);
}

static inline void check_account(const struct export *j)
{
	uint64_t held = 0;
	for (int i = 0; i < PLACES; i++)
		held += j->ledger.held[i];
	CHECK_EQ(j->ledger.entered, ledger_settled(&j->ledger) + held);
	CHECK_EQ(j->ledger.held[PLACE_JOURNAL],
		 j->n_spans - spans_before(j, j->ledger.cursor[PLACE_JOURNAL]));
	check_box(j, PLACE_OUTBOX);
	check_box(j, PLACE_QUARANTINE);
}

void path_progress(struct export *room, unsigned exporter, const struct progress *p)
{
	CHECK_EQ(exporter, 3);
	if (p->from == PLACE_JOURNAL) {
		CHECK(cursor_compare(room->done, p->done) < 0);
		CHECK_EQ(total(p), spans_before(room, p->done) - spans_before(room, room->done));
		room->done = p->done;
	} else {
		CHECK(p->done.block_id > box_cursor(room, p->from));
		CHECK_EQ(total(p), p->done.block_id - box_cursor(room, p->from));
	}
	room->told++;
	room->sum.sent += p->sent;
	room->sum.backend_rejected += p->backend_rejected;
	for (int i = 0; i < DROP_REASONS; i++)
		room->sum.dropped[i] += p->dropped[i];
	for (int i = 0; i < PLACES; i++)
		room->sum.moved[i] += p->moved[i];
	put_back += p->from != PLACE_JOURNAL ? p->moved[p->from] : 0;
	ledger_apply(&room->ledger, p);
	check_account(room);
}

void path_spill(struct export *room, struct spill *s)
{
	CHECK_EQ(s->exporter, 3);
	CHECK(s->box == PLACE_OUTBOX || s->box == PLACE_QUARANTINE);
	CHECK(room->n_spills < MAX_SPILLS && s->parcel.body.len != 0 && s->parcel.n_spans != 0);
	room->spills[room->n_spills++] = s;
	size_t bytes = 0;
	for (size_t i = 0; i < room->n_spills; i++)
		bytes += room->spills[i]->parcel.body.len;
	if (room->n_spills > room->most_spills)
		room->most_spills = room->n_spills;
	if (bytes > room->most_spill_bytes)
		room->most_spill_bytes = bytes;
}

void path_seal(struct export *room, unsigned exporter, int box)
{
	CHECK_EQ(exporter, 3);
	room->box[box].seal_wanted = true;
	room->box[box].seals_asked++;
}

static unsigned refusals_told; /* of credentials */

static unsigned told_states, told_credentials; /* of the audit log */

void path_exporter_state(struct export *room, const char *exporter, const char *is, const char *was,
			 const char *reason)
{
	(void)room, (void)exporter, (void)is, (void)was, (void)reason;
	told_states++;
}

void path_credential_state(struct export *room, const char *exporter, const char *is,
			   const char *was, const struct key *current, const struct key *previous)
{
	(void)room, (void)exporter, (void)is, (void)was, (void)current, (void)previous;
	told_credentials++;
}

void path_refused(struct export *room, unsigned exporter)
{
	(void)room;
	CHECK_EQ(exporter, 3);
	refusals_told++;
}

int path_parcel(struct export *room, unsigned exporter, int box, uint64_t id, struct parcel *p)
{
	CHECK_EQ(exporter, 3);
	struct fake_box *b = &room->box[box];
	CHECK(id >= b->done);
	if (b->shut)
		return -5;
	size_t low = 0, high = b->n_parcels;
	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct parcel *q = &b->parcels[mid].parcel;
		if (q->id + q->n_spans > id)
			high = mid;
		else
			low = mid + 1;
	}
	for (; low < b->n_parcels && b->parcels[low].parcel.id < b->sealed_end; low++) {
		if (b->parcels[low].damaged)
			continue;
		*p = b->parcels[low].parcel;
		return 0;
	}
	return BOX_NONE;
}

static inline void free_parcel(struct fake_parcel *p)
{
	if (!p->gone)
		free((void *)(uintptr_t)p->parcel.body.data);
	p->gone = true;
	p->parcel.body = slice_of(NULL, 0);
}

void path_parcel_done(struct export *room, unsigned exporter, int box, uint64_t id)
{
	CHECK_EQ(exporter, 3);
	struct fake_box *b = &room->box[box];
	CHECK(id > b->done);
	b->done = id;
	for (size_t i = 0; i < b->n_parcels; i++)
		if (b->parcels[i].parcel.id + b->parcels[i].parcel.n_spans <= id)
			free_parcel(&b->parcels[i]);
}

static inline void new_journal(void)
{
	for (uint64_t id = 1; id <= journal.n_blocks; id++)
		buf_finish(&journal.block[id].bytes);
	for (int i = PLACE_OUTBOX; i < PLACES; i++) {
		for (size_t n = 0; n < journal.box[i].n_parcels; n++)
			free_parcel(&journal.box[i].parcels[n]);
		free(journal.box[i].parcels);
	}
	memset(&journal, 0, sizeof(journal));
	put_back = 0;
	for (int i = PLACE_OUTBOX; i < PLACES; i++) {
		journal.box[i].parcels = calloc(MAX_PARCELS, sizeof(struct fake_parcel));
		journal.box[i].next_id = journal.box[i].sealed_end = 1;
	}
}

static uint64_t block_unix_ms; /* of the next blocks; 0: now */

/* A block of `records` requests of `each` spans, numbered on from those before; gives its id. */
static inline uint64_t add_block(uint32_t records, uint32_t each, size_t name_bytes)
{
	CHECK(journal.n_blocks < MAX_BLOCKS && journal.n_spans + records * each <= MAX_SPANS);
	uint64_t id = ++journal.n_blocks;
	struct buf *b = &journal.block[id].bytes;
	CHECK_EQ(buf_reserve(b, BLOCK_HEADER), 0);
	b->len = BLOCK_HEADER;
	for (uint32_t i = 0; i < records; i++) {
		struct buf request = {0};
		pb_numbered_request(&request, journal.n_spans, each, name_bytes);
		CHECK_EQ(buf_reserve(b, record_size((uint32_t)request.len)), 0);
		journal.block[id].offset[i] = (uint32_t)b->len - BLOCK_HEADER;
		journal.block[id].spans[i] = each;
		b->len += record_write(b->data + b->len, i, buf_slice(&request));
		buf_finish(&request);
		journal.n_spans += each;
		journal.block[id].n_spans += each;
	}
	journal.block[id].offset[records] = UINT32_MAX;
	journal.block[id].n_records = records;
	journal.block[id].unix_ms = block_unix_ms != 0 ? block_unix_ms : clock_wall_ms();
	struct block h = {.id = id,
			  .n_records = records,
			  .n_spans = records * each,
			  .unix_ms = journal.block[id].unix_ms};
	h.records = slice_of(b->data + BLOCK_HEADER, b->len - BLOCK_HEADER);
	block_seal(b->data, &h);
	journal.ledger.entered += records * each;
	journal.ledger.held[PLACE_JOURNAL] += records * each;
	return id;
}

/* ---- the backend ---- */

static struct export_call *calls[MAX_CALLS]; /* under way, oldest first */
static size_t n_calls, n_sends, concurrency_seen;
static unsigned arrived[MAX_SPANS]; /* how often each span was accepted */
static unsigned connects;
static enum coding wire_coding;
static struct codec *fake_codec;

static void *fake_create(const struct conf_exporter *conf, struct tls *tls, struct ev_loop *loop,
			 _Atomic uint64_t *counter)
{
	(void)conf, (void)tls, (void)loop, (void)counter;
	connects = 0;
	n_calls = n_sends = concurrency_seen = 0;
	memset(arrived, 0, sizeof(arrived));
	return &connects;
}

static void fake_renew(void *exporter, struct tls *tls)
{
	(void)exporter;
	tls_unref(tls);
}

/* The body before compression; the caller frees. */
static inline struct buf plain_body(enum coding coding, struct slice body)
{
	struct buf plain = {0};
	if (fake_codec == NULL)
		fake_codec = codec_create();
	if (coding == CODING_IDENTITY)
		CHECK_EQ(buf_append(&plain, body.data, body.len), 0);
	else
		CHECK_EQ(codec_decompress(fake_codec, coding, body, 64 << 20, &plain), 0);
	return plain;
}

/* The numbers of the spans in a body, in order. */
static inline uint32_t spans_in(enum coding coding, struct slice body, uint64_t *ids)
{
	uint32_t n = 0;
	struct field rs, ss, span, id;
	struct buf plain = plain_body(coding, body);
	struct slice rest = buf_slice(&plain);
	while (field_next(&rest, &rs))
		while (field_is(&rs, 1) && field_next(&rs.value, &ss))
			while (field_is(&ss, 2) && field_next(&ss.value, &span))
				while (field_is(&span, 2) && field_next(&span.value, &id))
					if (field_is(&id, 2) && id.value.len == 8)
						memcpy(&ids[n++], id.value.data, 8);
	buf_finish(&plain);
	return n;
}

static inline uint32_t spans_of(struct slice body, uint64_t *ids)
{
	return spans_in(wire_coding, body, ids);
}

static uint64_t span_ids[MAX_SPANS];

static void fake_send(void *exporter, struct export_call *call)
{
	CHECK(exporter == &connects);
	CHECK(n_calls < MAX_CALLS && call->spans > 0 && call->body.len > 0);
	CHECK_EQ(spans_of(call->body, span_ids), call->spans);
	calls[n_calls++] = call;
	n_sends++;
	if (n_calls > concurrency_seen)
		concurrency_seen = n_calls;
}

static inline void end_call(size_t i, struct outcome o)
{
	struct export_call *call = calls[i];
	memmove(&calls[i], &calls[i + 1], (n_calls - i - 1) * sizeof(calls[0]));
	n_calls--;
	call->on_done(call, o);
}

static void fake_destroy(void *exporter)
{
	CHECK(exporter == &connects);
	while (n_calls != 0)
		end_call(0, (struct outcome){.verdict = RETRY, .reason = "shutting down"});
}

static unsigned takes; /* how often it was told of another configuration */

static inline int fake_take(void *exporter, const struct conf_exporter *c)
{
	CHECK(exporter == &connects && c != NULL);
	takes++;
	return 0;
}

static const struct exporter_ops FAKE = {.name = "fake",
					 .create = fake_create,
					 .take = fake_take,
					 .renew = fake_renew,
					 .send = fake_send,
					 .destroy = fake_destroy};

const struct exporter_ops *exporter_find(enum conf_protocol protocol)
{
	(void)protocol;
	return &FAKE;
}

enum coding exporter_coding(const struct conf_exporter *conf)
{
	(void)conf;
	return wire_coding;
}

static inline void take(const struct export_call *call)
{
	uint32_t n = spans_of(call->body, span_ids);
	CHECK_EQ(n, call->spans);
	for (uint32_t i = 0; i < n; i++)
		arrived[span_ids[i]]++;
}

static inline struct outcome outcome_of(enum verdict verdict)
{
	return (struct outcome){.verdict = verdict, .status = 99, .reason = "as the test says"};
}

static inline void answer(size_t i, enum verdict verdict)
{
	if (verdict == SENT)
		take(calls[i]);
	end_call(i, outcome_of(verdict));
}

static inline bool has_bad(const struct export_call *call, uint64_t bad_from, uint64_t bad_to)
{
	uint32_t n = spans_of(call->body, span_ids);
	for (uint32_t i = 0; i < n; i++)
		if (span_ids[i] >= bad_from && span_ids[i] < bad_to)
			return true;
	return false;
}

/* ---- the sender ---- */

static struct ev_loop *loop;
static struct sender *sender;
static struct conf_exporter conf;
static char conf_name[] = "test";
static uint64_t spill_bytes, segment_bytes;

static inline void default_conf(void)
{
	conf = (struct conf_exporter){.name = conf_name,
				      .timeout_ms = 1000,
				      .linger_ms = 0,
				      .batch_bytes = 1 << 20,
				      .request_bytes = 4 << 20,
				      .concurrency = 2,
				      .retry_initial_ms = 2,
				      .retry_max_ms = 4};
	spill_bytes = UINT64_MAX;
	segment_bytes = 0;
	wire_coding = CODING_IDENTITY;
	block_unix_ms = 0;
}

static inline void start_from(struct cursor from)
{
	loop = ev_loop_new(0);
	journal.done = from;
	uint64_t before = spans_before(&journal, from);
	journal.ledger.cursor[PLACE_JOURNAL] = from;
	journal.ledger.entered -= before;
	journal.ledger.held[PLACE_JOURNAL] -= before;
	struct sender_begin begin = {
	    .from = {from}, .spill_bytes = spill_bytes, .segment_bytes = segment_bytes};
	for (int i = PLACE_OUTBOX; i < PLACES; i++) {
		begin.from[i] = journal.ledger.cursor[i];
		begin.box_end[i] = journal.box[i].next_id;
	}
	sender = sender_create(&conf, 3, &begin, loop, &journal);
	CHECK(sender != NULL);
}

static inline void start_with(uint64_t request_bytes)
{
	default_conf();
	conf.request_bytes = request_bytes;
	new_journal();
	start_from((struct cursor){0, 0, 0});
}

static inline void start(void)
{
	start_with(4 << 20);
}

static inline void file(uint64_t id)
{
	sender_filed(sender, id, journal.block[id].n_spans, (uint32_t)journal.block[id].bytes.len,
		     journal.block[id].unix_ms);
}

static inline void file_spans(uint32_t records, uint32_t each)
{
	file(add_block(records, each, 0));
}

static inline enum sender_state state(void)
{
	return (enum sender_state)atomic_load(&sender_stats(sender)->state);
}

/* Lets time pass until the sender has sent something; false when it has nothing to wait for. */
static inline bool wait_for_call(void)
{
	while (n_calls == 0)
		if (!ev_run(loop, EVRUN_ONCE) && n_calls == 0)
			return false;
	return true;
}

/* Time passes, in steps no timer can fall between. */
static inline void pass_ms(uint64_t ms)
{
	for (uint64_t step; ms != 0; ms -= step) {
		step = ms < 100 ? ms : 100;
		skew_ns += step * 1000000;
		ev_run(loop, EVRUN_NOWAIT);
	}
}

static inline void stop(void)
{
	sender_destroy(sender);
	CHECK_EQ(n_calls, 0);
	ev_loop_destroy(loop);
}

/* ---- the boxes answer ---- */

/* Answers the oldest spill. */
static inline void answer_spill(int rc)
{
	CHECK(journal.n_spills != 0);
	struct spill *s = journal.spills[0];
	memmove(&journal.spills[0], &journal.spills[1],
		--journal.n_spills * sizeof(journal.spills[0]));
	s->rc = rc;
	if (rc == 0) {
		struct fake_box *b = &journal.box[s->box];
		CHECK(b->n_parcels < MAX_PARCELS);
		struct fake_parcel *p = &b->parcels[b->n_parcels++];
		s->parcel.id = b->next_id;
		p->parcel = s->parcel;
		uint8_t *body = malloc(s->parcel.body.len);
		memcpy(body, s->parcel.body.data, s->parcel.body.len);
		p->parcel.body.data = body;
		b->next_id += s->parcel.n_spans;
		CHECK_EQ(spans_in(p->parcel.coding, p->parcel.body, span_ids), p->parcel.n_spans);
		check_account(&journal);
	}
	sender_on_spilled(sender, s);
}

/* Seals what is there, asked for or not. */
static inline void seal(int box)
{
	struct fake_box *b = &journal.box[box];
	b->seal_wanted = false;
	if (b->sealed_end == b->next_id)
		return;
	struct box_segment g = {b->sealed_end, b->next_id, 4096};
	b->sealed_end = b->next_id;
	sender_on_sealed(sender, (enum span_place)box, g);
}

/* Everything that waits for a box gets what it waits for. */
static inline void boxes_work(void)
{
	for (bool more = true; more;) {
		more = journal.n_spills != 0;
		while (journal.n_spills != 0)
			answer_spill(0);
		for (int i = PLACE_OUTBOX; i < PLACES; i++)
			if (journal.box[i].seal_wanted) {
				seal(i);
				more = true;
			}
	}
}

/* ---- what came of it ---- */

static inline void check_all_arrived_once(void)
{
	for (uint64_t i = 0; i < journal.n_spans; i++)
		CHECK_EQ(arrived[i], 1);
	CHECK_EQ(spans_before(&journal, journal.done), journal.n_spans);
	CHECK_EQ(journal.sum.sent, journal.n_spans);
}

/* Counts for each span the parcels of a box, after its cursor, that hold it. */
static inline void count_held(int box, unsigned *held)
{
	const struct fake_box *b = &journal.box[box];
	for (size_t i = 0; i < b->n_parcels; i++) {
		const struct parcel *p = &b->parcels[i].parcel;
		if (b->parcels[i].gone)
			continue;
		uint32_t n = spans_in(p->coding, p->body, span_ids);
		for (uint32_t k = 0; k < n; k++)
			held[span_ids[k]] += p->id + k >= box_cursor(&journal, box);
	}
}

static inline uint64_t stat_of(const _Atomic uint64_t *stat)
{
	return atomic_load(stat);
}

#define STAT(name) stat_of(&sender_stats(sender)->name)

/* Ends everything well: the boxes work, the backend takes all, time passes. */
static inline void finish_well(void)
{
	for (int i = 0; i < 100000; i++) {
		boxes_work();
		if (n_calls != 0)
			answer(0, SENT);
		else if (journal.ledger.held[PLACE_JOURNAL] + journal.ledger.held[PLACE_OUTBOX] ==
			 0)
			return;
		else
			pass_ms(100);
	}
	CHECK(false);
}

/* n parcels of three spans each are in the outbox, the journal is empty, the state is OK. */
static inline void fill_outbox(unsigned n)
{
	default_conf();
	new_journal();
	uint64_t id = 0;
	for (unsigned i = 0; i < n; i++) {
		id = add_block(1, 3, 100);
		struct buf body = {0};
		pb_numbered_request(&body, journal.n_spans - 3, 3, 100);
		struct fake_box *b = &journal.box[PLACE_OUTBOX];
		b->parcels[b->n_parcels++].parcel =
		    (struct parcel){.id = b->next_id,
				    .oldest_ms = journal.block[id].unix_ms,
				    .newest_ms = journal.block[id].unix_ms,
				    .n_spans = 3,
				    .plain_len = (uint32_t)body.len,
				    .coding = wire_coding,
				    .to = {id + 1, 0, 0},
				    .status = -1,
				    .body = buf_slice(&body)};
		b->next_id += 3;
	}
	journal.ledger.held[PLACE_OUTBOX] = journal.n_spans;
	journal.ledger.held[PLACE_JOURNAL] = 0;
	journal.ledger.cursor[PLACE_JOURNAL] = (struct cursor){id + 1, 0, 0};
}

static inline void start_full(void)
{
	loop = ev_loop_new(0);
	struct sender_begin begin = {.spill_bytes = spill_bytes, .segment_bytes = segment_bytes};
	for (int i = 0; i < PLACES; i++) {
		begin.from[i] = journal.ledger.cursor[i];
		begin.box_end[i] = journal.box[i].next_id;
	}
	journal.done = begin.from[PLACE_JOURNAL];
	sender = sender_create(&conf, 3, &begin, loop, &journal);
	CHECK(sender != NULL);
}

#endif
