/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/address.h"
#include "conf/audit.h"
#include "conf/change.h"
#include "conf/clients.h"
#include "conf/discovery.h"
#include "conf/exporter.h"
#include "conf/header.h"
#include "conf/option.h"
#include "conf/redaction.h"
#include "conf/report.h"
#include "conf/sampling.h"
#include "conf/section.h"
#include "conf/tls.h"
#include "conf/yaml.h"

enum { KEY_MAX = 160 };

/* The preset, then what the file says; the defaults are there. */
static void read_exporter(void *into, const struct node *item, struct report *r)
{
	struct conf_exporter *e = into;
	const struct node *preset = node_child(item, "preset");
	struct report unheard = {.n = REPORT_MAX_FINDINGS}; /* section_read() says it again */
	e->chosen_by = "configuration";
	if (preset != NULL)
		option_set(option_find("exporters[].preset"), e, preset, &unheard);
	exporter_apply_preset(e, r);
	section_read("exporters[]", item, e, r);
	if (item->kind == NODE_MAP)
		exporter_complete(e, item, r);
}

static void choose_exporter(struct conf *c, struct report *r)
{
	struct conf_exporter *e = list_add(c, option_list_find("exporters"), r);
	if (e == NULL || r->no_memory)
		return;
	discover_exporter(e, r);
	exporter_apply_preset(e, r);
	exporter_complete(e, NULL, r);
}

static struct place place_in(const struct node *root, const char *section, const char *key)
{
	const struct node *n = node_child(node_child(root, section), key);
	return n != NULL ? n->at : (struct place){0, 0};
}

static void check_listeners(const struct conf *c, const struct node *root, struct report *r)
{
	const struct node *receivers = node_child(root, "receivers");
	const struct {
		const char *key, *listen;
		struct place at;
	} doors[] = {
	    {"receivers.otlp_grpc.listen", c->grpc.listen,
	     place_in(receivers, "otlp_grpc", "listen")},
	    {"receivers.otlp_http.listen", c->http.listen,
	     place_in(receivers, "otlp_http", "listen")},
	    {"admin.listen", c->admin.listen, place_in(root, "admin", "listen")},
	};
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < i; j++) {
			struct address a, b;
			if (address_read(&a, doors[i].listen) != NULL ||
			    address_read(&b, doors[j].listen) != NULL || !address_overlaps(&a, &b))
				continue;
			struct place at = doors[i].at.line != 0 ? doors[i].at : doors[j].at;
			report_fault(r, at, "%s: the same port as %s", doors[i].key, doors[j].key);
		}
	if (strcmp(c->grpc.listen, "off") == 0 && strcmp(c->http.listen, "off") == 0)
		report_warning(r, doors[0].at,
			       "every receiver is off: only what the journal holds will be sent");
}

/* Limits that are fine each by itself and shut a request out together. */
static void check_limits(const struct conf *c, const struct node *root, struct report *r)
{
	if (c->journal.limit_bytes / 10 * 9 < c->limits.request_bytes)
		report_warning(
		    r, place_in(root, "journal", "limit"),
		    "journal.limit: a request as large as limits.request will never fit");
	if (c->limits.memory_bytes / 2 < c->limits.request_bytes)
		report_warning(
		    r, place_in(root, "limits", "memory"),
		    "limits.memory: less than twice limits.request: the largest requests may "
		    "never fit");
}

/* What runs while this is read; NULL: nothing does. */
struct reload {
	const struct conf *running;
	struct buf *restart;
};

static void read_all(struct conf *c, struct slice text, const struct reload *reload,
		     struct report *r)
{
	struct document d;
	options_default("", c, r);
	bool whole = document_init(&d, text, r) && !r->no_memory;
	if (whole && d.root != NULL)
		section_read("", d.root, c, r);
	if (whole && reload != NULL && !r->no_memory)
		change_keep(c, reload->running, reload->restart, r);
	const struct node *list = whole ? node_child(d.root, "exporters") : NULL;
	if (list != NULL && !list->empty && (list->kind != NODE_LIST || list->first != NULL))
		list_read(c, "exporters", list, read_exporter, r);
	else if (whole)
		choose_exporter(c, r);
	if (whole && !r->no_memory) {
		check_listeners(c, d.root, r);
		check_limits(c, d.root, r);
		conf_tls_of_receivers(c, d.root, r);
		exporters_check(c, list, r);
		exporters_inherit(c);
		sampling_read(c, d.root, r);
		redaction_read(c, d.root, r);
		audit_conf_read(c, d.root, r);
		clients_read(c, d.root, r);
	}
	document_finish(&d);
}

