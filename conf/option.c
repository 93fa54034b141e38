/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/option.h"

#include <stdio.h>

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

#define IN_RULE(field) offsetof(struct conf_rule, field), sizeof(((struct conf_rule *)NULL)->field)
#define IN_SOURCE(field)                                                                           \
	offsetof(struct conf_source, field), sizeof(((struct conf_source *)NULL)->field)
#define IN_ALLOW(field)                                                                            \
	offsetof(struct conf_allow, field), sizeof(((struct conf_allow *)NULL)->field)
#define IN_CLIENT(field)                                                                           \
	offsetof(struct conf_client, field), sizeof(((struct conf_client *)NULL)->field)
#define IN_BUDGET(field)                                                                           \
	offsetof(struct conf_budget, field), sizeof(((struct conf_budget *)NULL)->field)

static const char *const LEVELS[] = {"error", "warn", "info", "debug", NULL};
static const char *const FORMATS[] = {"text", "json", NULL};
static const char *const PROTOCOLS[] = {"grpc", "http/protobuf", "terminal", NULL};
static const char *const COMPRESSIONS[] = {"gzip", "zstd", "none", NULL};
static const char *const WHEN_FULL[] = {"refuse", "drop_oldest", NULL};
static const char *const WHEN_FULL_HERE[] = {"refuse", "drop_oldest", "inherit", NULL};
static const char *const PRESETS[] = {"none", "lightstep", NULL};
static const char *const TLS_VERSIONS[] = {"1.2", "1.3", NULL};
static const char *const CLIENT_AUTH[] = {"require", "optional", NULL};
static const char *const NO_YES[] = {"false", "true", NULL};
static const char *const RANDOMNESS[] = {"id", "hash", NULL};
static const char *const MASKS[] = {"keep_length", "replace", "typed", "hmac",
				    "keep_last_4", "drop",    NULL};
static const char *const IDENTITIES[] = {"off", "annotate", "require", NULL};
static const char *const MARKS[] = {"silent", "count", NULL};
static const char *const MONTH_POLICIES[] = {"pace", "cap", "report", NULL};

static const char *const OAUTH2_AUTH[] = {"basic", "post", NULL};
static const char *const WORLD_READABLE[] = {"refuse", "allow", NULL};
#define MAX_RATE    ((uint64_t)1000000000000)
#define MAX_MONTHLY ((uint64_t)1000000000000000)

