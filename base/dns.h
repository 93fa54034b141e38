/* SPDX-License-Identifier: Apache-2.0
 * base/dns.h - a host name to addresses without blocking the room, by c-ares: hosts file, then name
 * servers, IPv4 and IPv6 in the order of RFC 6724. The system's settings are read anew each time,
 * so a changed resolv.conf needs no restart. */
#ifndef BASE_DNS_H
#define BASE_DNS_H

#include <ev.h>
#include <stdint.h>
#include <sys/socket.h>

enum { DNS_ADDRESSES = 4 };

struct dns_address {
	struct sockaddr_storage at;
	socklen_t len;
};

/* A literal address needs no lookup: 0 and *out is set, or -1 when `host` is no address. */
int dns_literal(const char *host, uint16_t port, struct dns_address *out);

/* One lookup. `on_done` comes from the loop, never from within dns_start(), with n = 0 and a static
 * reason on failure; the lookup is then over. NULL: no memory. */
struct dns;
typedef void dns_done(void *ctx, const struct dns_address *a, unsigned n, const char *reason);
struct dns *dns_start(struct ev_loop *loop, const char *host, uint16_t port, dns_done *on_done,
		      void *ctx);
void dns_stop(struct dns *d); /* frees; also after on_done and from within it; NULL is fine */

#endif
