/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "conf/conf.h"

/* A file may hold bytes that would redraw somebody's terminal. */
static void scrub(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
}

__attribute__((format(printf, 3, 0))) static void add(struct report *r, struct finding f,
						      const char *fmt, va_list ap)
{
	r->faults += !f.warning;
	if (r->n == REPORT_MAX_FINDINGS) {
		r->left_out++;
		return;
	}
	vsnprintf(f.text, sizeof(f.text), fmt, ap);
	scrub(f.text);
	r->findings[r->n++] = f;
}

void report_fault(struct report *r, struct place at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(r, (struct finding){.at = at}, fmt, ap);
	va_end(ap);
}

void report_warning(struct report *r, struct place at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(r, (struct finding){.at = at, .warning = true}, fmt, ap);
	va_end(ap);
}

void report_environment(struct report *r, bool warning, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(r, (struct finding){.warning = warning, .of_environment = true}, fmt, ap);
	va_end(ap);
}

static bool comes_after(const struct finding *a, const struct finding *b)
{
	if (a->at.line != b->at.line)
		return a->at.line > b->at.line;
	return a->at.column > b->at.column;
}

/* Insertion sort: stable, and there are 64 at most. */
static void sort(struct finding *f, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		struct finding moved = f[i];
		uint32_t j = i;
		for (; j > 0 && comes_after(&f[j - 1], &moved); j--)
			f[j] = f[j - 1];
		f[j] = moved;
	}
}

int report_write(struct report *r, const char *name, struct buf *out)
{
	sort(r->findings, r->n);
	int full = 0;
	for (uint32_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->findings[i];
		if (f->of_environment)
			full |= buf_printf(out, "environment: ");
		else if (f->at.line == 0)
			full |= buf_printf(out, "%s: ", name);
		else
			full |= buf_printf(out, "%s:%u:%u: ", name, f->at.line, f->at.column);
		full |= buf_printf(out, "%s%s\n", f->warning ? "warning: " : "", f->text);
	}
	if (r->left_out != 0)
		full |= buf_printf(out, "%s: and %u more\n", name, r->left_out);
	if (r->no_memory || full != 0)
		return -ENOMEM;
	return r->faults != 0 ? CONF_FAULTY : 0;
}