const struct option OPTIONS[] = {
    {"data_dir", OPTION_TEXT, AT(data_dir), "./spanrelay-data", 1, 1024, NULL,
     "Folder of the journal; made with mode 0700 if it is missing. One relay works on a folder.",
     RESTART},
    {"receivers.otlp_grpc.listen", OPTION_LISTEN, AT(grpc.listen), "127.0.0.1:4317", 0, 0, NULL,
     "Where OTLP/gRPC comes in, or `off`.", RESTART},
    {"receivers.otlp_grpc.tls.cert_file", OPTION_TEXT, AT(grpc.tls.cert_file), "", 0, 1024, NULL,
     "The certificate of this port, PEM, its chain behind it. With one the port speaks TLS, and "
     "nothing else (docs/tls.md): to begin or to end that takes a restart.",
     HOT},
    {"receivers.otlp_grpc.tls.key_file", OPTION_TEXT, AT(grpc.tls.key_file), "", 0, 1024, NULL,
     "Its private key, PEM, without a passphrase. Not one that everybody can read.", HOT},
    {"receivers.otlp_grpc.tls.client_ca_file", OPTION_TEXT, AT(grpc.tls.ca_file), "", 0, 1024, NULL,
     "Clients must show a certificate that one of these, PEM, has signed. Empty: none is asked "
     "for.",
     HOT},
    {"receivers.otlp_grpc.tls.client_auth", OPTION_CHOICE, AT(grpc.tls.client_auth), "require", 0,
     0, CLIENT_AUTH,
     "`optional`: clients without a certificate are let in too; a bad one never is.", HOT},
    {"receivers.otlp_grpc.tls.min_version", OPTION_CHOICE, AT(grpc.tls.min_version), "1.2", 0, 0,
     TLS_VERSIONS, "The oldest version of TLS that is spoken.", HOT},
    {"receivers.otlp_http.listen", OPTION_LISTEN, AT(http.listen), "127.0.0.1:4318", 0, 0, NULL,
     "Where OTLP/HTTP comes in, on HTTP/1.1 and HTTP/2, or `off`.", RESTART},
    {"receivers.otlp_http.tls.cert_file", OPTION_TEXT, AT(http.tls.cert_file), "", 0, 1024, NULL,
     "The certificate of this port, PEM, its chain behind it. With one the port speaks TLS, and "
     "nothing else (docs/tls.md): to begin or to end that takes a restart.",
     HOT},
    {"receivers.otlp_http.tls.key_file", OPTION_TEXT, AT(http.tls.key_file), "", 0, 1024, NULL,
     "Its private key, PEM, without a passphrase. Not one that everybody can read.", HOT},
    {"receivers.otlp_http.tls.client_ca_file", OPTION_TEXT, AT(http.tls.ca_file), "", 0, 1024, NULL,
     "Clients must show a certificate that one of these, PEM, has signed. Empty: none is asked "
     "for.",
     HOT},
    {"receivers.otlp_http.tls.client_auth", OPTION_CHOICE, AT(http.tls.client_auth), "require", 0,
     0, CLIENT_AUTH,
     "`optional`: clients without a certificate are let in too; a bad one never is.", HOT},
    {"receivers.otlp_http.tls.min_version", OPTION_CHOICE, AT(http.tls.min_version), "1.2", 0, 0,
     TLS_VERSIONS, "The oldest version of TLS that is spoken.", HOT},
    {"admin.listen", OPTION_LISTEN, AT(admin.listen), "127.0.0.1:4320", 0, 0, NULL,
     "Metrics, health and status, or `off`. Knows no passwords: keep it on a private address.",
     RESTART},

    {"limits.request", OPTION_SIZE, AT(limits.request_bytes), "16MiB", KIB, 16 * MIB, NULL,
     "Largest request, before and after decompression. A journal block holds a whole request and "
     "ends at 16MiB.",
     HOT},
    {"limits.connections", OPTION_COUNT, AT(limits.connections), "4096", 1, 1000000, NULL,
     "Client connections at a time; further ones wait to be accepted.", HOT},
    {"limits.memory", OPTION_SIZE, AT(limits.memory_bytes), "256MiB", 8 * MIB, 1024 * GIB, NULL,
     "All that is held on behalf of clients. Near it requests are refused for a moment, with a "
     "time to come back.",
     HOT},
    {"limits.spans", OPTION_COUNT, AT(limits.spans), "65536", 1, 1000000, NULL,
     "Spans in one request.", HOT},

    {"journal.linger", OPTION_TIME, AT(journal.linger_ms), "10ms", 0, SECOND, NULL,
     "The oldest request waits this long for others to share its disk sync. Longer: fewer syncs, "
     "later answers.",
     HOT},
    {"journal.group", OPTION_SIZE, AT(journal.group_bytes), "1MiB", 4 * KIB, 256 * MIB, NULL,
     "Syncs at once when this much waits.", HOT},
    {"journal.limit", OPTION_SIZE, AT(journal.limit_bytes), "2GiB", 16 * MIB, 1024 * GIB, NULL,
     "Size of the journal on disk. When it is full, new requests are refused and nothing held is "
     "lost.",
     RESTART},

    {"outbox.limit", OPTION_SIZE, AT(outbox.limit_bytes), "10GiB", 16 * MIB, 1024 * TIB, NULL,
     "What waits for a backend that does not keep up goes from the journal to files of their own, "
     "at most this much for each exporter.",
     HOT},
    {"outbox.max_age", OPTION_TIME, AT(outbox.max_age_ms), "48h", SECOND, 365 * DAY, NULL,
     "Spans that wait for longer, in the journal or the outbox, are dropped and counted as "
     "expired.",
     HOT},
    {"outbox.when_full", OPTION_CHOICE, AT(outbox.when_full), "refuse", 0, 0, WHEN_FULL,
     "`refuse`: the journal fills up, and then clients are told to come back. `drop_oldest`: the "
     "oldest file of the outbox goes, counted as outbox_full.",
     HOT},
    {"quarantine.limit", OPTION_SIZE, AT(quarantine_bytes), "64MiB", 8 * MIB, 1024 * GIB, NULL,
     "Spans that the backend calls bad are kept, at most this much for each exporter; `spanrelay "
     "quarantine` shows them. Beyond it they are dropped and counted as refused.",
     HOT},

    {"audit.enabled", OPTION_CHOICE, AT(audit.enabled), "true", 0, 0, NO_YES,
     "Keeps an audit log in `audit` of the data folder (docs/audit.md).", RESTART},
    {"audit.key.file", OPTION_TEXT, AT(audit.key_file), "", 0, 1024, NULL,
     "A file with a secret of at least 32 bytes that records are signed with. Without it the log "
     "shows damage, but not that somebody made all of it anew.",
     RESTART},
    {"audit.decisions", OPTION_CHOICE, AT(audit.decisions), "true", 0, 0, NO_YES,
     "Every decision to keep or drop a trace, packed into 48 bytes.", RESTART},
    {"audit.limit", OPTION_SIZE, AT(audit.limit_bytes), "1GiB", 4 * MIB, 1024 * TIB, NULL,
     "The oldest files go when there is more: a quarter is for the chain of records, the rest for "
     "decisions.",
     RESTART},
    {"audit.retention", OPTION_TIME, AT(audit.keep_ms), "90d", MINUTE, 3650 * DAY, NULL,
     "Files whose last record is older go.", RESTART},
    {"audit.interval", OPTION_TIME, AT(audit.interval_ms), "1m", SECOND, 60 * MINUTE, NULL,
     "How often spans are balanced, what was dropped and masked is told, and the head of the chain "
     "goes to the log as a checkpoint.",
     RESTART},

    {"log.level", OPTION_CHOICE, AT(log.level), "info", 0, 0, LEVELS, "What is worth a line.", HOT},
    {"log.format", OPTION_CHOICE, AT(log.json), "text", 0, 0, FORMATS,
     "key=value pairs, or a JSON object a line.", HOT},
    {"intake.threads", OPTION_COUNT, AT(intake_threads), "1", 1, 64, NULL,
     "Threads that read from clients. A second one helps when the first is at 100 % of a core.",
     RESTART},
    {"shutdown.deadline", OPTION_TIME, AT(shutdown_ms), "10s", 100, 10 * MINUTE, NULL,
     "A graceful stop takes no longer; what is in the journal then goes out after the next start.",
     HOT},

    {"credentials.overlap", OPTION_TIME, AT(credentials.overlap_ms), "15m", 0, DAY, NULL,
     "The previous token stays in reserve so long after a new one.", HOT},
    {"credentials.retry", OPTION_TIME, AT(credentials.retry_ms), "30s", 10, 60 * MINUTE, NULL,
     "A new token that is refused is tried so often, while the previous one is used.", HOT},
    {"credentials.give_up", OPTION_TIME, AT(credentials.give_up_ms), "10m", 10, DAY, NULL,
     "After this it is tried no more, until it changes.", HOT},
    {"credentials.poll", OPTION_TIME, AT(credentials.poll_ms), "30s", 50, 60 * MINUTE, NULL,
     "Files are read so often for mounts that tell of no changes (NFS, FUSE).", HOT},
    {"credentials.world_readable", OPTION_CHOICE, AT(credentials.world_readable), "refuse", 0, 0,
     WORLD_READABLE,
     "What becomes of a file with a token or a private key that everybody may read.", HOT},

    {"redaction.packs", OPTION_NAMES, AT(redaction.packs),
     "secrets secrets-context url headers keys", 0, 64, NULL,
     "Which rules look for secrets (`spanrelay rules list`). `[]`: none of ours.", HOT},
    {"redaction.rules_dir", OPTION_TEXT, AT(redaction.rules_dir), "", 0, 1024, NULL,
     "A folder of further rules, `*.yaml`, in the same format (docs/redaction.md).", HOT},
    {"redaction.mask", OPTION_CHOICE, AT(redaction.mask), "keep_length", 0, 0, MASKS,
     "What becomes of a secret; a rule may say something else.", HOT},
    {"redaction.keys.block", OPTION_NAMES, AT(redaction.keys.block), "", 0, 256, NULL,
     "Attributes whose values are masked whole: keys with `*` and `?`, in any case.", HOT},
    {"redaction.keys.allow_only", OPTION_NAMES, AT(redaction.keys.allow_only), "", 0, 256, NULL,
     "Where this is said, all other attributes are removed.", HOT},
    {"redaction.keys.ignore", OPTION_NAMES, AT(redaction.keys.ignore), "", 0, 256, NULL,
     "Attributes that no rule looks at.", HOT},
    {"redaction.allow[].rule", OPTION_TEXT, IN_ALLOW(rule), "", 1, 128, NULL,
     "Required. What this rule finds ...", HOT},
    {"redaction.allow[].match", OPTION_LANGUAGE, IN_ALLOW(match), "", 0, 0, NULL,
     "Required. ... is no secret where this expression is found in it.", HOT},
    {"redaction.hmac_key.file", OPTION_TEXT, AT(redaction.hmac_key_file), "", 0, 1024, NULL,
     "The key of the mask `hmac`: all of the file, at least 32 bytes.", HOT},
    {"redaction.marks", OPTION_CHOICE, AT(redaction.marks), "silent", 0, 0, MARKS,
     "`count`: spans say how much was masked, as `redaction.masked.count`.", HOT},

    {"identity.policy", OPTION_CHOICE, AT(identity), "off", 0, 0, IDENTITIES,
     "Whether the relay looks who sends (docs/identity.md). `annotate`: spans say so, as "
     "`spanrelay.identity.*`. `require`: spans of nobody known are not taken, too.",
     HOT},
    {"clients[].name", OPTION_NAME, IN_CLIENT(name), "", 1, 63, NULL,
     "Required, and unique: what spans say of who sent them.", HOT},
    {"clients[].token.file", OPTION_TEXT, IN_CLIENT(token_file), "", 0, 1024, NULL,
     "A file with its bearer token, and a second one in a second line while it is exchanged. Read "
     "again by each reload.",
     HOT},
    {"clients[].certificate.subject", OPTION_TEXT, IN_CLIENT(certificate_subject), "", 0, 1024,
     NULL, "The subject of its certificate, as RFC 2253 writes it: `CN=edge,O=Example`.", HOT},
    {"clients[].certificate.san", OPTION_TEXT, IN_CLIENT(certificate_san), "", 0, 1024, NULL,
     "A DNS name, URI or e-mail address that its certificate is for.", HOT},
    {"clients[].environment", OPTION_TEXT, IN_CLIENT(environment), "", 0, 63, NULL,
     "What spans say of where it stands, such as `production`.", HOT},
    {"clients[].role", OPTION_TEXT, IN_CLIENT(role), "", 0, 63, NULL,
     "What spans say of what it is, such as `edge`.", HOT},

    {"sampling.wait", OPTION_TIME, AT(sampling.wait_ms), "30s", 100, 60 * MINUTE, NULL,
     "The longest wait for a trace, after its first span. Longer than the slowest flush of the "
     "senders, or spans come late.",
     HOT},
    {"sampling.root_wait", OPTION_TIME, AT(sampling.root_wait_ms), "2s", 0, 60 * MINUTE, NULL,
     "The wait once its root is here. At most `sampling.wait`.", HOT},
    {"sampling.trace_spans", OPTION_COUNT, AT(sampling.trace_spans), "10000", 1, 1000000, NULL,
     "A trace with more spans is decided at once. Budgets can hold one such trace, so a small one "
     "wants a lower limit.",
     HOT},
    {"sampling.trace_bytes", OPTION_SIZE, AT(sampling.trace_bytes), "8MiB", KIB, GIB, NULL,
     "Likewise, for the bytes of its spans. A sixteenth of journal.limit at most.", HOT},
    {"sampling.memory", OPTION_SIZE, AT(sampling.memory_bytes), "64MiB", MIB, 1024 * GIB, NULL,
     "What is known of undecided traces. Near it the largest and oldest are decided early, by the "
     "same rules.",
     HOT},
    {"sampling.pending", OPTION_SIZE, AT(sampling.pending_bytes), "0", 0, 1024 * GIB, NULL,
     "Spans of undecided traces in the journal; beyond it traces are decided early. 0: half of "
     "`journal.limit`.",
     HOT},
    {"sampling.records.kept", OPTION_COUNT, AT(sampling.kept_records), "100000", 1000, 100000000,
     NULL, "Kept traces whose late spans can still follow.", HOT},
    {"sampling.records.dropped", OPTION_COUNT, AT(sampling.dropped_records), "1000000", 1000,
     1000000000, NULL, "Likewise, dropped traces.", HOT},
    {"sampling.records.age", OPTION_TIME, AT(sampling.records_ms), "1h", SECOND, 30 * DAY, NULL,
     "Decisions are remembered for no longer than this.", HOT},
    {"sampling.recent", OPTION_SIZE, AT(sampling.recent_bytes), "64MiB", 0, 1024 * GIB, NULL,
     "A sample of recent traffic for `spanrelay plan`, kept traces and dropped ones, on disk in "
     "`recent`: whole traces, as large a share as covers the last hour. At least 8MiB; 0: none.",
     RESTART},
    {"sampling.dry_run", OPTION_CHOICE, AT(sampling.dry_run), "false", 0, 0, NO_YES,
     "Everything is kept; what rules and budgets would have done is counted.", HOT},

    {"sampling.rules[].name", OPTION_NAME, IN_RULE(name), "", 1, CONF_RULE_NAME, NULL,
     "Required. For metrics and `explain`; budgets of a goal go by it over restarts.", HOT},
    {"sampling.rules[].when", OPTION_LANGUAGE, IN_RULE(when), "", 0, 0, NULL,
     "Which traces the rule is for (docs/sampling.md). None: all that come to it.", HOT},
    {"sampling.rules[].keep", OPTION_SHARE, IN_RULE(keep.share), "", 0, 100, NULL,
     "Required. The share of traces to keep, or a map with a goal:", HOT},
    {"sampling.rules[].keep.spans_per_second", OPTION_COUNT, IN_RULE(keep.spans_per_second), "", 1,
     MAX_RATE, NULL, "A goal for the rule as a whole, shared by its keys. May stand beside bytes.",
     HOT},
    {"sampling.rules[].keep.bytes_per_second", OPTION_SIZE, IN_RULE(keep.bytes_per_second), "", 1,
     1024 * TIB, NULL, "Likewise, in uncompressed OTLP bytes.", HOT},
    {"sampling.rules[].keep.goal_percentage", OPTION_SHARE, IN_RULE(keep.goal), "", 0, 100, NULL,
     "This share of all spans of the rule, more of rare keys and less of frequent ones.", HOT},
    {"sampling.rules[].keep.lightstep_satellite", OPTION_SHARE, IN_RULE(keep.satellite), "", 0, 100,
     NULL, "The traces that Lightstep's satellite sampler keeps at this percentage.", HOT},
    {"sampling.rules[].keep.by", OPTION_FIELDS, IN_RULE(keep.by), "", 0, 0, NULL,
     "What the rule's keys are made of, such as `[service.name, http.route]`.", HOT},
    {"sampling.rules[].keep.max_keys", OPTION_COUNT, IN_RULE(keep.max_keys), "500", 1, 10000, NULL,
     "Keys that have an account of their own; the others share 32.", HOT},
    {"sampling.rules[].protected", OPTION_CHOICE, IN_RULE(protected), "false", 0, 0, NO_YES,
     "Its traces may use the reserve of the budgets.", HOT},
    {"sampling.rules[].dry_run", OPTION_CHOICE, IN_RULE(dry_run), "false", 0, 0, NO_YES,
     "The rule is only counted; the next one decides.", HOT},
    {"sampling.rules[].rollout_percent", OPTION_PERCENT, IN_RULE(rollout), "100", 0, 100, NULL,
     "The share of traces that see the rule; the others go on to the next.", HOT},
    {"sampling.rules[].budget", OPTION_NAME, IN_RULE(budget), "", 0, CONF_RULE_NAME, NULL,
     "The budget that pays. Needed where the budgets are not one chain; else the last of it.", HOT},

    {"sampling.sources[].when", OPTION_LANGUAGE, IN_SOURCE(when), "", 0, 0, NULL,
     "Which traces come from there. None: all. The first source that fits counts.", HOT},
    {"sampling.sources[].sampled", OPTION_SHARE, IN_SOURCE(sampled), "", 0, 100, NULL,
     "The share of traces that the sender kept already, where it writes no `th` itself.", HOT},
    {"sampling.sources[].randomness", OPTION_CHOICE, IN_SOURCE(hash), "id", 0, 0, RANDOMNESS,
     "`hash` where trace ids are not random: the randomness is made by hashing and written as "
     "`rv`.",
     HOT},

    {"budgets[].name", OPTION_NAME, IN_BUDGET(name), "", 1, CONF_RULE_NAME, NULL,
     "Required. Its account goes by this name: renaming is starting afresh.", HOT},
    {"budgets[].parent", OPTION_NAME, IN_BUDGET(parent), "", 0, CONF_RULE_NAME, NULL,
     "What is kept under this budget is charged to that one too.", HOT},
    {"budgets[].by", OPTION_FIELDS, IN_BUDGET(by), "", 0, 0, NULL,
     "The rates are for each value of these fields, such as `resource.team`.", HOT},
    {"budgets[].spans_per_second", OPTION_COUNT, IN_BUDGET(spans_per_second), "", 1, MAX_RATE, NULL,
     "What may leave.", HOT},
    {"budgets[].bytes_per_second", OPTION_SIZE, IN_BUDGET(bytes_per_second), "", 1, 1024 * TIB,
     NULL, "What may leave, in uncompressed OTLP bytes. The tighter limit counts.", HOT},
    {"budgets[].spans_per_month", OPTION_COUNT, IN_BUDGET(spans_per_month), "", 1, MAX_MONTHLY,
     NULL, "What may leave in a month.", HOT},
    {"budgets[].bytes_per_month", OPTION_SIZE, IN_BUDGET(bytes_per_month), "", 1, 1024 * TIB, NULL,
     "What may leave in a month, such as 500GB.", HOT},
    {"budgets[].month_policy", OPTION_CHOICE, IN_BUDGET(month_policy), "pace", 0, 0, MONTH_POLICIES,
     "`pace`: what remains is spread over the time left. `cap`: nothing more at the limit, but for "
     "the reserve. `report`: only counted.",
     HOT},
    {"budgets[].billing_day", OPTION_COUNT, IN_BUDGET(billing_day), "1", 1, 28, NULL,
     "The day on which a month begins, at midnight UTC.", HOT},
    {"budgets[].weight", OPTION_COUNT, IN_BUDGET(weight), "1", 1, 1000000, NULL,
     "Its part of what the parent has, where that is short, against its siblings'.", HOT},
    {"budgets[].reserve", OPTION_SHARE, IN_BUDGET(reserve), "0", 0, 95, NULL,
     "The share of the goal, and with `cap` of the month, that only protected traces may use.",
     HOT},
    {"budgets[].burst", OPTION_TIME, IN_BUDGET(burst_ms), "2s", 100, 60 * MINUTE, NULL,
     "How much of the goal may leave at once, in time. It is never less than one trace at its "
     "limits.",
     HOT},
    {"budgets[].debt", OPTION_TIME, IN_BUDGET(debt_ms), "2s", 100, 60 * MINUTE, NULL,
     "How far late spans of kept traces may overdraw it, in time.", HOT},
    {"budgets[].max_keys", OPTION_COUNT, IN_BUDGET(max_keys), "500", 1, 10000, NULL,
     "Keys that have an account of their own; the others share 32.", HOT},

    {"exporters[].name", OPTION_NAME, IN_EXPORTER(name), "", 1, 63, NULL,
     "Required. Its account and its place in the journal go by this name: renaming is removing and "
     "adding.",
     HOT},
    {"exporters[].preset", OPTION_CHOICE, IN_EXPORTER(preset), "none", 0, 0, PRESETS,
     "Fills in what a backend is known to want; other keys go before it.", HOT},
    {"exporters[].protocol", OPTION_CHOICE, IN_EXPORTER(protocol), "grpc", 0, 0, PROTOCOLS,
     "`terminal` prints each trace as a tree on standard output.", HOT},
    {"exporters[].endpoint", OPTION_ENDPOINT, IN_EXPORTER(endpoint), "", 0, 512, NULL,
     "`http://host:port` or `https://host:port`, for gRPC too. Required but for `terminal` and "
     "presets.",
     HOT},
    {"exporters[].path", OPTION_URL_PATH, IN_EXPORTER(path), "/v1/traces", 1, 512, NULL,
     "For http/protobuf.", HOT},
    {"exporters[].compression", OPTION_CHOICE, IN_EXPORTER(compression), "gzip", 0, 0, COMPRESSIONS,
     "gzip is what every OTLP backend takes; zstd only where the backend is known to.", HOT},
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the size of the pointer is not used */
    {"exporters[].headers", OPTION_HEADERS, IN_EXPORTER(headers), "", 0, 0, NULL,
     "Extra headers, a map. Secrets belong into files or the environment: `authorization: { "
     "file_env: MY_TOKEN_FILE, prefix: \"Bearer \" }`, or `file: PATH`, or `env: NAME`; files are "
     "read again when they change (docs/credentials.md).",
     HOT},
    {"exporters[].oauth2.token_url", OPTION_ENDPOINT, IN_EXPORTER(oauth2.token_url), "", 0, 512,
     NULL,
     "Where a token for `authorization: Bearer` is fetched (OAuth 2.0 client credentials), and "
     "again "
     "before it expires (docs/credentials.md).",
     HOT},
    {"exporters[].oauth2.client_id_file", OPTION_TEXT, IN_EXPORTER(oauth2.client_id_file), "", 0,
     1024, NULL, "A file with the client's id.", HOT},
    {"exporters[].oauth2.client_secret_file", OPTION_TEXT, IN_EXPORTER(oauth2.client_secret_file),
     "", 0, 1024, NULL, "A file with its secret. Both are read again when they change.", HOT},
    {"exporters[].oauth2.scopes", OPTION_TEXT, IN_EXPORTER(oauth2.scopes), "", 0, 1024, NULL,
     "Asked for, parted by blanks.", HOT},
    {"exporters[].oauth2.auth", OPTION_CHOICE, IN_EXPORTER(oauth2.auth), "basic", 0, 0, OAUTH2_AUTH,
     "Where id and secret stand: in the header (`basic`) or in the body (`post`).", HOT},
    {"exporters[].oauth2.ca_file", OPTION_TEXT, IN_EXPORTER(oauth2.ca_file), "", 0, 1024, NULL,
     "Certificates (PEM) to trust there; the default is the exporter's.", HOT},
    {"exporters[].tls.ca_file", OPTION_TEXT, IN_EXPORTER(tls.ca_file), "", 0, 1024, NULL,
     "Certificates (PEM) to trust in place of the system's.", HOT},
    {"exporters[].tls.server_name", OPTION_HOST, IN_EXPORTER(tls.server_name), "", 0, 255, NULL,
     "The name that the backend's certificate must have, where it is not the endpoint's host.",
     HOT},
    {"exporters[].tls.cert_file", OPTION_TEXT, IN_EXPORTER(tls.cert_file), "", 0, 1024, NULL,
     "A certificate to show to the backend, PEM, its chain behind it.", HOT},
    {"exporters[].tls.key_file", OPTION_TEXT, IN_EXPORTER(tls.key_file), "", 0, 1024, NULL,
     "Its private key, PEM, without a passphrase. Not one that everybody can read.", HOT},
    {"exporters[].tls.min_version", OPTION_CHOICE, IN_EXPORTER(tls.min_version), "1.2", 0, 0,
     TLS_VERSIONS, "The oldest version of TLS that is spoken.", HOT},
    {"exporters[].tls.insecure", OPTION_CHOICE, IN_EXPORTER(tls.insecure), "false", 0, 0, NO_YES,
     "`true`: headers may go to an http:// endpoint on another host, where everybody on the way "
     "can read them. Each start warns of it, and a reload that brings it.",
     HOT},
    {"exporters[].tls.skip_verify", OPTION_CHOICE, IN_EXPORTER(tls.skip_verify), "false", 0, 0,
     NO_YES,
     "`true`: whoever answers is believed, with any certificate. For trying out only; each start "
     "warns of it, and a reload that brings it.",
     HOT},
    {"exporters[].timeout", OPTION_TIME, IN_EXPORTER(timeout_ms), "10s", 100, 10 * MINUTE, NULL,
     "One request, from sending to its answer.", HOT},
    {"exporters[].linger", OPTION_TIME, IN_EXPORTER(linger_ms), "100ms", 0, MINUTE, NULL,
     "Waits this long for a fuller request.", HOT},
    {"exporters[].batch", OPTION_SIZE, IN_EXPORTER(batch_bytes), "1MiB", KIB, 64 * MIB, NULL,
     "Sends at once when this much waits, uncompressed. Never more than `request`.", HOT},
    {"exporters[].request", OPTION_SIZE, IN_EXPORTER(request_bytes), "4MiB", 64 * KIB, 64 * MIB,
     NULL, "Largest request, uncompressed. Many backends take no more than 4MiB.", HOT},
    {"exporters[].concurrency", OPTION_COUNT, IN_EXPORTER(concurrency), "4", 1, 64, NULL,
     "Requests in flight at a time.", HOT},
    {"exporters[].retry.initial", OPTION_TIME, IN_EXPORTER(retry_initial_ms), "1s", 10, 10 * MINUTE,
     NULL,
     "First wait after a fault that may pass; grows by half each time, with jitter. A wait that "
     "the "
     "backend asks for is honoured.",
     HOT},
    {"exporters[].retry.max", OPTION_TIME, IN_EXPORTER(retry_max_ms), "30s", 10, 60 * MINUTE, NULL,
     "Longest wait between tries. There is no last try.", HOT},
    {"exporters[].outbox.limit", OPTION_SIZE, IN_EXPORTER(outbox.limit_bytes), "0", 0, 1024 * TIB,
     NULL, "For this exporter in place of `outbox.limit`; 0: the same.", HOT},
    {"exporters[].outbox.max_age", OPTION_TIME, IN_EXPORTER(outbox.max_age_ms), "0s", 0, 365 * DAY,
     NULL, "For this exporter in place of `outbox.max_age`; 0: the same.", HOT},
    {"exporters[].outbox.when_full", OPTION_CHOICE, IN_EXPORTER(outbox.when_full), "inherit", 0, 0,
     WHEN_FULL_HERE, "For this exporter in place of `outbox.when_full`.", HOT},
};
const size_t N_OPTIONS = sizeof(OPTIONS) / sizeof(OPTIONS[0]);

