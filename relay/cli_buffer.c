/* SPDX-License-Identifier: Apache-2.0
 * spanrelay buffer, spanrelay quarantine: what waits on disk, read from the data folder itself, so
 * that it works beside a running relay and on a stopped one. What only the relay knows, why an
 * exporter waits and how fast it drains, it is asked for if it runs. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "relay/ask.h"
#include "relay/cli.h"
#include "relay/words.h"
#include "storage/survey.h"
#include "wire/otlp_splice.h"

static const char OPTIONS_HELP[] =
    "  -c, --config FILE     the relay's configuration, for its data folder and admin address\n"
    "      --data-dir DIR    that folder; ./spanrelay-data where neither is given\n"
    "      --admin ADDRESS   that address; 127.0.0.1:4320 where neither is given\n"
    "      --exporter NAME   this exporter only\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit codes: 0 done, 64 usage, 65 damage was found, 66 there is no such folder or exporter,\n"
    "69 no relay answers, 73 a file cannot be written, 74 the folder cannot be read, 78 wrong "
    "FILE.\n";
static const char BUFFER_HELP[] =
    "Usage: spanrelay buffer [list | export DIR | verify] [OPTIONS]\n"
    "\n"
    "  list        what each exporter has waiting in journal, outbox and quarantine, and why;\n"
    "              what waits for a decision whether it is kept\n"
    "  export DIR  writes what waits in journal and outbox to files, one request each, as OTLP\n"
    "              protobuf: curl -H 'content-type: application/x-protobuf' --data-binary @FILE\n"
    "  verify      reads every block and parcel and compares its checksum\n"
    "\n"
    "Works beside a running relay and on a stopped one; changes nothing.\n"
    "\n";
static const char QUARANTINE_HELP[] =
    "Usage: spanrelay quarantine [list | export DIR | send | clear] [OPTIONS]\n"
    "\n"
    "Spans that a backend called bad data while it took others.\n"
    "\n"
    "  list        each of them: when it came, how large it is, the backend's last status\n"
    "  export DIR  writes them to files, one request each, as OTLP protobuf\n"
    "  send        lets the running relay send them once more, say after the backend was mended\n"
    "  clear       lets the running relay give them up; they are counted as refused\n"
    "\n";

struct buffer_command {
	struct asking asking;
	char *data_dir; /* ours */
	const char *exporter, *verb, *target;
	struct survey *survey;
	bool quarantine;
};

/* ---- the command line ---- */

static bool read_conf(struct buffer_command *c, const char *file)
{
	struct conf conf;
	struct buf findings = {.data = NULL};
	bool found = conf_load(&conf, file, &findings) == 0;
	if (!found)
		fprintf(stderr, "%.*s", (int)findings.len,
			findings.data != NULL ? (const char *)findings.data : "");
	buf_finish(&findings);
	if (!found)
		return false;
	free(c->data_dir);
	c->data_dir = strdup(conf.data_dir);
	(void)address_read(&c->asking.admin, conf.admin.listen); /* off: nobody is asked */
	conf_finish(&conf);
	return c->data_dir != NULL;
}

static bool take(struct buffer_command *c, int option, int *code)
{
	const char *wanted;
	*code = EX_USAGE;
	switch (option) {
	case 'a':
		wanted = address_read(&c->asking.admin, optarg);
		if (wanted != NULL)
			fprintf(stderr, "spanrelay: --admin wants %s\n", wanted);
		return wanted == NULL;
	case 'c':
		*code = EX_CONFIG;
		return read_conf(c, optarg);
	case 'd':
		free(c->data_dir);
		c->data_dir = strdup(optarg);
		return c->data_dir != NULL;
	case 'e':
		c->exporter = optarg;
		return true;
	case 'h':
		fputs(c->quarantine ? QUARANTINE_HELP : BUFFER_HELP, stdout);
		fputs(OPTIONS_HELP, stdout);
		*code = EX_OK;
		return false;
	default:
		return false;
	}
}