static int finish_report(struct conf *c, struct report *r, const char *name, struct buf *findings)
{
	int rc = report_write(r, name, findings);
	if (rc != 0)
		conf_finish(c);
	free(r);
	return rc;
}

static int parse(struct conf *c, const char *name, struct slice text, const struct reload *reload,
		 struct buf *findings)
{
	*c = (struct conf){.data_dir = NULL};
	struct report *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	c->redaction.file = name;
	r->running = reload != NULL;
	read_all(c, text, reload, r);
	return finish_report(c, r, name, findings);
}

int conf_parse(struct conf *c, const char *name, struct slice text, struct buf *findings)
{
	return parse(c, name, text, NULL, findings);
}

/* The whole file: 0, or the errno. One byte more than allowed tells a file that is too large. */
int conf_read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	int rc = 0;
	ssize_t n = 1;
	while (n > 0 && out->len <= YAML_MAX_BYTES) {
		if (buf_reserve(out, 4096) != 0) {
			rc = ENOMEM;
			break;
		}
		n = read(fd, out->data + out->len, 4096);
		if (n > 0)
			out->len += (size_t)n;
		else if (n < 0 && errno != EINTR)
			rc = errno;
		else if (n < 0)
			n = 1;
	}
	close(fd);
	return rc == 0 && out->len > YAML_MAX_BYTES ? EFBIG : rc;
}

static int load(struct conf *c, const char *path, const struct reload *reload, struct buf *findings)
{
	struct buf text = {.data = NULL};
	int error = path != NULL ? conf_read_file(path, &text) : 0;
	int rc;
	if (error == 0) {
		rc = parse(c, path != NULL ? path : "defaults", buf_slice(&text), reload, findings);
	} else {
		*c = (struct conf){.data_dir = NULL};
		rc = error == ENOMEM || buf_printf(findings, "%s: cannot be read: %s\n", path,
						   error == EFBIG ? "larger than 1 MiB"
								  : strerrordesc_np(error)) != 0
			 ? -ENOMEM
			 : CONF_FAULTY;
	}
	buf_finish(&text);
	return rc;
}

int conf_load(struct conf *c, const char *path, struct buf *findings)
{
	return load(c, path, NULL, findings);
}

int conf_reload(struct conf *c, const char *path, const struct conf *running, struct buf *findings,
		struct buf *restart)
{
	const struct reload reload = {running, restart};
	return load(c, path, &reload, findings);
}

static void read_setting(struct conf_exporter *e, const char *key, const char *value,
			 struct report *r)
{
	char full[KEY_MAX];
	snprintf(full, sizeof(full), "exporters[].%s", key);
	const struct option *o = option_find(full);
	if (o != NULL) {
		option_set_text(o, e, value, r);
		return;
	}
	const char *equals = strchr(value, '=');
	char *header = strndup(value, equals != NULL ? (size_t)(equals - value) : 0);
	const char *wrong = equals == NULL   ? "wants NAME=VALUE"
			    : header == NULL ? HEADER_OUT_OF_MEMORY
					     : header_add(e, header, equals + 1);
	if (wrong != NULL)
		report_fault(r, (struct place){0, 0}, "%s %s %s", key, header != NULL ? header : "",
			     wrong);
	free(header);
}

int conf_exporter_init(struct conf_exporter *e, const char *const *settings, const char *name,
		       struct buf *findings)
{
	*e = (struct conf_exporter){.chosen_by = name};
	struct report *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	options_default("exporters[]", e, r);
	for (; settings[0] != NULL && !r->no_memory; settings += 2)
		read_setting(e, settings[0], settings[1], r);
	if (!r->no_memory && r->faults == 0)
		exporter_complete(e, NULL, r);
	int rc = report_write(r, name, findings);
	free(r);
	if (rc != 0)
		conf_exporter_finish(e);
	return rc;
}

void conf_exporter_finish(struct conf_exporter *e)
{
	options_free("exporters[]", e);
}

void conf_finish(struct conf *c)
{
	lists_free(c);
	options_free("", c);
	redaction_finish(&c->redaction);
	audit_conf_finish(&c->audit);
	*c = (struct conf){.data_dir = NULL};
}
