/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static const char *const LEVELS[] = {"error", "warn", "info", "debug"};
static _Atomic int threshold = LOG_INFO; /* enum log_level */
static _Atomic bool as_json;

void log_setup(enum log_level level, bool json)
{
	threshold = level;
	as_json = json;
}

struct line {
	char text[2048];
	size_t len;
	bool json; /* all of it, whatever a reload says meanwhile */
};

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	size_t room = sizeof(l->text) - 4 - l->len; /* the closing "}\n" always fits */
	int n = vsnprintf(l->text + l->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void put_time(struct line *l)
{
	uint64_t ms = clock_wall_ms();
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&s, &tm);
	char text[32];
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	put(l, l->json ? "{\"time\":\"%s.%03uZ\"" : "%s.%03uZ", text, (unsigned)(ms % 1000));
}

/* A value ends at the closing quote if it is quoted, else at the next space. */
static size_t value_len(const char *v)
{
	if (*v != '"')
		return strcspn(v, " ");
	const char *end = strchr(v + 1, '"');
	return end != NULL ? (size_t)(end - v) + 1 : strlen(v);
}

static void put_json_fields(struct line *l, const char *fields)
{
	while (*fields != '\0') {
		size_t key = strcspn(fields, "= ");
		if (fields[key] != '=') {
			fields += key + (fields[key] == ' ');
			continue;
		}
		const char *value = fields + key + 1;
		size_t len = value_len(value);
		const char *quote = *value == '"' ? "" : "\"";
		put(l, ",\"%.*s\":%s%.*s%s", (int)key, fields, quote, (int)len, value, quote);
		fields = value + len;
		fields += *fields == ' ';
	}
}

static void scrub(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < 0x20 || *text > 0x7e || *text == '\\')
			*text = '?';
}

void log_line(enum log_level level, const char *message, const char *fields, ...)
{
	if ((int)level > threshold)
		return;
	char text[1536];
	va_list ap;
	va_start(ap, fields);
	vsnprintf(text, sizeof(text), fields, ap);
	va_end(ap);
	scrub(text);

	struct line l = {.json = as_json};
	put_time(&l);
	if (l.json) {
		put(&l, ",\"level\":\"%s\",\"msg\":\"%s\"", LEVELS[level], message);
		put_json_fields(&l, text);
		l.text[l.len++] = '}';
	} else {
		put(&l, " %s msg=\"%s\"%s%s", LEVELS[level], message, *text ? " " : "", text);
	}
	l.text[l.len++] = '\n';
	ssize_t n = write(STDERR_FILENO, l.text, l.len); /* a log that cannot be written is lost */
	(void)n;
}

bool log_limit_passes(struct log_limit *limit, uint32_t *suppressed)
{
	uint64_t now = clock_mono_ms();
	uint64_t next = atomic_load_explicit(&limit->next_ms, memory_order_relaxed);
	if (now < next || !atomic_compare_exchange_strong(&limit->next_ms, &next, now + 1000)) {
		atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
		return false;
	}
	*suppressed = atomic_exchange(&limit->suppressed, 0);
	return true;
}

int fail(int error, const char *fmt, ...)
{
	char what[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	for (char *c = what; *c != '\0'; c++)
		if (*c == '"')
			*c = '\'';
	const char *reason = error < 0 && error > -4096 ? strerrordesc_np(-error) : NULL;
	log_line(LOG_ERROR, "failed", "what=\"%s\" reason=\"%s\" code=%d", what,
		 reason != NULL ? reason : "", error);
	return error;
}