static bool read_line(struct buffer_command *c, int argc, char **argv, int *code)
{
	static const struct option LONG[] = {
	    {"admin", required_argument, NULL, 'a'},    {"config", required_argument, NULL, 'c'},
	    {"data-dir", required_argument, NULL, 'd'}, {"exporter", required_argument, NULL, 'e'},
	    {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
	int option;
	while ((option = getopt_long(argc, argv, "c:h", LONG, NULL)) != -1)
		if (!take(c, option, code))
			return false;
	c->verb = optind < argc ? argv[optind++] : "list";
	bool export = strcmp(c->verb, "export") == 0;
	if (export && optind < argc)
		c->target = argv[optind++];
	*code = EX_USAGE;
	if (optind < argc)
		fprintf(stderr, "spanrelay %s: unexpected argument: %s\n", argv[0], argv[optind]);
	else if (export && c->target == NULL)
		fprintf(stderr, "spanrelay %s: export wants a folder to write to\n", argv[0]);
	else
		return true;
	return false;
}

/* ---- list ---- */

struct sum {
	uint64_t spans, bytes, items, damaged, lost, oldest_ms;
	bool print;
};

static int add_item(void *ctx, const struct survey_item *item)
{
	struct sum *s = ctx;
	s->bytes += item->bytes;
	s->items++;
	if (item->damaged) {
		s->damaged++;
		s->lost += item->spans;
	} else {
		s->spans += item->spans;
		if (s->oldest_ms == 0 || item->oldest_ms < s->oldest_ms)
			s->oldest_ms = item->oldest_ms;
	}
	return 0;
}

static const json_t *exporter_of(const json_t *status, const char *name)
{
	const json_t *list = json_object_get(status, "exporters");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *e = json_array_get(list, i);
		const char *its = json_string_value(json_object_get(e, "name"));
		if (its != NULL && strcmp(its, name) == 0)
			return e;
	}
	return NULL;
}

/* Why it waits, and until when at the rate of the last seconds. */
static void print_reason(const json_t *e, const struct sum *outbox)
{
	char text[128], time[32];
	if (e == NULL)
		return;
	const char *state = words_text(e, "state", text);
	int64_t status = json_integer_value(json_object_get(e, "last_status"));
	uint64_t rate = words_number(e, "drain_rate");
	if (strcmp(state, "ok") != 0)
		printf("%16s %s, last status %" PRId64 "\n", "waits:", state, status);
	if (outbox->spans != 0 && rate != 0)
		printf("%16s %" PRIu64 " spans/s beside %" PRIu64 " fresh ones, done in %s\n",
		       "drains:", rate, words_number(e, "fresh_rate"),
		       words_duration(outbox->spans / rate, time));
}

static void print_sum(const char *name, enum span_place place, const struct sum *s)
{
	char n[2][32], size[32], age[32], when[48] = "-";
	uint64_t now_ms = clock_wall_ms();
	if (s->oldest_ms != 0 && s->oldest_ms <= now_ms)
		snprintf(when, sizeof(when), "%s ago",
			 words_duration((now_ms - s->oldest_ms) / 1000, age));
	printf("%-16s %-10s %16s %10s %12s %s\n", name, PLACE_NAMES[place],
	       words_grouped(s->spans, n[0]), words_grouped(s->items, n[1]),
	       words_size(s->bytes, size), when);
	if (s->damaged != 0)
		printf("%-16s %-10s %16s spans in DAMAGED places\n", "", "",
		       words_grouped(s->lost, n[0]));
}

/* What no exporter has yet: its rest may be dropped. */
static int print_pending(struct buffer_command *c, const struct ledger *l)
{
	struct sum s = {0};
	int rc = survey_each_pending(c->survey, add_item, &s);
	s.spans = l->pending;
	if (s.items != 0 || s.spans != 0)
		print_sum("(pending)", PLACE_JOURNAL, &s);
	return rc;
}

static bool is_wanted(const struct buffer_command *c, const struct ledger_exporter *e)
{
	return c->exporter == NULL || strcmp(c->exporter, e->name) == 0;
}

static int list_all(struct buffer_command *c)
{
	char why[ASK_WHY];
	int code, rc = 0;
	const struct ledger *l = survey_ledger(c->survey);
	json_t *status = survey_is_live(c->survey) ? ask_status(&c->asking, &code, why) : NULL;
	printf("%-16s %-10s %16s %10s %12s %s\n", "EXPORTER", "PLACE", "SPANS", "REQUESTS", "BYTES",
	       "OLDEST");
	for (unsigned i = 0; rc == 0 && i < l->n_exporters; i++) {
		struct sum sums[PLACES] = {0};
		if (!is_wanted(c, &l->exporter[i]))
			continue;
		for (int p = 0; rc == 0 && p < PLACES; p++) {
			rc = survey_each(c->survey, i, (enum span_place)p, add_item, &sums[p]);
			print_sum(p == 0 ? l->exporter[i].name : "", (enum span_place)p, &sums[p]);
		}
		print_reason(exporter_of(status, l->exporter[i].name), &sums[PLACE_OUTBOX]);
	}
	if (rc == 0 && c->exporter == NULL)
		rc = print_pending(c, l);
	json_decref(status);
	if (!survey_is_live(c->survey))
		printf("No relay works on this folder.\n");
	return rc == 0 ? EX_OK : EX_IOERR;
}

static int print_span(void *ctx, const struct survey_item *item)
{
	const char *name = ctx;
	char size[32], age[32];
	uint64_t now_ms = clock_wall_ms();
	if (item->damaged)
		printf("%-16s %12" PRIu64 "  DAMAGED\n", name, item->id);
	else
		printf("%-16s %12" PRIu64 "  %5d  %10s  %s ago\n", name, item->id, item->status,
		       words_size(item->bytes, size),
		       words_duration(
			   item->oldest_ms < now_ms ? (now_ms - item->oldest_ms) / 1000 : 0, age));
	return 0;
}

/* Over the exporters and places that the command is about. */
static int each(struct buffer_command *c, int (*on_item)(void *ctx, const struct survey_item *item),
		void *(*begin)(void *ctx, const char *exporter), void *ctx)
{
	const struct ledger *l = survey_ledger(c->survey);
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < l->n_exporters; i++) {
		if (!is_wanted(c, &l->exporter[i]))
			continue;
		void *item_ctx = begin(ctx, l->exporter[i].name);
		for (int p = 0; rc == 0 && p < PLACES; p++)
			if ((p == PLACE_QUARANTINE) == c->quarantine)
				rc = survey_each(c->survey, i, (enum span_place)p, on_item,
						 item_ctx);
	}
	return rc;
}

