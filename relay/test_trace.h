/* SPDX-License-Identifier: Apache-2.0
 * relay/test_trace.h - the traces of `spanrelay test`: from their YAML to the OTLP bytes that a
 * client would send. */
#ifndef RELAY_TEST_TRACE_H
#define RELAY_TEST_TRACE_H

#include "base/buf.h"
#include "conf/yaml.h"

/* Reports each key of `map` that is not one of `known` (words with a blank between them), where
 * `what` is the map's name. false: it is no map. */
bool test_keys_check(const struct node *map, const char *what, const char *known, struct report *r);

/* Appends an ExportTraceServiceRequest of one trace to `out`. What is wrong with `spans` is
 * reported; `out` is then only good to be freed. */
void test_trace_encode(const struct node *spans, struct report *r, struct buf *out);

#endif
