/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/otlp_walk.h"

#include <string.h>

/* Gives the byte after the varint, or NULL. */
static const uint8_t *varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
	uint64_t v = 0;
	for (unsigned shift = 0; p < end && shift < 70; shift += 7) {
		uint8_t byte = *p++;
		v |= (uint64_t)(byte & 0x7f) << (shift & 63);
		if (byte < 0x80) {
			*out = v;
			return p;
		}
	}
	return NULL;
}

bool field_next_any(struct slice *rest, struct field *f)
{
	if (rest->len == 0)
		return false;
	uint64_t tag, len = 0;
	const uint8_t *start = rest->data, *end = start + rest->len;
	const uint8_t *p = varint(start, end, &tag);
	if (p == NULL)
		return false;
	f->number = (uint32_t)(tag >> 3);
	f->type = tag & 7;
	switch (f->type) {
	case WIRE_VARINT:
		p = varint(p, end, &len);
		len = 0;
		break;
	case WIRE_BYTES:
		p = varint(p, end, &len);
		break;
	case WIRE_FIXED64:
		len = 8;
		break;
	case WIRE_FIXED32:
		len = 4;
		break;
	default:
		return false;
	}
	if (p == NULL || len > (uint64_t)(end - p))
		return false;
	f->value = slice_of(p, len);
	p += len;
	f->whole = slice_of(start, (size_t)(p - start));
	*rest = slice_of(p, (size_t)(end - p));
	return true;
}

uint32_t otlp_walk_spans(struct slice request)
{
	struct field resource, scope, span;
	uint32_t n = 0;
	while (field_next(&request, &resource)) {
		if (!field_is(&resource, REQUEST_RESOURCE_SPANS))
			continue;
		while (field_next(&resource.value, &scope)) {
			if (!field_is(&scope, RESOURCE_SPANS_SCOPE_SPANS))
				continue;
			while (field_next(&scope.value, &span))
				n += field_is(&span, SCOPE_SPANS_SPANS);
		}
	}
	return n;
}

bool otlp_walk_span_id(struct slice request, uint32_t offset, uint8_t id[8])
{
	struct field span, f;
	bool is_found = false;
	if (offset >= request.len)
		return false;
	struct slice rest = slice_of(request.data + offset, request.len - offset);
	if (!field_next(&rest, &span) || !field_is(&span, SCOPE_SPANS_SPANS))
		return false;
	while (field_next(&span.value, &f) && (!is_found || f.number < SPAN_ATTRIBUTES)) {
		if (!field_is(&f, SPAN_SPAN_ID) || f.value.len != 8)
			continue;
		memcpy(id, f.value.data, 8);
		is_found = true;
	}
	return is_found;
}
