/* SPDX-License-Identifier: Apache-2.0
 * redaction/entropy.h - how much a text looks drawn at random. */
#ifndef REDACTION_ENTROPY_H
#define REDACTION_ENTROPY_H

#include "base/slice.h"

/* Shannon's, of the text's own bytes: 0 (one byte over and over, or nothing) to 8 bits a byte. A
 * text of n bytes has at most log2(n), so what a rule may ask for depends on its length. */
double entropy_bits(struct slice text);

#endif