const struct option_list OPTION_LISTS[] = {
    {"exporters", offsetof(struct conf, exporters), offsetof(struct conf, n_exporters),
     sizeof(struct conf_exporter), CONF_MAX_EXPORTERS,
     "Where spans go: each gets all of them. None: the environment chooses."},
    {"redaction.allow", offsetof(struct conf, redaction.allow),
     offsetof(struct conf, redaction.n_allow), sizeof(struct conf_allow), CONF_MAX_ALLOW,
     "What is no secret, though a rule finds it."},
    {"clients", offsetof(struct conf, clients), offsetof(struct conf, n_clients),
     sizeof(struct conf_client), CONF_MAX_CLIENTS,
     "Who may send, and by what each is known (docs/identity.md)."},
    {"sampling.rules", offsetof(struct conf, sampling.rules),
     offsetof(struct conf, sampling.n_rules), sizeof(struct conf_rule), CONF_MAX_RULES,
     "What to keep: the first rule that is for a trace decides. The last one takes all that is "
     "left. None: everything is kept."},
    {"sampling.sources", offsetof(struct conf, sampling.sources),
     offsetof(struct conf, sampling.n_sources), sizeof(struct conf_source), CONF_MAX_SOURCES,
     "Senders that sample before they send."},
    {"budgets", offsetof(struct conf, budgets), offsetof(struct conf, n_budgets),
     sizeof(struct conf_budget), CONF_MAX_BUDGETS,
     "How much may leave (docs/budgets.md). With budgets and no rules, everything is kept that "
     "they allow."},
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
	case OPTION_SHARE:
	case OPTION_PERCENT:
		snprintf(min, sizeof(min), "%d%%", (int)o->min);
		snprintf(max, sizeof(max), "%d%%", (int)o->max);
		break;
	default:
		return;
	}
	buf_printf(out, "from %s to %s", min, max);
}
