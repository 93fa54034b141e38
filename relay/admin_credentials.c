/* SPDX-License-Identifier: Apache-2.0
 * What the admin page says of credentials: where they come from, how old they are, what became of
 * them. Of a token itself, twelve hex digits of its SHA-256. */
#include <inttypes.h>

#include "base/clock.h"
#include "conf/header.h"
#include "exporters/credential.h"
#include "relay/admin_page.h"
#include "relay/keys.h"

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *text(const char *s)
{
	json_t *j = s != NULL ? json_string(s) : NULL;
	return j != NULL ? j : json_null();
}

static uint64_t age_s(const struct credential_slot *slot)
{
	uint64_t since = get(&slot->since_unix_ms), now = clock_wall_ms();
	return since != 0 && since < now ? (now - since) / 1000 : 0;
}

static json_t *slot(const struct credential_slot *slot)
{
	char fingerprint[SECRET_FINGERPRINT];
	if (get(&slot->generation) == 0)
		return json_null();
	snprintf(fingerprint, sizeof(fingerprint), "%012" PRIx64,
		 get(&slot->fingerprint) & 0xffffffffffff);
	json_t *o = json_object();
	json_object_set_new(o, "generation", number(get(&slot->generation)));
	json_object_set_new(o, "fingerprint", text(fingerprint));
	json_object_set_new(o, "since_unix_ms", number(get(&slot->since_unix_ms)));
	json_object_set_new(o, "age_s", number(age_s(slot)));
	return o;
}

static json_t *sources(const struct conf_exporter *e)
{
	static const char *const KINDS[] = {"text",   "environment", "file", "environment_file",
					    "oauth2", "missing"};
	json_t *list = json_array();
	for (size_t i = 0; i < e->n_headers; i++) {
		const struct conf_header *h = &e->headers[i];
		if (h->source == SOURCE_TEXT)
			continue;
		json_t *o = json_object();
		json_object_set_new(o, "header", text(h->name));
		json_object_set_new(o, "source", text(KINDS[h->source]));
		json_object_set_new(o, "path", text(h->path));
		json_object_set_new(o, "variable", text(h->from));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *refusals(const struct sender_stats *s)
{
	json_t *o = json_object();
	json_object_set_new(o, "current", number(get(&s->credential[SLOT_CURRENT].refusals)));
	json_object_set_new(o, "previous", number(get(&s->credential[SLOT_PREVIOUS].refusals)));
	return o;
}

json_t *page_credential(const struct page *p, unsigned exporter)
{
	const struct conf_exporter *e = &p->conf->exporters[exporter];
	const struct sender_stats *s = p->senders[exporter];
	const struct keyring *r = p->rings[exporter];
	if (s == NULL || headers_secret(e) == 0)
		return json_null();
	bool is_told = r != NULL && !p->ring_is_old[exporter];
	int last = is_told ? atomic_load(&r->last_result) : -1;
	json_t *o = json_object();
	json_object_set_new(o, "state",
			    text(CREDENTIAL_STATE_NAMES[atomic_load(&s->credential_state)]));
	json_object_set_new(o, "current", slot(&s->credential[SLOT_CURRENT]));
	json_object_set_new(o, "previous", slot(&s->credential[SLOT_PREVIOUS]));
	json_object_set_new(o, "refusals", refusals(s));
	json_object_set_new(o, "last_read", text(last >= 0 ? KEY_RESULT_NAMES[last] : NULL));
	json_object_set_new(o, "sources", sources(e));
	return o;
}

/* ---- /metrics ---- */

static bool has_credential(const struct page *p, unsigned i)
{
	return p->senders[i] != NULL && headers_secret(&p->conf->exporters[i]) != 0;
}

static int put_states(const struct page *p, unsigned i, struct buf *out)
{
	int full = 0, now = atomic_load(&p->senders[i]->credential_state);
	for (int s = CREDENTIAL_NONE; s <= CREDENTIAL_BLOCKED; s++)
		full |=
		    buf_printf(out, "spanrelay_credential_state{exporter=\"%s\",state=\"%s\"} %d\n",
			       p->conf->exporters[i].name, CREDENTIAL_STATE_NAMES[s], s == now);
	return full;
}

static int put_reloads(const struct page *p, unsigned i, struct buf *out)
{
	int full = 0;
	for (int result = 0; p->rings[i] != NULL && result < KEY_RESULTS; result++)
		full |= buf_printf(
		    out,
		    "spanrelay_credential_reload_total{exporter=\"%s\",result=\"%s\"} %" PRIu64
		    "\n",
		    p->conf->exporters[i].name, KEY_RESULT_NAMES[result],
		    get(&p->rings[i]->results[result]));
	return full;
}

static int put_refusals(const struct page *p, unsigned i, struct buf *out)
{
	static const char *const SLOT_NAMES[SLOTS] = {"current", "previous"};
	int full = 0;
	for (int s = 0; s < SLOTS; s++)
		full |= buf_printf(
		    out,
		    "spanrelay_credential_auth_fail_total{exporter=\"%s\",slot=\"%s\"} %" PRIu64
		    "\n",
		    p->conf->exporters[i].name, SLOT_NAMES[s],
		    get(&p->senders[i]->credential[s].refusals));
	return full;
}

static int put_generation(const struct page *p, unsigned i, struct buf *out)
{
	const struct credential_slot *slot = &p->senders[i]->credential[SLOT_CURRENT];
	return buf_printf(out, "spanrelay_credential_generation{exporter=\"%s\"} %" PRIu64 "\n",
			  p->conf->exporters[i].name, get(&slot->generation));
}

static int put_age(const struct page *p, unsigned i, struct buf *out)
{
	const struct credential_slot *slot = &p->senders[i]->credential[SLOT_CURRENT];
	return buf_printf(out, "spanrelay_credential_age_seconds{exporter=\"%s\"} %" PRIu64 "\n",
			  p->conf->exporters[i].name, age_s(slot));
}

int page_credential_metrics(const struct page *p, struct buf *out)
{
	static const struct {
		const char *name, *kind, *help;
		int (*put)(const struct page *p, unsigned exporter, struct buf *out);
	} FAMILIES[] = {
	    {"spanrelay_credential_generation", "gauge",
	     "Counts the credentials of this worker's life; 0: there is none.", put_generation},
	    {"spanrelay_credential_age_seconds", "gauge",
	     "Since the current credential was first read.", put_age},
	    {"spanrelay_credential_state", "gauge",
	     "1 for the state that the credential is in, else 0.", put_states},
	    {"spanrelay_credential_reload_total", "counter",
	     "Readings of the credential's source, by what came of them.", put_reloads},
	    {"spanrelay_credential_auth_fail_total", "counter",
	     "Requests whose credential the backend refused.", put_refusals},
	};
	int full = 0;
	for (size_t row = 0; row < sizeof(FAMILIES) / sizeof(FAMILIES[0]); row++) {
		full |=
		    page_family(out, FAMILIES[row].name, FAMILIES[row].kind, FAMILIES[row].help);
		for (unsigned i = 0; i < p->conf->n_exporters; i++)
			if (has_credential(p, i))
				full |= FAMILIES[row].put(p, i, out);
	}
	return full;
}
