/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/oauth2.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/address.h"
#include "conf/token.h"
#include "exporters/backend.h"
#include "exporters/credential.h"

enum { ANSWER_MAX = 64 << 10, TIMEOUT_MS = 10000 };

struct oauth2 {
	const struct conf_exporter *exporter;
	struct conf_exporter conf; /* of the token's endpoint; borrows texts of the other one */
	struct conf_header basic;  /* its only header */
	struct endpoint url;
	char endpoint[ADDRESS_HOST + 32], path[512], name[80];
	_Atomic uint64_t connects;
	struct backend *backend;
	struct export_call call;
	struct buf body;
	bool busy, quiet;
	struct secret *token;
	uint64_t life_s;
	int status;
	const char *reason;
	oauth2_on_end on_end;
	void *ctx;
};

static void wipe(struct buf *b)
{
	if (b->cap != 0)
		explicit_bzero(b->data, b->cap);
	buf_finish(b);
}

int oauth2_encode(struct buf *out, struct slice text)
{
	static const char HEX[] = "0123456789ABCDEF";
	int full = 0;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		const char coded[3] = {'%', HEX[c >> 4], HEX[c & 15]};
		bool plain = isalnum(c) || c == '-' || c == '.' || c == '_' || c == '*';
		full |= plain ? buf_append(out, &c, 1) : buf_append(out, coded, 3);
	}
	return full;
}

/* ---- the answer ---- */

struct secret *oauth2_read(struct slice body, uint64_t *life_s, const char **reason)
{
	json_t *o = body.len <= ANSWER_MAX ? json_loadb((const char *)body.data, body.len,
							JSON_REJECT_DUPLICATES, NULL)
					   : NULL;
	const json_t *text = json_object_get(o, "access_token");
	const json_t *type = json_object_get(o, "token_type");
	double life = json_number_value(json_object_get(o, "expires_in"));
	struct slice token = slice_of(json_string_value(text), json_string_length(text));
	struct secret *s = NULL;
	*reason = NULL;
	*life_s = life >= 1 && life < 1e9 ? (uint64_t)life : OAUTH2_LIFE_S;
	if (!json_is_string(text))
		*reason = "the answer has no access_token";
	else if (type != NULL && (!json_is_string(type) ||
				  !slice_is_nocase(slice_str(json_string_value(type)), "bearer")))
		*reason = "the token is not of type Bearer";
	else if (token_fault(token, NULL) != NULL)
		*reason = "what the answer calls a token can be none";
	else if ((s = secret_create(token)) == NULL)
		*reason = "no memory";
	if (token.len != 0)
		explicit_bzero((void *)(uintptr_t)token.data, token.len);
	json_decref(o);
	return s;
}

static struct outcome judge(const struct http_response *r, uint64_t now_unix_ms)
{
	(void)now_unix_ms;
	if (r->end != HTTP_WHOLE)
		return (struct outcome){RETRY, .status = -1, .reason = "no answer"};
	return (struct outcome){r->status == 200 ? SENT : REFUSED, .status = (int)r->status};
}

static void on_response(struct export_call *call, struct http_response *r)
{
	struct oauth2 *o = container_of(call, struct oauth2, call);
	if (r->end != HTTP_WHOLE)
		o->reason = r->lost != NULL ? r->lost : "no answer";
	else if (r->status != 200)
		o->reason = "the token's endpoint refuses";
	else
		o->token = oauth2_read(buf_slice(&r->body), &o->life_s, &o->reason);
	if (r->body.cap != 0)
		explicit_bzero(r->body.data, r->body.cap);
}

static void on_done(struct export_call *call, struct outcome outcome)
{
	struct oauth2 *o = container_of(call, struct oauth2, call);
	struct secret *token = o->token;
	wipe(&o->body);
	key_release(o->call.key);
	o->call.key = NULL;
	o->token = NULL;
	o->busy = false;
	if (o->quiet)
		secret_release(token);
	else
		o->on_end(o->ctx, token, o->life_s, outcome.status, o->reason);
}

/* ---- the request ---- */

static int make_body(struct oauth2 *o, struct slice id, struct slice secret)
{
	const struct conf_oauth2 *c = &o->exporter->oauth2;
	int full = buf_printf(&o->body, "grant_type=client_credentials");
	if (*c->scopes != '\0')
		full |=
		    buf_printf(&o->body, "&scope=") | oauth2_encode(&o->body, slice_str(c->scopes));
	if (c->auth == OAUTH2_BASIC)
		return full;
	full |= buf_printf(&o->body, "&client_id=") | oauth2_encode(&o->body, id);
	return full | buf_printf(&o->body, "&client_secret=") | oauth2_encode(&o->body, secret);
}

