/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/load.h"

#include "pipeline/policy.h"

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
