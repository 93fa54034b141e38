/* SPDX-License-Identifier: Apache-2.0
 * redaction/glob.h - patterns of attribute keys: `*` is any bytes, `?` one, letters are of any
 * case.
 */
#ifndef REDACTION_GLOB_H
#define REDACTION_GLOB_H

#include "base/slice.h"

bool glob_match(const char *glob, struct slice key);

/* The longest part without `*` and `?`: what each key that it matches holds. */
struct slice glob_literal(const char *glob);

#endif
