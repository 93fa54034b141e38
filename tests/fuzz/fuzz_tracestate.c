/* SPDX-License-Identifier: Apache-2.0
 * tracestate in: what is accepted, written again with another threshold and read again, says what
 * was written; members and sub-keys of others are all there, in their order; what is refused is
 * written as it came. The first 8 bytes are the threshold. */
#include <stdlib.h>

#include "wire/tracestate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

/* The next member that is neither empty nor `ot`, without the blanks around it. */
static int next_other(struct slice *rest, struct slice *member)
{
	while (rest->len != 0) {
		const uint8_t *comma = memchr(rest->data, ',', rest->len);
		size_t len = comma != NULL ? (size_t)(comma - rest->data) : rest->len;
		*member = slice_of(rest->data, len);
		len += comma != NULL;
		*rest = slice_of(rest->data + len, rest->len - len);
		while (member->len != 0 && strchr(" \t", member->data[0]) != NULL)
			*member = slice_of(member->data + 1, member->len - 1);
		while (member->len != 0 && strchr(" \t", member->data[member->len - 1]) != NULL)
			member->len--;
		if (member->len != 0 && (member->len < 3 || memcmp(member->data, "ot=", 3) != 0))
			return 1;
	}
	return 0;
}

static void others_stayed(struct slice before, struct slice after)
{
	struct slice a, b;
	int n = 0;
	while (next_other(&after, &b)) {
		want(next_other(&before, &a) && slice_equal(a, b));
		n++;
	}
	want(!next_other(&before, &a) || n >= TRACESTATE_MAX_MEMBERS - 1);
}

/* Sub-keys that are not ours, in order, each with a `;` behind it. */
static void unknown_sub_keys(struct slice ot, struct buf *out)
{
	while (ot.len != 0) {
		const uint8_t *end = memchr(ot.data, ';', ot.len);
		size_t len = end != NULL ? (size_t)(end - ot.data) : ot.len;
		if (len < 3 || (memcmp(ot.data, "th:", 3) != 0 && memcmp(ot.data, "rv:", 3) != 0)) {
			want(buf_append(out, ot.data, len) == 0);
			want(buf_append(out, ";", 1) == 0);
		}
		len += end != NULL;
		ot = slice_of(ot.data + len, ot.len - len);
	}
}

static void rewrite(const struct tracestate *from, uint64_t th)
{
	struct tracestate t = *from, again;
	struct buf out = {0}, subs = {0}, subs_again = {0};
	t.has_th = !from->has_th || from->th != th;
	t.th = th;
	int rc = tracestate_write(&t, &out);
	want(rc == 0 || (rc == TRACESTATE_BAD && out.len == 0 &&
			 (th >= THRESHOLD_NEVER || from->ot.len > 200)));
	if (rc == 0) {
		want(tracestate_read(&again, buf_slice(&out)) == 0);
		want(again.has_th == t.has_th && (!t.has_th || again.th == th));
		want(again.has_rv == t.has_rv && again.rv == t.rv);
		others_stayed(t.text, buf_slice(&out));
		unknown_sub_keys(t.ot, &subs);
		unknown_sub_keys(again.ot, &subs_again);
		want(slice_equal(buf_slice(&subs), buf_slice(&subs_again)));
	}
	buf_finish(&out);
	buf_finish(&subs);
	buf_finish(&subs_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t th;
	struct tracestate t;
	struct buf out = {0};
	if (size < sizeof(th))
		return 0;
	memcpy(&th, data, sizeof(th));
	th = th % 17 == 0 ? THRESHOLD_NEVER : th % THRESHOLD_NEVER;
	uint8_t *text = malloc(size - sizeof(th) + (size == sizeof(th)));
	memcpy(text, data + sizeof(th), size - sizeof(th));
	int rc = tracestate_read(&t, slice_of(text, size - sizeof(th)));
	want(rc == 0 || (rc == TRACESTATE_BAD && !t.has_th && !t.has_rv));
	want(tracestate_write(&t, &out) == 0 && slice_equal(buf_slice(&out), t.text));
	if (rc == 0)
		rewrite(&t, th);
	buf_finish(&out);
	free(text);
	return 0;
}
