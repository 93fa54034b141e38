/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a configuration: it is read, or every finding is one line that names its place and
 * holds nothing of the environment. */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

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
