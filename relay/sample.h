/* SPDX-License-Identifier: Apache-2.0
 * relay/sample.h - a believable trace for `spanrelay send`: a request at an edge proxy, the service
 * behind it, its cache and its database. Four spans, two resources. */
#ifndef RELAY_SAMPLE_H
#define RELAY_SAMPLE_H

#include <stdint.h>

#include "base/buf.h"

enum { SAMPLE_SPANS = 4, SAMPLE_TRACE_ID = 16 };

/* Appends an ExportTraceServiceRequest whose root ends at `now_unix_ns`. Span ids come from the
 * trace id. 0 or BUF_FULL. */
int sample_write(struct buf *out, const uint8_t trace_id[SAMPLE_TRACE_ID], uint64_t now_unix_ns);

#endif
