/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/environment.h"

#include <ctype.h>
#include <stdlib.h>

#include "conf/conf.h"

const char *environment_get(const char *name)
{
	const char *value = getenv(name);
	return value != NULL && *value != '\0' ? value : NULL;
}

static bool is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalpha((unsigned char)name[i]) && name[i] != '_' &&
		    (i == 0 || !isdigit((unsigned char)name[i])))
			return false;
	return len != 0;
}

struct target {
	struct place at;
	struct report *report;
	struct buf *out;
	struct expanded *kind;
};

static int put(struct target *t, const char *text, size_t len)
{
	if (buf_append(t->out, text, len) == 0)
		return 0;
	report_fault(t->report, t->at, "too long a value, or no memory left");
	return CONF_FAULTY;
}

/* NAME or NAME:-default, of `len` bytes. */
static int put_variable(struct target *t, const char *text, size_t len)
{
	const char *fallback = memmem(text, len, ":-", 2);
	size_t name_len = fallback != NULL ? (size_t)(fallback - text) : len;
	char name[128];
	if (name_len >= sizeof(name) || !is_name(text, name_len)) {
		report_fault(t->report, t->at,
			     "${env:...} wants the name of a variable: letters, digits and _");
		return CONF_FAULTY;
	}
	memcpy(name, text, name_len);
	name[name_len] = '\0';
	const char *value = environment_get(name);
	if (value != NULL) {
		t->kind->from_env = true;
		return put(t, value, strlen(value));
	}
	if (fallback == NULL) {
		report_fault(t->report, t->at,
			     "the variable %s is not set; ${env:%s:-...} would give it a default",
			     name, name);
		return CONF_FAULTY;
	}
	t->kind->literal |= len > name_len + 2;
	return put(t, fallback + 2, len - name_len - 2);
}

/* What begins with "${" at *text, which moves on behind it. */
static int put_reference(struct target *t, const char **text)
{
	const char *end = strchr(*text, '}');
	if (end == NULL || strncmp(*text, "${env:", 6) != 0) {
		report_fault(
		    t->report, t->at,
		    "wanted ${env:NAME} or ${env:NAME:-default}; $${ stands for ${ itself");
		return CONF_FAULTY;
	}
	const char *inner = *text + 6;
	*text = end + 1;
	return put_variable(t, inner, (size_t)(end - inner));
}

int environment_expand(const char *text, struct place at, struct report *r, struct buf *out,
		       struct expanded *kind)
{
	struct target t = {.at = at, .report = r, .out = out, .kind = kind};
	int rc = 0;
	while (*text != '\0' && rc == 0) {
		const char *dollar = strstr(text, "${");
		size_t plain = dollar != NULL ? (size_t)(dollar - text) : strlen(text);
		bool escaped = plain > 0 && dollar != NULL && dollar[-1] == '$';
		kind->literal |= plain != 0;
		rc = put(&t, text, plain - escaped);
		text += plain;
		if (escaped) {
			rc |= put(&t, "${", 2);
			text += 2;
		} else if (dollar != NULL && rc == 0) {
			rc = put_reference(&t, &text);
		}
	}
	return rc;
}