static void *begin_names(void *ctx, const char *exporter)
{
	union {
		const char *in;
		void *out;
	} unconst = {exporter}; /* print_span() only reads it */
	(void)ctx;
	return unconst.out;
}

static int list_spans(struct buffer_command *c)
{
	printf("%-16s %12s  %5s  %10s  %s\n", "EXPORTER", "SPAN", "STATUS", "BYTES", "CAME");
	return each(c, print_span, begin_names, NULL) == 0 ? EX_OK : EX_IOERR;
}

/* ---- verify ---- */

static void *begin_sum(void *ctx, const char *exporter)
{
	(void)exporter;
	return ctx;
}

static int verify_item(void *ctx, const struct survey_item *item)
{
	if (item->damaged)
		printf("damaged: %s %" PRIu64 ", %" PRIu64 " spans\n", PLACE_NAMES[item->place],
		       item->id, item->spans);
	return add_item(ctx, item);
}

static int verify_pending(void *ctx, const struct survey_item *item)
{
	if (item->damaged)
		printf("damaged: pending %" PRIu64 "\n", item->id);
	return add_item(ctx, item);
}

static int verify(struct buffer_command *c)
{
	struct sum s = {0};
	char n[3][32], size[32];
	int rc = each(c, verify_item, begin_sum, &s);
	c->quarantine = true;
	if (rc == 0)
		rc = each(c, verify_item, begin_sum, &s);
	if (rc == 0)
		rc = survey_each_pending(c->survey, verify_pending, &s);
	printf("%s spans in %s blocks and parcels, %s: %s damaged\n", words_grouped(s.spans, n[0]),
	       words_grouped(s.items, n[1]), words_size(s.bytes, size),
	       words_grouped(s.damaged, n[2]));
	if (rc != 0)
		return EX_IOERR;
	return s.damaged == 0 ? EX_OK : EX_DATAERR;
}

