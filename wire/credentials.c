/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/credentials.h"

#include <strings.h>

/* RFC 6750 section 2.1; the scheme in any case (RFC 9110 section 11.1). */
int credentials_bearer(struct credentials *c, struct slice header, bool doubled)
{
	static const char SCHEME[] = "bearer ";
	const size_t scheme = sizeof(SCHEME) - 1;
	if (header.len == 0 && !doubled)
		return 0;
	c->unclear = doubled || header.len <= scheme ||
		     strncasecmp((const char *)header.data, SCHEME, scheme) != 0;
	if (c->unclear)
		return 0;
	struct slice token = slice_of(header.data + scheme, header.len - scheme);
	while (token.len != 0 && *token.data == ' ')
		token = slice_of(token.data + 1, token.len - 1);
	c->has_token = token.len != 0;
	c->unclear = !c->has_token;
	return c->has_token ? digest_of(token, &c->token) : 0;
}

int credentials_name(struct credentials *c, struct slice name)
{
	if (c->n_names == CREDENTIAL_NAMES)
		return 0;
	int rc = digest_of(name, &c->names[c->n_names]);
	if (rc == 0)
		c->n_names++;
	return rc;
}
