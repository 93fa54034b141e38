/* SPDX-License-Identifier: Apache-2.0
 * spanrelay test: unit tests for rules. Sample traces go, as OTLP bytes, through the conditions and
 * the order of rules that a relay would judge them by. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/distance.h"
#include "conf/sampling.h"
#include "conf/unit.h"
#include "pipeline/policy.h"
#include "relay/cli.h"
#include "relay/test_trace.h"
#include "wire/otlp_index.h"

static const char HELP[] =
    "Usage: spanrelay test FILE\n"
    "\n"
    "Unit tests for sampling rules: each has a trace and says which rule should decide on it. FILE "
    "is\n"
    "YAML (docs/sampling.md; conf/rules.test.yaml is an example):\n"
    "\n"
    "  config: sampling.yaml       # beside FILE; or `sampling:` and `budgets:` themselves\n"
    "  tests:\n"
    "    - name: a slow checkout is kept\n"
    "      spans:                  # the first one is the root\n"
    "        - { name: POST /pay, kind: server, service: checkout, duration: 3s }\n"
    "        - { name: charge, service: bank, attributes: { http.response.status_code: 200 } }\n"
    "      rule: slow\n"
    "      keep: 100%              # or true, false; where the rule has a fixed share\n"
    "\n"
    "A rule with rollout_percent is seen by every trace here; one with dry_run decides nothing.\n"
    "\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit codes: 0 all passed, 1 some failed, 64 usage, 65 FILE is wrong, 66 it cannot be read, 78 "
    "the\n"
    "configuration is wrong.\n";

static const char FILE_KEYS[] = "config sampling budgets tests";
static const char TEST_KEYS[] = "name spans rule keep";

enum { SOME_FAILED = 1, TRACE_BYTES = 256 << 20, PATH_BYTES = 4096 };

struct run {
	const char *file;
	struct document document;
	struct report *report;
	struct conf conf;
	struct policy *policy;
	struct condition_scratch *scratch;
	unsigned passed, failed;
};

/* Prints what `r` says of the test file. Whether there were faults. */
static bool has_faults(struct run *run)
{
	struct buf findings = {.data = NULL};
	int rc = report_write(run->report, run->file, &findings);
	fprintf(stderr, "%.*s", (int)findings.len,
		findings.len != 0 ? (const char *)findings.data : "");
	buf_finish(&findings);
	return rc != 0;
}

/* ---- one trace ---- */

struct seen {
	struct trace_facts facts;
	uint64_t first_ns, last_ns;
};

static void on_span(void *user, const struct span_facts *f)
{
	struct seen *s = user;
	struct trace_facts *t = &s->facts;
	uint64_t end = f->end_ns > f->start_ns ? f->end_ns : f->start_ns;
	for (int i = 0; i < CONDITION_BIT_WORDS; i++)
		t->bits[i] |= f->bits[i];
	s->first_ns = t->spans == 0 || f->start_ns < s->first_ns ? f->start_ns : s->first_ns;
	s->last_ns = end > s->last_ns ? end : s->last_ns;
	if (f->is_root && !t->has_root)
		t->duration_ns = span_duration_ns(f);
	t->has_root = t->has_root || f->is_root;
	if (!t->has_root)
		t->duration_ns = s->last_ns - s->first_ns;
	t->bytes += f->length;
	t->errors += f->is_error;
	t->spans++;
}

/* As the relay would take it in; false: it would not. */
static bool look_at(struct run *run, const struct node *spans, struct slice request,
		    struct trace_facts *facts)
{
	struct arena arena;
	struct otlp_index ix;
	struct seen seen = {.first_ns = 0};
	arena_init(&arena, TRACE_BYTES);
	enum index_verdict verdict = otlp_index(&ix, request, &INDEX_LIMITS, &arena);
	if (verdict == INDEX_OK && ix.rejected != 0)
		verdict = ix.why;
	bool good = verdict == INDEX_OK && ix.edits == NULL;
	arena_finish(&arena);
	if (!good) {
		report_fault(run->report, spans->at, "the relay would not take this trace: %s",
			     verdict != INDEX_OK ? INDEX_REASONS[verdict] : "it holds bad text");
		return false;
	}
	condition_evaluate(run->policy->set, run->scratch, request, on_span, &seen);
	*facts = seen.facts;
	return true;
}

/* The last one takes everything. */
static uint32_t deciding_rule(const struct policy *p, const struct trace_facts *facts)
{
	uint32_t rule = 0;
	while (rule + 1 < p->n_rules &&
	       (p->rules[rule].dry_run || !policy_holds(p, p->rules[rule].condition, facts)))
		rule++;
	return rule;
}

/* ---- what was expected ---- */

struct expectation {
	uint32_t rule; /* UINT32_MAX: only a share is */
	bool has_share;
	double share;
};

