/* SPDX-License-Identifier: Apache-2.0
 * conf/unit.h - numbers as people write them: 5ms, 48h, 256KiB, 1MB, 10000.
 * Whole numbers only, but for percentages; one blank before the unit is fine; the case of a unit is
 * ignored. */
#ifndef CONF_UNIT_H
#define CONF_UNIT_H

#include <stdbool.h>
#include <stdint.h>

enum { UNIT_BAD = 1, UNIT_TEXT = 24 };

/* 0, or UNIT_BAD with *out unchanged. */
int unit_size(const char *text,
	      uint64_t *bytes); /* B, KB..TB of 1000, KiB..TiB of 1024; none: bytes */
int unit_time(const char *text, uint64_t *ms); /* ms, s, m, h, d; a time needs one, but for 0 */
int unit_count(const char *text, uint64_t *n);
/* 100%, 0.5% or 0, as a share of 1; `bare` if the % may be left out. At most 100%. */
int unit_share(const char *text, bool bare, double *share);

/* The shortest way to write it that reads back the same. */
void unit_print_size(char out[UNIT_TEXT], uint64_t bytes);
void unit_print_time(char out[UNIT_TEXT], uint64_t ms);
void unit_print_count(char out[UNIT_TEXT], uint64_t n);

#endif
