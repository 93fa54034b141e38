/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool read_port(const char *text, uint16_t *port)
{
	unsigned n = 0;
	size_t len = strlen(text);
	for (const char *c = text; *c != '\0'; c++) {
		if (!isdigit((unsigned char)*c))
			return false;
		n = n * 10 + (unsigned)(*c - '0');
		if (n > UINT16_MAX)
			return false;
	}
	*port = (uint16_t)n;
	return len >= 1 && len <= 5;
}

static void read_v4(struct address *a)
{
	struct in_addr v4;
	if (inet_pton(AF_INET, a->host, &v4) != 1)
		return;
	a->any = v4.s_addr == INADDR_ANY;
	a->loopback = ntohl(v4.s_addr) >> 24 == 127;
}

static bool read_v6(struct address *a)
{
	struct in6_addr v6;
	if (inet_pton(AF_INET6, a->host, &v6) != 1)
		return false;
	a->v6 = true;
	a->any = IN6_IS_ADDR_UNSPECIFIED(&v6);
	a->loopback = IN6_IS_ADDR_LOOPBACK(&v6);
	return true;
}

/* [v6], v4 or name of `len` bytes; the brackets make the difference. */
static bool read_host(struct address *a, const char *text, size_t len)
{
	bool bracket = len > 2 && text[0] == '[' && text[len - 1] == ']';
	if (bracket) {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(a->host))
		return false;
	memcpy(a->host, text, len);
	a->host[len] = '\0';
	if (bracket)
		return read_v6(a);
	for (const char *c = a->host; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr("-._", *c) == NULL)
			return false;
	a->loopback = strcasecmp(a->host, "localhost") == 0;
	read_v4(a);
	return true;
}

const char *address_read(struct address *a, const char *text)
{
	static const char WANTED[] =
	    "an address and a port, such as 127.0.0.1:4317, 0.0.0.0:4317 (all "
	    "addresses) or [::1]:4317";
	*a = (struct address){.port = 0};
	const char *colon = strrchr(text, ':');
	if (colon == NULL || !read_port(colon + 1, &a->port) ||
	    !read_host(a, text, (size_t)(colon - text)))
		return WANTED;
	if (strcasecmp(a->host, "localhost") == 0)
		snprintf(a->host, sizeof(a->host), "127.0.0.1");
	struct in_addr v4;
	return a->v6 || inet_pton(AF_INET, a->host, &v4) == 1 ? NULL : WANTED;
}

bool address_overlaps(const struct address *a, const struct address *b)
{
	if (a->port != b->port || a->port == 0)
		return false;
	return a->any || b->any || strcasecmp(a->host, b->host) == 0;
}

bool address_reaches(const struct address *to, const struct address *at)
{
	if (to->port != at->port || to->port == 0)
		return false;
	if (strcasecmp(to->host, at->host) == 0)
		return true;
	bool unsaid =
	    to->any || strcasecmp(to->host, "localhost") == 0; /* of several loopback ones */
	return (at->any && (to->any || to->loopback)) || (at->loopback && unsaid);
}

const char *endpoint_read(struct endpoint *e, const char *url)
{
	static const char WANTED[] = "http://host:port or https://host:port";
	*e = (struct endpoint){.tls = strncasecmp(url, "https://", 8) == 0};
	if (!e->tls && strncasecmp(url, "http://", 7) != 0)
		return WANTED;
	const char *host = url + (e->tls ? 8 : 7);
	for (const char *c = host; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || strchr("@?#\\\"", *c) != NULL)
			return "a URL without user, password, query, fragment or blanks";
	e->path = host + strcspn(host, "/");
	const char *colon = e->path;
	while (colon > host && isdigit((unsigned char)colon[-1]))
		colon--;
	bool has_port = colon > host && colon[-1] == ':';
	char port[8];
	if (has_port) {
		snprintf(port, sizeof(port), "%.*s", (int)(e->path - colon), colon);
		if (e->path - colon > 5 || !read_port(port, &e->to.port) || e->to.port == 0)
			return "a port from 1 to 65535";
	} else {
		e->to.port = e->tls ? 443 : 80;
	}
	const char *end = has_port ? colon - 1 : e->path;
	return read_host(&e->to, host, (size_t)(end - host)) ? NULL : WANTED;
}

void address_print(const struct address *a, char *out, size_t size)
{
	snprintf(out, size, a->v6 ? "[%s]:%u" : "%s:%u", a->host, a->port);
}

void endpoint_print(const struct endpoint *e, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "%s://", e->tls ? "https" : "http");
	if (len < size)
		address_print(&e->to, out + len, size - len);
}
