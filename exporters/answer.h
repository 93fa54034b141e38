/* SPDX-License-Identifier: Apache-2.0
 * exporters/answer.h - what a backend's response means for the spans that were sent.
 *
 * Classes after the OTLP specification ("Failures", OTLP/gRPC and OTLP/HTTP), with one deviation on
 * purpose: where it says "drop" for a fault of the credential or of the address, we hold. Nothing
 * of the backend's own words leaves here: `reason` is static text. Pure functions of what came. */
#ifndef EXPORTERS_ANSWER_H
#define EXPORTERS_ANSWER_H

#include "exporters/exporter.h"
#include "wire/http.h"

enum { ANSWER_WAIT_MAX_MS = 5 * 60 * 1000 }; /* a backend may not silence us for longer */

/* grpc-status wins over :status; without it, the mapping of gRPC's http-grpc-status-mapping. */
struct outcome answer_grpc(const struct http_response *r, uint64_t now_unix_ms);
struct outcome answer_http(const struct http_response *r, uint64_t now_unix_ms);

/* The parts, for tests and fuzzing. Each gives 0 for what it cannot read. */
uint64_t answer_retry_after(struct slice value,
			    uint64_t now_unix_ms);   /* ms; seconds or HTTP-date */
uint64_t answer_retry_info(struct slice retry_info); /* ms; google.rpc.RetryInfo */
uint64_t answer_retry_details(struct slice status);  /* ms; google.rpc.Status that may hold one */
uint64_t answer_rejected(struct slice response);     /* of an ExportTraceServiceResponse */

#endif
