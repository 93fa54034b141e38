/* SPDX-License-Identifier: Apache-2.0
 * conf/report.h - what was found wrong while reading a configuration, told in one go and by place,
 * so that a person mends a file once and not ten times. Values never come in here unless their
 * caller knows that they stand in the file as they are. */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Both count from 1. Line 0 is no place: the finding is about the file as a whole. */
struct place {
	uint32_t line, column;
};

enum { REPORT_MAX_FINDINGS = 64, REPORT_TEXT = 320 };

struct finding {
	struct place at;
	bool warning, of_environment;
	char text[REPORT_TEXT];
};

/* On the reader's stack or heap; zeroed to begin with. */
struct report {
	struct finding findings[REPORT_MAX_FINDINGS];
	uint32_t n, left_out, faults;
	bool no_memory;
	bool running; /* the reader runs already: its environment gets no new variables */
};

void report_fault(struct report *r, struct place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void report_warning(struct report *r, struct place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* About an environment variable, which `fmt` begins with: by its name, never by its value. */
void report_environment(struct report *r, bool warning, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends the findings in the order of the file, one `name:line:column: text` a line. 0 when there
 * are only warnings, CONF_FAULTY, or -ENOMEM. */
int report_write(struct report *r, const char *name, struct buf *out);

#endif