static uint32_t find_rule(struct run *run, const struct node *n)
{
	const struct policy *p = run->policy;
	unsigned best = DISTANCE_WORD_MAX;
	const char *nearest = NULL;
	for (uint32_t i = 0; i < p->n_rules; i++) {
		unsigned d = word_distance(n->text, p->rules[i].name);
		if (strcmp(n->text, p->rules[i].name) == 0)
			return i;
		if (d < best) {
			best = d;
			nearest = p->rules[i].name;
		}
	}
	if (nearest != NULL && distance_is_near(best, n->text))
		report_fault(run->report, n->at, "rule: no rule \"%.64s\"; did you mean \"%s\"?",
			     n->text, nearest);
	else
		report_fault(run->report, n->at, "rule: no rule \"%.64s\" in the configuration",
			     n->text);
	return UINT32_MAX;
}

static bool is_scalar(const struct node *n)
{
	return n != NULL && !n->bad && n->kind == NODE_SCALAR && !n->empty;
}

static bool has_goal(const struct run *run, uint32_t rule)
{
	return rule < run->conf.sampling.n_rules &&
	       run->conf.sampling.rules[rule].keep.kind == KEEP_GOAL;
}

static void read_share(struct run *run, const struct node *keep, struct expectation *e)
{
	e->has_share = true;
	if (strcmp(keep->text, "true") == 0)
		e->share = 1;
	else if (strcmp(keep->text, "false") == 0)
		e->share = 0;
	else if (unit_share(keep->text, false, &e->share) != 0)
		report_fault(run->report, keep->at,
			     "keep: wanted true, false or a percentage such as 50%%");
	if (e->rule != UINT32_MAX && has_goal(run, e->rule))
		report_fault(run->report, keep->at,
			     "keep: rule \"%s\" has no fixed share: its goal decides",
			     run->policy->rules[e->rule].name);
}

static struct expectation read_expectation(struct run *run, const struct node *test)
{
	struct expectation e = {.rule = UINT32_MAX};
	const struct node *rule = node_child(test, "rule"), *keep = node_child(test, "keep");
	if (is_scalar(rule))
		e.rule = find_rule(run, rule);
	else if (rule != NULL)
		report_fault(run->report, rule->at, "rule: wanted the name of a rule");
	if (is_scalar(keep))
		read_share(run, keep, &e);
	else if (keep != NULL)
		report_fault(run->report, keep->at,
			     "keep: wanted true, false or a percentage such as 50%%");
	if (rule == NULL && keep == NULL)
		report_fault(run->report, test->at, "tests[]: wanted what to expect: rule or keep");
	return e;
}

/* ---- the verdict ---- */

static void print_condition(const struct run *run, uint32_t rule)
{
	const struct conf_text *when =
	    rule < run->conf.sampling.n_rules ? &run->conf.sampling.rules[rule].when : NULL;
	if (when == NULL || when->text == NULL)
		printf("every trace");
	else
		printf("%s", when->secret ? "(from the environment)" : when->text);
}

static void print_why(const struct run *run, uint32_t want, uint32_t got,
		      const struct trace_facts *facts)
{
	const struct policy *p = run->policy;
	if (p->rules[want].dry_run)
		printf("%s is a dry run, which decides nothing", p->rules[want].name);
	else if (got < want) {
		printf("it comes first and takes ");
		print_condition(run, got);
	} else {
		printf("%s does not hold: ", p->rules[want].name);
		print_condition(run, want);
	}
	printf(" (%u span%s, %u error%s, %.15gms, %s)\n", facts->spans,
	       facts->spans == 1 ? "" : "s", facts->errors, facts->errors == 1 ? "" : "s",
	       (double)facts->duration_ns / 1e6, facts->has_root ? "with a root" : "no root");
}

static bool passes(const struct run *run, const char *name, const struct expectation *e,
		   const struct trace_facts *facts)
{
	const struct policy_rule *rules = run->policy->rules;
	uint32_t got = deciding_rule(run->policy, facts);
	if (e->rule != UINT32_MAX && e->rule != got) {
		printf("FAILED %s: expected rule %s, got %s because ", name, rules[e->rule].name,
		       rules[got].name);
		print_why(run, e->rule, got, facts);
		return false;
	}
	if (e->has_share && has_goal(run, got)) {
		printf("FAILED %s: expected keep %g%%, got rule %s because no rule before it "
		       "holds; it has no fixed share\n",
		       name, e->share * 100, rules[got].name);
		return false;
	}
	if (e->has_share && fabs(e->share - rules[got].share) > 1e-9) {
		printf("FAILED %s: expected keep %g%%, got %g%% because rule %s decides\n", name,
		       e->share * 100, rules[got].share * 100, rules[got].name);
		return false;
	}
	printf("ok %s\n", name);
	return true;
}

/* Faults of the file are reported; what is already said stays said. */
static void run_test(struct run *run, const struct node *test)
{
	struct buf request = {.data = NULL};
	struct trace_facts facts;
	uint32_t faults = run->report->faults;
	if (!test_keys_check(test, "tests[]", TEST_KEYS, run->report))
		return;
	const struct node *name = node_child(test, "name"), *spans = node_child(test, "spans");
	if (!is_scalar(name))
		report_fault(run->report, test->at, "tests[].name is missing");
	if (spans == NULL)
		report_fault(run->report, test->at, "tests[].spans is missing");
	struct expectation e = read_expectation(run, test);
	if (spans != NULL)
		test_trace_encode(spans, run->report, &request);
	if (run->report->faults == faults && !run->report->no_memory &&
	    look_at(run, spans, buf_slice(&request), &facts)) {
		if (passes(run, name->text, &e, &facts))
			run->passed++;
		else
			run->failed++;
	}
	buf_finish(&request);
}

