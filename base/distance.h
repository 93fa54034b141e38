/* SPDX-License-Identifier: Apache-2.0
 * base/distance.h - how far one word is from another, for "did you mean". */
#ifndef BASE_DISTANCE_H
#define BASE_DISTANCE_H

#include <stdbool.h>

enum { DISTANCE_WORD_MAX = 48 }; /* bytes of a word; longer ones are far from all others */

/* Insert, delete, replace, and swap of neighbours are 1 each (Damerau, 1964; the restricted kind).
 */
unsigned word_distance(const char *a, const char *b);

/* Whether a word at that distance may be what somebody meant by `written`. */
bool distance_is_near(unsigned distance, const char *written);

#endif
