/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/option.h"

#include "conf/conf.h"
#include "conf/unit.h"

#define KIB    ((uint64_t)1 << 10)
#define MIB    ((uint64_t)1 << 20)
#define GIB    ((uint64_t)1 << 30)
#define TIB    ((uint64_t)1 << 40)
#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define DAY    ((uint64_t)24 * 60 * MINUTE)

#define AT(field) offsetof(struct conf, field), sizeof(((struct conf *)NULL)->field)
#define IN_EXPORTER(field)                                                                         \
	offsetof(struct conf_exporter, field), sizeof(((struct conf_exporter *)NULL)->field)

static const char *const LEVELS[] = {"error", "warn", "info", "debug", NULL};
static const char *const FORMATS[] = {"text", "json", NULL};
static const char *const PROTOCOLS[] = {"grpc", "http/protobuf", "terminal", NULL};
static const char *const COMPRESSIONS[] = {"gzip", "zstd", "none", NULL};
static const char *const WHEN_FULL[] = {"refuse", "drop_oldest", NULL};
static const char *const WHEN_FULL_HERE[] = {"refuse", "drop_oldest", "inherit", NULL};
static const char *const PRESETS[] = {"none", "lightstep", NULL};

const struct option OPTIONS[] = {
    {"data_dir", OPTION_TEXT, AT(data_dir), "./spanrelay-data", 1, 1024, NULL,
     "Folder of the journal; made with mode 0700 if it is missing. One relay works on a folder."},
    {"receivers.otlp_grpc.listen", OPTION_LISTEN, AT(grpc.listen), "127.0.0.1:4317", 0, 0, NULL,
     "Where OTLP/gRPC comes in, or `off`."},
    {"receivers.otlp_http.listen", OPTION_LISTEN, AT(http.listen), "127.0.0.1:4318", 0, 0, NULL,
     "Where OTLP/HTTP comes in, on HTTP/1.1 and HTTP/2, or `off`."},
    {"admin.listen", OPTION_LISTEN, AT(admin.listen), "127.0.0.1:4320", 0, 0, NULL,
     "Metrics, health and status, or `off`. Knows no passwords: keep it on a private address."},

    {"limits.request", OPTION_SIZE, AT(limits.request_bytes), "16MiB", KIB, 16 * MIB, NULL,
     "Largest request, before and after decompression. A journal block holds a whole request and "
     "ends at 16MiB."},
    {"limits.connections", OPTION_COUNT, AT(limits.connections), "4096", 1, 1000000, NULL,
     "Client connections at a time; further ones wait to be accepted."},
    {"limits.memory", OPTION_SIZE, AT(limits.memory_bytes), "256MiB", 8 * MIB, 1024 * GIB, NULL,
     "All that is held on behalf of clients. Near it requests are refused for a moment, with a "
     "time to come back."},
    {"limits.spans", OPTION_COUNT, AT(limits.spans), "65536", 1, 1000000, NULL,
     "Spans in one request."},

    {"journal.linger", OPTION_TIME, AT(journal.linger_ms), "8ms", 0, SECOND, NULL,
     "The oldest request waits this long for others to share its disk sync. Longer: fewer syncs, "
     "later answers."},
    {"journal.group", OPTION_SIZE, AT(journal.group_bytes), "1MiB", 4 * KIB, 256 * MIB, NULL,
     "Syncs at once when this much waits."},
    {"journal.limit", OPTION_SIZE, AT(journal.limit_bytes), "2GiB", 16 * MIB, 1024 * GIB, NULL,
     "Size of the journal on disk. When it is full, new requests are refused and nothing held is "
     "lost."},

    {"outbox.limit", OPTION_SIZE, AT(outbox.limit_bytes), "10GiB", 16 * MIB, 1024 * TIB, NULL,
     "What waits for a backend that does not keep up goes from the journal to files of their own, "
     "at most this much for each exporter."},
    {"outbox.max_age", OPTION_TIME, AT(outbox.max_age_ms), "48h", SECOND, 365 * DAY, NULL,
     "Spans that wait for longer, in the journal or the outbox, are dropped and counted as "
     "expired."},
    {"outbox.when_full", OPTION_CHOICE, AT(outbox.when_full), "refuse", 0, 0, WHEN_FULL,
     "`refuse`: the journal fills up, and then clients are told to come back. `drop_oldest`: the "
     "oldest file of the outbox goes, counted as outbox_full."},
    {"quarantine.limit", OPTION_SIZE, AT(quarantine_bytes), "64MiB", 8 * MIB, 1024 * GIB, NULL,
     "Spans that the backend calls bad are kept, at most this much for each exporter; `spanrelay "
     "quarantine` shows them. Beyond it they are dropped and counted as refused."},

    {"log.level", OPTION_CHOICE, AT(log.level), "info", 0, 0, LEVELS, "What is worth a line."},
    {"log.format", OPTION_CHOICE, AT(log.json), "text", 0, 0, FORMATS,
     "key=value pairs, or a JSON object a line."},
    {"intake.threads", OPTION_COUNT, AT(intake_threads), "1", 1, 64, NULL,
     "Threads that read from clients. A second one helps when the first is at 100 % of a core."},
    {"shutdown.deadline", OPTION_TIME, AT(shutdown_ms), "10s", 100, 10 * MINUTE, NULL,
     "A graceful stop takes no longer; what is in the journal then goes out after the next start."},

    {"exporters[].name", OPTION_NAME, IN_EXPORTER(name), "", 1, 63, NULL,
     "Required. Its account and its place in the journal go by this name: renaming is removing and "
     "adding."},
    {"exporters[].preset", OPTION_CHOICE, IN_EXPORTER(preset), "none", 0, 0, PRESETS,
     "Fills in what a backend is known to want; other keys go before it."},
    {"exporters[].protocol", OPTION_CHOICE, IN_EXPORTER(protocol), "grpc", 0, 0, PROTOCOLS,
     "`terminal` prints each trace as a tree on standard output."},
    {"exporters[].endpoint", OPTION_ENDPOINT, IN_EXPORTER(endpoint), "", 0, 512, NULL,
     "`http://host:port` or `https://host:port`, for gRPC too. Required but for `terminal` and "
     "presets."},
    {"exporters[].path", OPTION_URL_PATH, IN_EXPORTER(path), "/v1/traces", 1, 512, NULL,
     "For http/protobuf."},
    {"exporters[].compression", OPTION_CHOICE, IN_EXPORTER(compression), "gzip", 0, 0, COMPRESSIONS,
     "gzip is what every OTLP backend takes; zstd only where the backend is known to."},
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the size of the pointer is not used */
    {"exporters[].headers", OPTION_HEADERS, IN_EXPORTER(headers), "", 0, 0, NULL,
     "Extra headers, a map. Secrets belong into the environment: `authorization: \"Bearer "
     "${env:TOKEN}\"`."},
    {"exporters[].ca_file", OPTION_TEXT, IN_EXPORTER(ca_file), "", 0, 1024, NULL,
     "Certificates (PEM) to trust in place of the system's."},
    {"exporters[].server_name", OPTION_HOST, IN_EXPORTER(server_name), "", 0, 255, NULL,
     "The name that the backend's certificate must have, where it is not the endpoint's host."},
    {"exporters[].timeout", OPTION_TIME, IN_EXPORTER(timeout_ms), "10s", 100, 10 * MINUTE, NULL,
     "One request, from sending to its answer."},
    {"exporters[].linger", OPTION_TIME, IN_EXPORTER(linger_ms), "100ms", 0, MINUTE, NULL,
     "Waits this long for a fuller request."},
    {"exporters[].batch", OPTION_SIZE, IN_EXPORTER(batch_bytes), "1MiB", KIB, 64 * MIB, NULL,
     "Sends at once when this much waits, uncompressed. Never more than `request`."},
    {"exporters[].request", OPTION_SIZE, IN_EXPORTER(request_bytes), "4MiB", 64 * KIB, 64 * MIB,
     NULL, "Largest request, uncompressed. Many backends take no more than 4MiB."},
    {"exporters[].concurrency", OPTION_COUNT, IN_EXPORTER(concurrency), "4", 1, 64, NULL,
     "Requests in flight at a time."},
    {"exporters[].retry.initial", OPTION_TIME, IN_EXPORTER(retry_initial_ms), "1s", 10, 10 * MINUTE,
     NULL,
     "First wait after a fault that may pass; grows by half each time, with jitter. A wait that "
     "the "
     "backend asks for is honoured."},
    {"exporters[].retry.max", OPTION_TIME, IN_EXPORTER(retry_max_ms), "30s", 10, 60 * MINUTE, NULL,
     "Longest wait between tries. There is no last try."},
    {"exporters[].outbox.limit", OPTION_SIZE, IN_EXPORTER(outbox.limit_bytes), "0", 0, 1024 * TIB,
     NULL, "For this exporter in place of `outbox.limit`; 0: the same."},
    {"exporters[].outbox.max_age", OPTION_TIME, IN_EXPORTER(outbox.max_age_ms), "0s", 0, 365 * DAY,
     NULL, "For this exporter in place of `outbox.max_age`; 0: the same."},
    {"exporters[].outbox.when_full", OPTION_CHOICE, IN_EXPORTER(outbox.when_full), "inherit", 0, 0,
     WHEN_FULL_HERE, "For this exporter in place of `outbox.when_full`."},
};
const size_t N_OPTIONS = sizeof(OPTIONS) / sizeof(OPTIONS[0]);