/* ---- export ---- */

struct files_out {
	const char *dir, *exporter;
	struct splice *splice;
	struct codec *codec;
	struct buf body, plain;
	uint64_t files, spans, damaged, told_ms;
};

static void *begin_files(void *ctx, const char *exporter)
{
	struct files_out *f = ctx;
	f->exporter = exporter;
	return f;
}

static int splice_block(struct files_out *f, const struct survey_item *item)
{
	struct record r;
	uint32_t at = item->from.offset, span = item->from.span, next;
	int rc = 0;
	splice_reset(f->splice, SIZE_MAX);
	for (; rc == 0 && (next = block_record(item->block, at, &r)) != 0; at = next, span = 0)
		rc = splice_add(f->splice, r.payload, &span, UINT32_MAX);
	return rc != 0 ? rc : splice_write(f->splice, &f->plain);
}

static int splice_parcel(struct files_out *f, const struct survey_item *item)
{
	const struct parcel *p = item->parcel;
	uint32_t span = (uint32_t)item->first;
	struct slice request = p->body;
	f->body.len = 0;
	if (p->coding != CODING_IDENTITY) {
		if (codec_decompress(f->codec, p->coding, p->body, PARCEL_MAX_BODY, &f->body) != 0)
			return -EIO;
		request = buf_slice(&f->body);
	}
	splice_reset(f->splice, SIZE_MAX);
	int rc = splice_add(f->splice, request, &span, UINT32_MAX);
	return rc != 0 ? rc : splice_write(f->splice, &f->plain);
}

static int write_file(const struct files_out *f, const struct survey_item *item)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s-%s-%016" PRIx64 ".pb", f->dir, f->exporter,
		 PLACE_NAMES[item->place], item->id);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t n = fd >= 0 ? write(fd, f->plain.data, f->plain.len) : -1;
	if (fd >= 0 && close(fd) == 0 && n == (ssize_t)f->plain.len)
		return 0;
	fprintf(stderr, "spanrelay: cannot write %s: %s\n", path, strerrordesc_np(errno));
	return -EIO;
}

static int export_item(void *ctx, const struct survey_item *item)
{
	struct files_out *f = ctx;
	f->plain.len = 0;
	if (item->damaged) {
		f->damaged++;
		return 0;
	}
	int rc = item->block != NULL ? splice_block(f, item) : splice_parcel(f, item);
	if (rc == 0)
		rc = write_file(f, item);
	f->files++;
	f->spans += item->spans;
	if (clock_mono_ms() - f->told_ms > 2000) {
		f->told_ms = clock_mono_ms();
		fprintf(stderr, "%" PRIu64 " spans in %" PRIu64 " files so far\n", f->spans,
			f->files);
	}
	return rc;
}

