/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"

enum { MAX_SECRETS = 256, MAX_NAME = 128, MAX_HANDED = 1 << 20 };

/* Of the process, as the environment is whose part it takes. Rooms do not read the environment;
 * whoever reads a configuration does, one at a time. */
static struct wiped {
	char name[MAX_NAME];
	struct secret *value; /* NULL: on the list, but not moved here (yet) */
} wiped[MAX_SECRETS];
static size_t n_wiped;

static struct wiped *find(const char *name)
{
	for (size_t i = 0; i < n_wiped; i++)
		if (strcmp(wiped[i].name, name) == 0)
			return &wiped[i];
	return NULL;
}

static struct wiped *find_or_add(const char *name)
{
	struct wiped *w = find(name);
	if (w != NULL || n_wiped == MAX_SECRETS || strlen(name) >= MAX_NAME)
		return w;
	w = &wiped[n_wiped++];
	*w = (struct wiped){.value = NULL};
	memcpy(w->name, name, strlen(name) + 1);
	return w;
}

const char *environment_get(const char *name)
{
	const struct wiped *w = find(name);
	if (w != NULL && w->value != NULL)
		return (const char *)secret_reveal(w->value).data;
	const char *value = getenv(name);
	return value != NULL && *value != '\0' ? value : NULL;
}

const char *environment_lacks(const struct report *r)
{
	return r->running ? "known to the running relay (restart it with it, or use a file)"
			  : "set";
}

const char *environment_get_secret(const char *name)
{
	(void)find_or_add(name);
	return environment_get(name);
}

/* The bytes are those that the kernel shows in /proc/PID/environ. */
static int hide(struct wiped *w, char *value)
{
	if (*value != '\0' && w->value == NULL)
		w->value = secret_create(slice_str(value));
	if (*value != '\0' && w->value == NULL)
		return fail(-ENOMEM, "no memory for what the environment holds");
	explicit_bzero(value, strlen(value));
	return 0;
}

int environment_wipe(void)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n_wiped; i++) {
		char *value = getenv(wiped[i].name);
		if (value == NULL)
			continue;
		rc = hide(&wiped[i], value);
		if (rc == 0)
			unsetenv(wiped[i].name);
	}
	return rc;
}

int environment_hide(struct buf *names)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n_wiped; i++) {
		char *value = getenv(wiped[i].name);
		if (value == NULL || *value == '\0')
			continue;
		rc = hide(&wiped[i], value);
		if (rc == 0)
			rc = buf_append(names, wiped[i].name, strlen(wiped[i].name) + 1) != 0
				 ? -ENOMEM
				 : 0;
	}
	return rc;
}

static int write_all(int pipe, struct slice bytes)
{
	while (bytes.len != 0) {
		ssize_t n = write(pipe, bytes.data, bytes.len);
		if (n < 0)
			return fail(-errno, "the environment's secrets cannot be handed over");
		bytes = slice_of(bytes.data + n, bytes.len - (size_t)n);
	}
	return 0;
}

/* NAME, 0, VALUE, 0. */
int environment_hand_over(int pipe)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n_wiped; i++) {
		const struct wiped *w = &wiped[i];
		if (w->value == NULL)
			continue;
		rc = write_all(pipe, slice_of(w->name, strlen(w->name) + 1));
		struct slice value = secret_reveal(w->value);
		if (rc == 0)
			rc = write_all(pipe, slice_of(value.data, value.len + 1));
	}
	return rc;
}

static int take(struct slice all)
{
	while (all.len != 0) {
		size_t name = strnlen((const char *)all.data, all.len) + 1;
		size_t value =
		    name < all.len ? strnlen((const char *)all.data + name, all.len - name) : 0;
		if (name + value >= all.len)
			return -EINVAL;
		struct wiped *w = find_or_add((const char *)all.data);
		if (w != NULL && w->value == NULL)
			w->value = secret_create(slice_of(all.data + name, value));
		if (w == NULL || w->value == NULL)
			return -ENOMEM;
		all = slice_of(all.data + name + value + 1, all.len - name - value - 1);
	}
	return 0;
}

int environment_take_over(int pipe)
{
	uint8_t *all = malloc(MAX_HANDED);
	size_t len = 0;
	ssize_t n = 1;
	if (all == NULL)
		return fail(-ENOMEM, "no memory for what the keeper hands over");
	while (n > 0 && len < MAX_HANDED) {
		n = read(pipe, all + len, MAX_HANDED - len);
		len += n > 0 ? (size_t)n : 0;
	}
	int rc = n < 0 ? -errno : take(slice_of(all, len));
	explicit_bzero(all, len);
	free(all);
	return rc == 0 ? 0 : fail(rc, "the environment's secrets cannot be taken over");
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
	const char *value = environment_get_secret(name);
	if (value != NULL) {
		t->kind->from_env = true;
		return put(t, value, strlen(value));
	}
	if (fallback == NULL) {
		report_fault(t->report, t->at,
			     "the variable %s is not %s; ${env:%s:-...} would give it a default",
			     name, environment_lacks(t->report), name);
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
