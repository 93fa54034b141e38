/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/load.h"

#include "pipeline/policy.h"
#include "redaction/ruleset.h"

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
	return rc == RULESET_FAULTY ? CONF_FAULTY : rc;
}
