/* SPDX-License-Identifier: Apache-2.0
 * Reloads as the main room sees them: whose turn it is, what it takes over of another world, and
 * what it says of it, to the log and to the keeper. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/worker_internal.h"

static void begin_turn(struct worker *w)
{
	enum turn_kind kind;
	uint64_t turn = w->state == SERVING ? turns_begin(&w->turns, &kind) : 0;
	if (turn == 0)
		return;
	w->asking = w->asked;
	w->reload = reload_begin(&w->relay, w->relay.world, turn, kind == TURN_DRY_RUN);
	if (w->reload != NULL)
		return;
	fail(-ENOMEM, "reload: no memory");
	turns_end(&w->turns); /* whoever waits for it is told nothing, and gives up */
}

uint64_t worker_ask_reload(struct worker *w, bool dry_run, struct asked by)
{
	if (!dry_run)
		w->asked = by;
	uint64_t turn = turns_ask(&w->turns, dry_run ? TURN_DRY_RUN : TURN_RELOAD);
	begin_turn(w);
	return turn;
}

static void log_lines(enum log_level level, const char *message, const char *key,
		      const struct buf *lines)
{
	const char *at = (const char *)lines->data, *end = at + lines->len;
	while (lines->len != 0 && at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		int len = (int)((stop != NULL ? stop : end) - at);
		char text[1024]; /* whose quotes do not end the value */
		snprintf(text, sizeof(text), "%.*s", len, at);
		for (char *quote = text; (quote = strchr(quote, '"')) != NULL;)
			*quote = '\'';
		log_line(level, message, "%s=\"%s\"", key, text);
		at += len + 1;
	}
}

static void log_reload(const struct reload_note *n)
{
	bool faulty = n->result == RELOAD_INVALID;
	unsigned long long built = n->built_ms - n->began_ms, all = clock_mono_ms() - n->began_ms;
	log_lines(faulty ? LOG_ERROR : LOG_WARN, "configuration", "finding", &n->news.findings);
	if (n->dry_run)
		return;
	log_lines(LOG_WARN, "a change needs a restart", "change", &n->news.restart);
	if (n->result == RELOAD_APPLIED)
		log_lines(LOG_INFO, "configuration changed", "change", &n->news.changes);
	log_line(
	    n->result == RELOAD_APPLIED || n->result == RELOAD_UNCHANGED ? LOG_INFO : LOG_ERROR,
	    "reload", "result=%s generation=%llu build_ms=%llu ms=%llu",
	    RELOAD_RESULT_NAMES[n->result],
	    (unsigned long long)(n->result == RELOAD_APPLIED ? n->world->number : n->was->number),
	    built, all);
}

void worker_report(const struct worker *w, char what)
{
	if (write(w->report, &what, 1) != 1)
		log_warn("the keeper does not listen", "pid=%d", (int)getppid());
}

/* How long its patience with a stop has to last. */
static void report_deadline(const struct worker *w)
{
	char message[1 + sizeof(uint64_t)] = {REPORT_DEADLINE};
	memcpy(message + 1, &w->relay.world->conf.shutdown_ms, sizeof(uint64_t));
	if (write(w->report, message, sizeof(message)) != (ssize_t)sizeof(message))
		log_warn("the keeper does not listen", "pid=%d", (int)getppid());
}

static void report_secrets(const struct worker *w, struct slice names)
{
	while (names.len != 0) {
		uint8_t message[2 + UINT8_MAX] = {REPORT_SECRET};
		size_t len = strnlen((const char *)names.data, names.len);
		message[1] = (uint8_t)len;
		memcpy(message + 2, names.data, len);
		if (write(w->report, message, 2 + len) != (ssize_t)(2 + len))
			log_warn("the keeper does not listen", "pid=%d", (int)getppid());
		names = slice_of(names.data + len + 1, names.len - len - 1);
	}
}

void worker_show_world(struct worker *w)
{
	const struct world *world = w->relay.world;
	metric_set(&w->relay.metrics, METRIC_RELOAD_GENERATION, world->number);
	metric_set(&w->relay.metrics, METRIC_RELOAD_GOOD, world->unix_ms);
	metric_set(&w->relay.metrics, METRIC_MEMORY_LIMIT_BYTES, world->conf.limits.memory_bytes);
	w->relay.account.limit = world->conf.limits.memory_bytes;
	log_setup((enum log_level)world->conf.log.level, world->conf.log.json);
	report_deadline(w);
}

static void log_exporter(const struct conf_exporter *e)
{
	log_info("exporter", "name=%s endpoint=\"%s\" chosen_by=\"%s\"", e->name, e->endpoint,
		 e->chosen_by);
	if (e->tls.skip_verify)
		log_warn("any certificate is believed",
			 "exporter=%s reason=\"tls.skip_verify: whoever answers gets spans and "
			 "headers\"",
			 e->name);
	if (e->tls.insecure && strncmp(e->endpoint, "http://", 7) == 0)
		log_warn("headers go in plain text",
			 "exporter=%s reason=\"tls.insecure: everybody on the way can read them\"",
			 e->name);
}

/* Those that are new, or go another way. */
void worker_log_exporters(const struct world *world)
{
	for (size_t i = 0; i < world->conf.n_exporters; i++)
		if (world->since.tls[world->slot[i]] == world->number)
			log_exporter(&world->conf.exporters[i]);
}

/* All rooms hold the new one. */
static void take_world(struct worker *w, struct reload_note *n)
{
	for (unsigned i = 0; i < n->n_intakes && n->news.redaction; i++) {
		found_add(&w->found, n->intakes[i].redactor, n->was->rules);
		w->redactors[i] = n->intakes[i].made;
	}
	memcpy(w->stats, n->stats, sizeof(w->stats));
	w->relay.world = n->world;
	if (w->admin != NULL)
		admin_use(w->admin, &n->world->conf, n->world->rules);
	worker_show_world(w);
	worker_log_exporters(n->world);
}

static void hide_removed(struct worker *w, struct reload_note *n)
{
	for (unsigned i = 0; i < CONF_MAX_EXPORTERS; i++)
		if (n->moves[i] == EXPORTER_REMOVED)
			w->stats[i] = NULL;
}

void worker_on_reload(struct worker *w, struct reload_note *n)
{
	static const enum metric COUNTERS[RELOAD_RESULTS] = {
	    METRIC_RELOADS_APPLIED, METRIC_RELOADS_UNCHANGED, METRIC_RELOADS_INVALID,
	    METRIC_RELOADS_FAILED};
	if (n->stop == RELOAD_HIDE) {
		hide_removed(w, n);
		reload_next(&w->relay, n);
		return;
	}
	report_secrets(w, buf_slice(&n->news.variables));
	if (n->result == RELOAD_APPLIED && !n->dry_run)
		take_world(w, n);
	if (!n->dry_run)
		metric_add(&w->relay.metrics, COUNTERS[n->result], 1);
	log_reload(n);
	if (!n->dry_run)
		audit_reload(&w->relay.auditor, n, w->asking.trigger, w->asking.who);
	if (w->admin != NULL)
		admin_on_reloaded(w->admin, n);
	w->reload = NULL;
	reload_next(&w->relay, n); /* to be buried */
	turns_end(&w->turns);
	begin_turn(w);
}
