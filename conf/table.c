/* SPDX-License-Identifier: Apache-2.0
 * conf/table.c - the option table for people: the terminal and docs/configuration.md. */
#include "conf/conf.h"
#include "conf/option.h"

enum { TEXT_WIDTH = 92, TEXT_INDENT = 6 };

/* The help, broken at blanks. */
static int wrap(struct buf *out, const char *text)
{
	int full = 0;
	while (*text != '\0') {
		size_t len = strlen(text), room = TEXT_WIDTH - TEXT_INDENT;
		if (len > room) {
			len = room;
			while (len > 0 && text[len] != ' ')
				len--;
			len = len == 0 ? room : len;
		}
		full |= buf_printf(out, "%*s%.*s\n", TEXT_INDENT, "", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	return full;
}

/* What may stand there: a range, the choices, or the kind of value. */
static int put_values(struct buf *out, const struct option *o)
{
	static const char *const KINDS[] = {
	    [OPTION_TEXT] = "text",
	    [OPTION_NAME] = "letters, digits, - and _",
	    [OPTION_HOST] = "host name",
	    [OPTION_LISTEN] = "address:port, or off",
	    [OPTION_ENDPOINT] = "URL",
	    [OPTION_URL_PATH] = "URL path",
	    [OPTION_HEADERS] = "map of names and values",
	    [OPTION_LANGUAGE] = "condition",
	    [OPTION_FIELDS] = "field, or a list of at most 4",
	    [OPTION_NAMES] = "list of texts",
	};
	if (o->type == OPTION_SIZE || o->type == OPTION_TIME || o->type == OPTION_COUNT ||
	    o->type == OPTION_SHARE || o->type == OPTION_PERCENT) {
		option_print_range(o, out);
		return 0;
	}
	if (o->type != OPTION_CHOICE)
		return buf_printf(out, "%s", KINDS[o->type]);
	int full = 0;
	for (unsigned i = 0; o->choices[i] != NULL; i++)
		full |= buf_printf(out, "%s%s", i != 0 ? ", " : "", o->choices[i]);
	return full;
}

int conf_options_text(struct buf *out)
{
	int full = 0;
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &OPTIONS[i];
		full |= buf_printf(out, "%s", o->key);
		full |= *o->fallback != '\0' ? buf_printf(out, " = %s", o->fallback) : 0;
		full |= buf_printf(out, "   (");
		full |= put_values(out, o);
		full |= buf_printf(out, ")%s\n", o->reload == RESTART ? "   needs a restart" : "");
		full |= wrap(out, o->help);
	}
	return full;
}

static const char MARKDOWN_HEAD[] =
    "# Configuration\n"
    "\n"
    "<!-- Made from the option table by `make docs`; a test compares. Edit conf/option.c instead. "
    "-->\n"
    "\n"
    "One YAML file, `spanrelay run -c FILE`; without one the defaults below hold. `spanrelay check "
    "-c FILE`\n"
    "names everything that is wrong with a file at once, as `file:line:column`, and exits with "
    "78.\n"
    "\n"
    "- A time is a whole number and `ms`, `s`, `m`, `h` or `d`; a size a whole number and `B`, "
    "`KB` to `TB`\n"
    "  (of 1000) or `KiB` to `TiB` (of 1024).\n"
    "- A percentage is `50%`, `0.5%` or `0`.\n"
    "- `${env:NAME}` is the value of an environment variable, `${env:NAME:-default}` has a default "
    "for when\n"
    "  it is unset or empty, `$${` is a plain `${`. They work inside values, not in keys.\n"
    "- An unknown key, a duplicate, a wrong type or a value out of its range stops the start. So "
    "does an\n"
    "  exporter that sends to this relay's own listeners.\n"
    "- `spanrelay reload`, or SIGHUP, applies a new file to a running relay (docs/operations.md). "
    "Where a change\n"
    "  is by `restart`, the relay goes on with the old value until then, and says so.\n"
    "- Plain YAML only: no aliases, no tags, one document, at most 1 MiB.\n"
    "\n";

static const char MARKDOWN_TAIL[] =
    "\n"
    "## When no exporter is configured\n"
    "\n"
    "The environment chooses, in this order, and the log says what was chosen and why:\n"
    "\n"
    "1. `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, else `OTEL_EXPORTER_OTLP_ENDPOINT`, with their "
    "siblings\n"
    "   `_PROTOCOL` (`grpc`, `http/protobuf`; the default is the latter), `_HEADERS`, "
    "`_COMPRESSION`,\n"
    "   `_TIMEOUT` (ms), `_CERTIFICATE` and `_INSECURE`; the name with `TRACES_` wins. Over HTTP "
    "the endpoint\n"
    "   for all signals gets `/v1/traces` behind its path, the one for traces is used as it is.\n"
    "2. Lightstep, when there is a source of its token (docs/credentials.md): "
    "`LS_ACCESS_TOKEN_FILE`,\n"
    "   `LS_ACCESS_TOKEN` and so on.\n"
    "3. `terminal`, which prints each trace as a tree.\n"
    "\n"
    "## Lightstep\n"
    "\n"
    "`preset: lightstep` stands for gRPC to `https://ingest.lightstep.com:443` "
    "(docs/lightstep.md). Its token comes\n"
    "from the file that `LS_ACCESS_TOKEN_FILE` names, from systemd, from an environment file or "
    "from the variables\n"
    "above: docs/credentials.md has the order. Sources that contradict each other stop the start. "
    "A token written\n"
    "into the file is refused. Without any token the relay receives and keeps spans until there "
    "is one.\n";

static int put_row(struct buf *out, const struct option *o)
{
	int full = buf_printf(out, "| `%s` | ", o->key);
	if (*o->fallback != '\0')
		full |= buf_printf(out, "`%s`", o->fallback);
	full |= buf_printf(out, " | ");
	full |= put_values(out, o);
	return full |
	       buf_printf(out, " | %s | %s |\n", o->reload == HOT ? "reload" : "restart", o->help);
}

/* A list is told of before its first key. */
static int put_list(struct buf *out, const struct option *o)
{
	const char *mark = strstr(o->key, "[].");
	for (size_t i = 0; i < N_OPTION_LISTS && mark != NULL; i++) {
		const struct option_list *l = &OPTION_LISTS[i];
		bool of_list = strncmp(l->key, o->key, (size_t)(mark - o->key)) == 0;
		if (of_list &&
		    (o == OPTIONS || strncmp(o[-1].key, o->key, strlen(l->key) + 2) != 0))
			return buf_printf(out, "| `%s` |  | a list, at most %zu | reload | %s |\n",
					  l->key, l->max, l->help);
	}
	return 0;
}

int conf_options_markdown(struct buf *out)
{
	int full = buf_printf(out,
			      "%s## Options\n\n| key | default | values | change by | meaning |\n"
			      "|---|---|---|---|---|\n",
			      MARKDOWN_HEAD);
	for (size_t i = 0; i < N_OPTIONS; i++)
		full |= put_list(out, &OPTIONS[i]) | put_row(out, &OPTIONS[i]);
	return full | buf_printf(out, "%s", MARKDOWN_TAIL);
}