/* ---- the files ---- */

/* A path in the test file is beside it. */
static void beside(const char *file, const char *path, char out[PATH_BYTES])
{
	const char *slash = strrchr(file, '/');
	int folder = slash != NULL && *path != '/' ? (int)(slash + 1 - file) : 0;
	snprintf(out, PATH_BYTES, "%.*s%s", folder, file, path);
}

static int compile(struct run *run, const char *name, int rc, struct buf *findings)
{
	if (rc == 0)
		rc = policy_create(&run->policy, &run->conf, name, findings);
	fprintf(stderr, "%.*s", (int)findings->len,
		findings->len != 0 ? (const char *)findings->data : "");
	buf_finish(findings);
	return rc == 0 ? EX_OK : rc < 0 ? EX_OSERR : EX_CONFIG;
}

static int load_config(struct run *run, const struct node *config)
{
	struct buf findings = {.data = NULL};
	char path[PATH_BYTES];
	beside(run->file, config->text, path);
	return compile(run, path, conf_load(&run->conf, path, &findings), &findings);
}

static int take_inline(struct run *run)
{
	struct buf findings = {.data = NULL};
	struct report *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return EX_OSERR;
	sampling_read_alone(&run->conf, run->document.root, r);
	int rc = report_write(r, run->file, &findings);
	free(r);
	return compile(run, run->file, rc, &findings);
}

/* The rules: from where `config` says, or from the test file itself. */
static int load_rules(struct run *run)
{
	const struct node *root = run->document.root, *config = node_child(root, "config");
	const struct node *sampling = node_child(root, "sampling");
	bool has_own = sampling != NULL || node_child(root, "budgets") != NULL;
	if (config != NULL && has_own)
		report_fault(run->report, config->at,
			     "config: the file has rules of its own; keep one of them");
	else if (config == NULL && !has_own)
		report_fault(run->report, root->at,
			     "wanted the rules: config: FILE, or sampling and budgets");
	else if (config != NULL && !is_scalar(config))
		report_fault(run->report, config->at, "config: wanted the path of a file");
	if (has_faults(run))
		return EX_DATAERR;
	return config != NULL ? load_config(run, config) : take_inline(run);
}

static int run_tests(struct run *run)
{
	const struct node *tests = node_child(run->document.root, "tests");
	if (tests == NULL || tests->kind != NODE_LIST || tests->first == NULL) {
		report_fault(run->report, tests != NULL ? tests->at : run->document.root->at,
			     "tests: wanted a list, each one a map: - { name: ... }");
		return has_faults(run) ? EX_DATAERR : EX_OSERR;
	}
	run->scratch = condition_scratch_create(run->policy->set);
	if (run->scratch == NULL)
		return EX_OSERR;
	for (const struct node *test = tests->first; test != NULL; test = test->next)
		run_test(run, test);
	if (has_faults(run))
		return run->report->no_memory ? EX_OSERR : EX_DATAERR;
	printf("%u passed, %u failed\n", run->passed, run->failed);
	return run->failed == 0 ? EX_OK : SOME_FAILED;
}

static int run_document(struct run *run, struct slice text)
{
	bool whole = document_init(&run->document, text, run->report);
	if (whole && run->document.root == NULL)
		report_fault(run->report, (struct place){0, 0}, "an empty file");
	else if (whole)
		test_keys_check(run->document.root, "the file", FILE_KEYS, run->report);
	if (has_faults(run) || run->document.root == NULL)
		return run->report->no_memory ? EX_OSERR : EX_DATAERR;
	int code = load_rules(run);
	return code == EX_OK ? run_tests(run) : code;
}

static int run_file(const char *file)
{
	struct run run = {.file = file, .report = calloc(1, sizeof(struct report))};
	struct buf text = {.data = NULL};
	int error = conf_read_file(file, &text);
	int code = EX_OSERR;
	if (error == 0 && run.report != NULL) {
		code = run_document(&run, buf_slice(&text));
		document_finish(&run.document);
	} else if (error != 0) {
		fprintf(stderr, "%s: cannot be read: %s\n", file,
			error == EFBIG ? "larger than 1 MiB" : strerrordesc_np(error));
		code = EX_NOINPUT;
	}
	condition_scratch_destroy(run.scratch);
	policy_destroy(run.policy);
	conf_finish(&run.conf);
	buf_finish(&text);
	free(run.report);
	return code;
}

int cli_test(int argc, char **argv)
{
	static const struct option LONG[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c;
	while ((c = getopt_long(argc, argv, "h", LONG, NULL)) != -1) {
		if (c != 'h')
			return EX_USAGE;
		fputs(HELP, stdout);
		return EX_OK;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "spanrelay test: one file of tests, please; --help tells more\n");
		return EX_USAGE;
	}
	return run_file(argv[optind]);
}
