/* SPDX-License-Identifier: Apache-2.0
 * relay/words.h - numbers as people read them, for commands. Each gives `out`. */
#ifndef RELAY_WORDS_H
#define RELAY_WORDS_H

#include <jansson.h>
#include <stdint.h>

/* A string of a JSON object; nobody's bytes redraw the terminal. "-" where there is none. */
const char *words_text(const json_t *o, const char *key, char out[128]);
/* An integer of a JSON object; 0 where there is none. */
uint64_t words_number(const json_t *o, const char *key);
const char *words_grouped(uint64_t n, char out[32]);        /* 12,345,678 */
const char *words_size(uint64_t bytes, char out[32]);       /* 1.5 GiB */
const char *words_duration(uint64_t seconds, char out[32]); /* the two largest units: 4h 5m */

#endif
