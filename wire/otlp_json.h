/* SPDX-License-Identifier: Apache-2.0
 * wire/otlp_json.h - OTLP/JSON in: the text of an ExportTraceServiceRequest becomes the protobuf
 * bytes of the same request (proto-spec "JSON Protobuf Encoding", otlp-wire E). What these bytes
 * hold - ids, counts, depth, UTF-8, cost - is judged by otlp_index() and by nobody here, so JSON
 * has the limits of protobuf.
 *
 * One pass, no tree, no recursion; besides the output it holds one frame for each open bracket. No
 * general JSON library does: jansson 2.14 takes 11 bytes of heap for a byte of plain spans and 78
 * for one of `{},`, and refuses the whole text for one time above 2^63, 1e400, half a surrogate
 * pair or a byte that is not UTF-8, where we mend or lose no more than the value.
 *
 * What is taken for what:
 * - Keys in camelCase or snake_case; unknown ones are ignored at any depth, but must be JSON. null
 *   is as good as absent; in a list it is an empty element. Of equal keys the last counts.
 * - Integers as numbers or strings, exact up to 2^64-1; 1e3 and 1.0 are integers. An intValue that
 *   is no int64 becomes a doubleValue: OTel-JS writes 1e20 so. Other numbers have to fit.
 * - Doubles as numbers or strings, "NaN", "Infinity", "-Infinity"; 1e400 is infinite.
 * - Enums as numbers or names; an unknown name is as good as absent.
 * - Ids in hex of either case; what is not hex becomes an id of one byte, for which the index
 *   rejects the span. bytesValue in base64, standard or URL alphabet, padded or not.
 * - Half a surrogate pair, and bytes that are no UTF-8, come out as such, for the index to mend.
 * - instrumentationLibrarySpans comes out as field 1000, which the index moves (A8).
 * - A value of the wrong type, a broken text, and anything behind it, refuse the request.
 * Knows no clock, socket or thread. */
#ifndef WIRE_OTLP_JSON_H
#define WIRE_OTLP_JSON_H

#include "base/buf.h"
#include "wire/otlp_index.h"

/* What the protobuf of `text_bytes` of JSON fits in, and all that otlp_json() allocates. */
size_t otlp_json_bound(size_t text_bytes);

/* Appends the protobuf to `out`, an empty buffer, and sets its limit. INDEX_OK, INDEX_MALFORMED,
 * INDEX_DEPTH or INDEX_NO_MEMORY; *why says it more precisely. After a refusal what is in `out` is
 * of no worth. Time is linear in text.len, which is below 2 GiB. */
enum index_verdict otlp_json(struct slice text, struct buf *out, const char **why);

#endif
