/* SPDX-License-Identifier: Apache-2.0
 * wire/credentials.h - what a request brings to say whose it is: digests of a bearer token and of
 * the names in the client's certificate. The token itself is not kept. */
#ifndef WIRE_CREDENTIALS_H
#define WIRE_CREDENTIALS_H

#include "base/digest.h"

enum { CREDENTIAL_NAMES = 8 };

/* Zeroed: nothing was brought. */
struct credentials {
	bool has_token;
	bool unclear; /* two tokens, or one that is none: it stands for nobody */
	uint8_t n_names;
	struct digest token;
	/* of a certificate that was verified: "subject:CN=..." (RFC 2253) and each "san:..." */
	struct digest names[CREDENTIAL_NAMES];
};

/* The value of an `authorization` header: "Bearer TOKEN". `doubled`: there were several that
 * differ. 0 or negative: no memory. */
int credentials_bearer(struct credentials *c, struct slice header, bool doubled);

/* A name of the certificate; those beyond the eighth are not looked at. 0 or negative. */
int credentials_name(struct credentials *c, struct slice name);

#endif
