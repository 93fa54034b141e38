/* SPDX-License-Identifier: Apache-2.0
 * base/log.h - one event, one line, on standard error.
 *   log_info("journal opened", "path=%s blocks=%u", path, n);
 * gives `2026-01-01T00:00:00.000Z info msg="journal opened" path=... blocks=3`, or one JSON object.
 * The second argument is key=value pairs parted by single spaces; a value that may hold spaces is
 * written as key=\"%s\". Never a span's content, an attribute value, a header or a token. Bytes
 * outside printable ASCII and quotes inside values are replaced by '?', so a peer cannot forge a
 * line. Any room may call; a line is one write(2). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Any thread: before any room starts, and when a reload says otherwise. */
void log_setup(enum log_level level, bool json);

void log_line(enum log_level level, const char *message, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(message, ...) log_line(LOG_ERROR, message, __VA_ARGS__)
#define log_warn(message, ...)  log_line(LOG_WARN, message, __VA_ARGS__)
#define log_info(message, ...)  log_line(LOG_INFO, message, __VA_ARGS__)
#define log_debug(message, ...) log_line(LOG_DEBUG, message, __VA_ARGS__)

/* For events that can repeat with every request: at most one line a second per place; the next
 * line that passes says how many were left out (`suppressed=N`). */
struct log_limit {
	_Atomic uint64_t next_ms;
	_Atomic uint32_t suppressed;
};
bool log_limit_passes(struct log_limit *limit, uint32_t *suppressed);
#define log_limited(level, message, fields, ...)                                                   \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		uint32_t suppressed_;                                                              \
		if (log_limit_passes(&limit_, &suppressed_))                                       \
			log_line(level, message, fields " suppressed=%u", __VA_ARGS__,             \
				 suppressed_);                                                     \
	} while (0)

/* Logs a failure once, where it happens, with the text of -error when it is an errno, and returns
 * `error` (negative) for the callers to hand on unchanged. */
int fail(int error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
