/* SPDX-License-Identifier: Apache-2.0
 * relay/process.h - what the kernel says of this process. */
#ifndef RELAY_PROCESS_H
#define RELAY_PROCESS_H

#include <stdint.h>

struct process {
	uint64_t anonymous_bytes; /* heap and stacks; not the journal's mapped pages. 0: unknown */
	uint64_t resident_bytes;
	uint64_t open_fds; /* 0: unknown */
	double cpu_seconds;
};

void process_read(struct process *p);

#endif
