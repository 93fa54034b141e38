/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/words.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

/* Nobody's bytes redraw the terminal. */
const char *words_text(const json_t *o, const char *key, char out[128])
{
	const char *s = json_string_value(json_object_get(o, key));
	snprintf(out, 128, "%s", s != NULL ? s : "-");
	for (char *c = out; *c != '\0'; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	return out;
}

/* 12,345,678 */
uint64_t words_number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

const char *words_grouped(uint64_t n, char out[32])
{
	char plain[24];
	int len = snprintf(plain, sizeof(plain), "%" PRIu64, n);
	char *to = out;
	for (int i = 0; i < len; i++) {
		if (i != 0 && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = plain[i];
	}
	*to = '\0';
	return out;
}

const char *words_size(uint64_t bytes, char out[32])
{
	static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double n = (double)bytes;
	unsigned unit = 0;
	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	snprintf(out, 32, n < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", n, UNITS[unit]);
	return out;
}

/* The two largest units: 3d 4h, 4h 5m, 5m 6s, 6s. */
const char *words_duration(uint64_t s, char out[32])
{
	if (s >= 86400)
		snprintf(out, 32, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(out, 32, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(out, 32, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(out, 32, "%" PRIu64 "s", s);
	return out;
}
