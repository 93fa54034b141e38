/* SPDX-License-Identifier: Apache-2.0
 * exporters/show.h - spans for people: each trace of a request as an indented tree, as plain text.
 * Nothing in the data can move a terminal's cursor: control characters come out as \xNN. Bounded,
 * and without recursion. For vetted requests only. */
#ifndef EXPORTERS_SHOW_H
#define EXPORTERS_SHOW_H

#include "base/buf.h"

enum { SHOW_SPANS = 100, SHOW_ATTRIBUTES = 6, SHOW_TEXT = 80 };

/* Appends at most SHOW_SPANS spans of an ExportTraceServiceRequest. 0 or BUF_FULL. */
int show_request(struct slice request, struct buf *out);

#endif
