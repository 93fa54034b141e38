/* SPDX-License-Identifier: Apache-2.0
 * redaction/checksum.h - what some secrets say of themselves: a string that only looks like one of
 * them fails here. */
#ifndef REDACTION_CHECKSUM_H
#define REDACTION_CHECKSUM_H

#include "redaction/rule.h"

/* Always true for CHECKSUM_NONE. Numbers may be written in groups, with spaces or hyphens between.
 *   luhn    ISO/IEC 7812-1 annex B, of 12 to 19 digits
 *   mod97   ISO 13616-1 (IBAN), of 15 to 34 letters and digits
 *   github  prefix_, any number of letters and digits, then CRC-32 of those in six base 62 digits
 *   jwt     RFC 7515 3: the first part is base64url of what stands between { and }
 *   ssn     the Social Security Administration's areas, groups and serials */
bool checksum_holds(enum checksum checksum, struct slice secret);

#endif