static int export_all(struct buffer_command *c)
{
	struct files_out f = {.dir = c->target, .told_ms = clock_mono_ms()};
	if (mkdir(c->target, 0700) != 0 && errno != EEXIST) {
		fprintf(stderr, "spanrelay: cannot make %s: %s\n", c->target,
			strerrordesc_np(errno));
		return EX_CANTCREAT;
	}
	f.splice = splice_create(SIZE_MAX);
	f.codec = codec_create();
	int rc =
	    f.splice != NULL && f.codec != NULL ? each(c, export_item, begin_files, &f) : -ENOMEM;
	splice_destroy(f.splice);
	codec_destroy(f.codec);
	buf_finish(&f.body);
	buf_finish(&f.plain);
	printf("%" PRIu64 " spans in %" PRIu64 " files in %s, %" PRIu64 " damaged places\n",
	       f.spans, f.files, c->target, f.damaged);
	if (rc != 0)
		return EX_CANTCREAT;
	return f.damaged == 0 ? EX_OK : EX_DATAERR;
}

/* ---- what only the running relay can do ---- */

static int command_relay(struct buffer_command *c)
{
	char path[160], why[ASK_WHY];
	struct buf body = {.data = NULL};
	snprintf(path, sizeof(path), "/quarantine/%s%s%.64s", c->verb,
		 c->exporter != NULL ? "?exporter=" : "", c->exporter != NULL ? c->exporter : "");
	int code = ask_to(&c->asking, path, &body, why);
	buf_finish(&body);
	if (code != 0)
		fprintf(stderr, "spanrelay quarantine: %s\n", why);
	return code;
}

static int open_survey(struct buffer_command *c)
{
	struct survey *s = NULL;
	int rc = survey_open(&s, c->data_dir);
	c->survey = s;
	if (rc == SURVEY_NONE)
		fprintf(stderr, "spanrelay: there is no relay's data in %s\n", c->data_dir);
	else if (rc == SURVEY_BAD)
		fprintf(stderr,
			"spanrelay: the journal in %s is damaged; a relay that starts on it "
			"saves what is readable\n",
			c->data_dir);
	return rc == 0 ? 0 : rc == SURVEY_NONE ? EX_NOINPUT : EX_IOERR;
}

static bool knows_exporter(const struct buffer_command *c)
{
	const struct ledger *l = survey_ledger(c->survey);
	for (unsigned i = 0; i < l->n_exporters; i++)
		if (is_wanted(c, &l->exporter[i]))
			return true;
	fprintf(stderr, "spanrelay: there is no exporter %s\n",
		c->exporter != NULL ? c->exporter : "");
	return false;
}

static int run(struct buffer_command *c)
{
	if (strcmp(c->verb, "list") == 0)
		return c->quarantine ? list_spans(c) : list_all(c);
	if (strcmp(c->verb, "export") == 0)
		return export_all(c);
	if (strcmp(c->verb, "verify") == 0 && !c->quarantine)
		return verify(c);
	fprintf(stderr, "spanrelay: there is no %s here; --help tells what there is\n", c->verb);
	return EX_USAGE;
}

static int buffer_command(int argc, char **argv, bool quarantine)
{
	struct buffer_command c = {.quarantine = quarantine,
				   .data_dir = strdup("./spanrelay-data")};
	int code = EX_OSERR;
	address_read(&c.asking.admin, "127.0.0.1:4320");
	if (c.data_dir == NULL || !read_line(&c, argc, argv, &code))
		goto done;
	if (quarantine && (strcmp(c.verb, "send") == 0 || strcmp(c.verb, "clear") == 0)) {
		code = command_relay(&c);
		goto done;
	}
	code = open_survey(&c);
	if (code == 0)
		code = knows_exporter(&c) ? run(&c) : EX_NOINPUT;
	survey_close(c.survey);
done:
	free(c.data_dir);
	return code;
}

int cli_buffer(int argc, char **argv)
{
	return buffer_command(argc, argv, false);
}

int cli_quarantine(int argc, char **argv)
{
	return buffer_command(argc, argv, true);
}
