/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/load.h"

#include "pipeline/policy.h"

int load_configuration(struct conf *c, const char *path, struct buf *findings)
{
	struct policy *policy = NULL;
	int rc = conf_load(c, path, findings);
	if (rc != 0)
		return rc;
	rc = policy_create(&policy, c, path != NULL ? path : "defaults", findings);
	if (rc == 0)
		policy_destroy(policy);
	else
		conf_finish(c);
	return rc;
}
