/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The number of KiB behind `name` in /proc/self/status. */
static uint64_t field_bytes(const char *status, const char *name)
{
	const char *at = strstr(status, name);
	return at != NULL ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static void read_memory(struct process *p)
{
	char status[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = read(fd, status, sizeof(status) - 1);
	close(fd);
	status[n > 0 ? n : 0] = '\0';
	p->anonymous_bytes = field_bytes(status, "RssAnon:");
	p->resident_bytes = field_bytes(status, "VmRSS:");
}

static uint64_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;
	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

void process_read(struct process *p)
{
	*p = (struct process){.open_fds = count_fds()};
	read_memory(p);
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		p->cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
