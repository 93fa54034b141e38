/* SPDX-License-Identifier: Apache-2.0
 * redaction/class.h - numbers and addresses that have no literal an automaton could wait for. One
 * pass over the bytes of all values, sixteen at a time, says where one may stand; what stands there
 * is looked at on the value alone.
 *   card   13 to 19 digits of a known issuer and length, in groups of four or more with a space or
 *          hyphen between, or in none; Luhn
 *   iban   AA99, then up to 30 capitals and digits, in groups of four with a space between or in
 *          none; ISO 7064 mod 97
 *   email  letters, digits and . _ % + - before the @; labels behind it, the last one of letters
 *   ipv4   four decimal numbers of at most 255; not where more of them follow
 *   ssn    999-99-9999, or with spaces
 * None begins or ends within a word or a longer number. */
#ifndef REDACTION_CLASS_H
#define REDACTION_CLASS_H

#include "base/slice.h"
#include "redaction/rule.h"

/* Calls `on_anchor` for each place where one of `classes`, bits 1 << CLASS_..., may be; in the
 * order of places, and of classes where those are the same. */
typedef void class_anchor(void *user, enum rule_class class, size_t at);
void class_scan(struct slice text, uint32_t classes, class_anchor *on_anchor, void *user);

/* Whether there is one at that anchor of a value: where. */
struct class_range {
	size_t start, end;
};
bool class_find(enum rule_class class, struct slice value, size_t anchor,
		struct class_range *found);

#endif
