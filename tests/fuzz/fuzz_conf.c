/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a configuration: it is read and its rules compiled, or every finding is one line
 * that names its place and holds nothing of the environment. */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "pipeline/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "@s3same@"

static void want(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf c;
	struct buf findings = {.data = NULL};
	setenv("S", SECRET, 1); /* short, so that ${env:S} is found soon */
	int rc = conf_parse(&c, "f", slice_of(data, size), &findings);
	want(rc == 0 || rc == CONF_FAULTY);
	want(rc == 0 ? c.n_exporters >= 1 : findings.len != 0 && c.exporters == NULL);
	struct policy *policy = NULL;
	if (rc == 0) {
		size_t before = findings.len;
		int bad = policy_create(&policy, &c, "f", &findings);
		want(bad == 0 || (bad == POLICY_BAD && findings.len > before));
		want(bad != 0 ? policy == NULL
			      : policy->n_rules >= 1 && policy->n_words >= 1 &&
				    policy->rules[policy->n_rules - 1].condition == POLICY_ALWAYS);
		policy_destroy(policy);
	}
	want(findings.len == 0 ||
	     memmem(findings.data, findings.len, SECRET, strlen(SECRET)) == NULL ||
	     memmem(data, size, SECRET, strlen(SECRET)) != NULL);
	for (size_t i = 0; i < findings.len; i++)
		want(findings.data[i] == '\n' ||
		     (findings.data[i] >= ' ' && findings.data[i] <= '~'));
	conf_finish(&c);
	buf_finish(&findings);
	return 0;
}
