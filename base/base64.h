/* SPDX-License-Identifier: Apache-2.0
 * base/base64.h - RFC 4648 section 4, padded or not, as gRPC's `-bin` headers come. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

enum { BASE64_BAD = 2 };

/* Appends the decoded bytes: 0, BUF_FULL, or BASE64_BAD for anything that is no base64. */
int base64_decode(struct slice text, struct buf *out);

#endif
