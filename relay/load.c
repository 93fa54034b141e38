/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/load.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "conf/token.h"
#include "identity/registry.h"
#include "pipeline/policy.h"
#include "redaction/ruleset.h"
#include "relay/key_file.h"

int load_configuration(struct conf *c, struct policy **policy, const char *path,
		       struct buf *findings)
{
	struct policy *made = NULL;
	int rc = conf_load(c, path, findings);
	if (rc != 0)
		return rc;
	rc = policy_create(&made, c, path != NULL ? path : "defaults", findings);
	if (rc != 0)
		conf_finish(c);
	else if (policy != NULL)
		*policy = made;
	else
		policy_destroy(made);
	return rc;
}

int load_rules(const struct conf *c, struct ruleset **rules, struct buf *findings)
{
	const struct conf_redaction *r = &c->redaction;
	*rules = NULL;
	if (r->packs.n == 0 && *r->rules_dir == '\0' && r->keys.block.n == 0 &&
	    r->keys.allow_only.n == 0)
		return 0;
	int rc = ruleset_build(rules, r, findings);
	malloc_trim(0); /* an automaton takes many times its size to be made */
	return rc == RULESET_FAULTY ? CONF_FAULTY : rc;
}

/* ---- clients ---- */

static int say(const struct conf *c, const struct conf_client *client, const char *field,
	       const char *what, struct buf *findings)
{
	return buf_printf(findings, "%s:%u:%u: clients[%s].%s: %s\n", c->redaction.file,
			  client->at.line, client->at.column, client->name, field, what) != 0
		   ? -ENOMEM
		   : CONF_FAULTY;
}

static int add(struct registry *r, const struct conf *c, size_t i, enum identity_source by,
	       const char *field, struct slice what, struct buf *findings)
{
	int rc = registry_add(r, i, by, what);
	return rc == REGISTRY_TAKEN
		   ? say(c, &c->clients[i], field, "another client is known by it", findings)
		   : rc;
}

static int add_tokens(struct registry *r, const struct conf *c, size_t i, struct slice text,
		      struct buf *findings)
{
	const struct conf_client *client = &c->clients[i];
	struct slice token[2];
	const char *wrong = token_lines(text, &token[0], &token[1]);
	int rc = wrong != NULL ? say(c, client, "token.file", wrong, findings) : 0;
	for (int k = 0; k < 2 && rc == 0; k++) {
		if (k == 1 && token[k].len == 0)
			break;
		wrong = token_fault(token[k], NULL);
		rc = wrong != NULL ? say(c, client, "token.file", wrong, findings)
				   : add(r, c, i, IDENTITY_TOKEN, "token.file", token[k], findings);
	}
	return rc;
}

static int add_file(struct registry *r, const struct conf *c, size_t i, struct buf *findings)
{
	uint8_t text[KEY_FILE_MAX + 1];
	size_t len = 0;
	bool open = c->credentials.world_readable == WORLD_READABLE_ALLOW;
	enum key_result got = key_file_read(c->clients[i].token_file, open, text, &len);
	int rc = got == KEY_CHANGED ? add_tokens(r, c, i, slice_of(text, len), findings)
		 : got == KEY_NO_MEMORY
		     ? -ENOMEM
		     : say(c, &c->clients[i], "token.file", KEY_RESULT_NAMES[got], findings);
	explicit_bzero(text, sizeof(text));
	return rc;
}

static int add_name(struct registry *r, const struct conf *c, size_t i, const char *field,
		    const char *kind, const char *name, struct buf *findings)
{
	char text[1200];
	if (*name == '\0')
		return 0;
	int len = snprintf(text, sizeof(text), "%s:%s", kind, name);
	return add(r, c, i, IDENTITY_MTLS, field, slice_of(text, (size_t)len), findings);
}

int load_clients(const struct conf *c, struct registry **registry, struct buf *findings)
{
	int rc = 0;
	*registry = NULL;
	if (c->identity == IDENTITY_OFF)
		return 0;
	struct registry *r = registry_create(c);
	if (r == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_clients && rc == 0; i++) {
		const struct conf_client *client = &c->clients[i];
		if (*client->token_file != '\0')
			rc = add_file(r, c, i, findings);
		if (rc == 0)
			rc = add_name(r, c, i, "certificate.subject", "subject",
				      client->certificate_subject, findings);
		if (rc == 0)
			rc = add_name(r, c, i, "certificate.san", "san", client->certificate_san,
				      findings);
	}
	if (rc == 0)
		*registry = r;
	else
		registry_destroy(r);
	return rc;
}
