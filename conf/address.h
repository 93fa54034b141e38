/* SPDX-License-Identifier: Apache-2.0
 * conf/address.h - where to listen and where to send, checked before anything is bound or looked
 * up. The functions that read give NULL when all is well, else what was wanted, for a message. */
#ifndef CONF_ADDRESS_H
#define CONF_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ADDRESS_HOST = 256 };

struct address {
	char host[ADDRESS_HOST]; /* a name, or an address without brackets */
	uint16_t port;
	bool v6;       /* wants brackets when printed */
	bool any;      /* 0.0.0.0 or :: */
	bool loopback; /* 127/8, ::1 or localhost */
};

/* 127.0.0.1:4317 or [::1]:4317; addresses only, for a listener must not depend on a name server.
 * localhost means 127.0.0.1. Port 0 asks for any free one. */
const char *address_read(struct address *a, const char *text);

/* Whether two listeners would fight for a port, and whether what is sent to `to` arrives at `at`.
 */
bool address_overlaps(const struct address *a, const struct address *b);
bool address_reaches(const struct address *to, const struct address *at);

struct endpoint {
	struct address to;
	bool tls;
	const char *path; /* what stands after host and port, from its slash; "" for nothing */
};

/* http://host[:port][/path] or https://...; no user, query or fragment. `path` borrows `url`. */
const char *endpoint_read(struct endpoint *e, const char *url);

/* Both cut off at `size`, which ADDRESS_HOST + 16 never needs. */
void address_print(const struct address *a, char *out, size_t size);
void endpoint_print(const struct endpoint *e, char *out, size_t size); /* without the path */

#endif