/* RFC 6749, 2.3.1: both are coded as in a form first. */
static struct key *make_basic(struct slice id, struct slice secret)
{
	struct buf pair = {.data = NULL}, coded = {.data = NULL};
	struct key *k = key_create();
	int full =
	    oauth2_encode(&pair, id) | buf_append(&pair, ":", 1) | oauth2_encode(&pair, secret);
	if (full == 0)
		full = buf_reserve(&coded, pair.len / 3 * 4 + 8);
	if (k != NULL && full == 0) {
		int n = EVP_EncodeBlock(coded.data, pair.data, (int)pair.len);
		k->values[0] = secret_join(slice_str("Basic "), slice_of(coded.data, (size_t)n));
		k->n = 1;
	}
	wipe(&pair);
	wipe(&coded);
	if (k == NULL || (k->n == 1 && k->values[0] != NULL))
		return k;
	k->n = 0;
	key_release(k);
	return NULL;
}

int oauth2_fetch(struct oauth2 *o, struct slice client_id, struct slice client_secret)
{
	if (o->busy)
		return OAUTH2_BUSY;
	bool basic = o->exporter->oauth2.auth == OAUTH2_BASIC;
	struct key *k = basic ? make_basic(client_id, client_secret) : NULL;
	if (make_body(o, client_id, client_secret) != 0 || (basic && k == NULL)) {
		wipe(&o->body);
		key_release(k);
		return -ENOMEM;
	}
	o->busy = true;
	o->reason = "no answer";
	o->call = (struct export_call){.body = buf_slice(&o->body),
				       .spans = 1,
				       .key = k,
				       .on_done = on_done,
				       .on_response = on_response};
	backend_send(o->backend, &o->call);
	return 0;
}

/* ---- the contract ---- */

/* Whom to trust is read once: the certificate of a token's endpoint is verified always. */
struct tls *oauth2_tls(const struct conf_exporter *e, struct tls_notes *notes)
{
	struct endpoint url;
	char where[96];
	bool own = *e->oauth2.ca_file != '\0';
	snprintf(where, sizeof(where), "exporters[%s].oauth2", e->name);
	struct tls_options options = {.where = where,
				      .ca_field = "ca_file",
				      .ca_file = own ? e->oauth2.ca_file : e->tls.ca_file};
	*notes->fault = *notes->warning = '\0';
	bool wanted = *e->oauth2.token_url != '\0' &&
		      endpoint_read(&url, e->oauth2.token_url) == NULL && url.tls;
	return wanted ? tls_client_create(&options, notes) : NULL;
}

struct oauth2 *oauth2_create(const struct conf_exporter *e, struct tls *tls, struct ev_loop *loop,
			     oauth2_on_end on_end, void *ctx)
{
	static char none[] = "", header_name[] = "authorization";
	struct oauth2 *o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	o->exporter = e;
	o->on_end = on_end;
	o->ctx = ctx;
	if (endpoint_read(&o->url, e->oauth2.token_url) != NULL) {
		free(o);
		return NULL;
	}
	endpoint_print(&o->url, o->endpoint, sizeof(o->endpoint));
	snprintf(o->path, sizeof(o->path), "%s", *o->url.path != '\0' ? o->url.path : "/");
	snprintf(o->name, sizeof(o->name), "%s.oauth2", e->name);
	o->basic = (struct conf_header){.name = header_name, .source = SOURCE_FILE};
	o->conf = (struct conf_exporter){.name = o->name,
					 .endpoint = o->endpoint,
					 .path = o->path,
					 .headers = &o->basic,
					 .n_headers = 1,
					 .tls.server_name = none,
					 .timeout_ms = TIMEOUT_MS,
					 .concurrency = 1};
	struct backend_protocol p = {.path = o->path, .judge = judge};
	backend_add_field(&p, "content-type", "application/x-www-form-urlencoded");
	backend_add_field(&p, "accept", "application/json");
	o->backend = backend_create(&o->conf, tls, loop, &p, &o->connects);
	if (o->backend != NULL)
		return o;
	free(o);
	return NULL;
}

void oauth2_take(struct oauth2 *o, const struct conf_exporter *e)
{
	o->exporter = e;
}

void oauth2_destroy(struct oauth2 *o)
{
	if (o == NULL)
		return;
	o->quiet = true;
	backend_destroy(o->backend);
	wipe(&o->body);
	free(o);
}