const struct option_list OPTION_LISTS[] = {
    {"exporters", offsetof(struct conf, exporters), offsetof(struct conf, n_exporters),
     sizeof(struct conf_exporter), CONF_MAX_EXPORTERS,
     "Where spans go: each gets all of them. None: the environment chooses."},
};
const size_t N_OPTION_LISTS = sizeof(OPTION_LISTS) / sizeof(OPTION_LISTS[0]);

const struct option *option_find(const char *key)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (strcmp(OPTIONS[i].key, key) == 0)
			return &OPTIONS[i];
	return NULL;
}

const struct option_list *option_list_find(const char *key)
{
	for (size_t i = 0; i < N_OPTION_LISTS; i++)
		if (strcmp(OPTION_LISTS[i].key, key) == 0)
			return &OPTION_LISTS[i];
	return NULL;
}

bool option_is_section(const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (len == 0 ||
		    (strncmp(OPTIONS[i].key, key, len) == 0 && OPTIONS[i].key[len] == '.'))
			return true;
	return false;
}

bool option_is_of(const struct option *o, const char *list)
{
	size_t len = strlen(list);
	if (len == 0)
		return strstr(o->key, "[]") == NULL;
	return strncmp(o->key, list, len) == 0 && o->key[len] == '.';
}

void option_print_range(const struct option *o, struct buf *out)
{
	char min[UNIT_TEXT], max[UNIT_TEXT];
	switch (o->type) {
	case OPTION_SIZE:
		unit_print_size(min, o->min);
		unit_print_size(max, o->max);
		break;
	case OPTION_TIME:
		unit_print_time(min, o->min);
		unit_print_time(max, o->max);
		break;
	case OPTION_COUNT:
		unit_print_count(min, o->min);
		unit_print_count(max, o->max);
		break;
	default:
		return;
	}
	buf_printf(out, "from %s to %s", min, max);
}
