/* SPDX-License-Identifier: Apache-2.0
 * relay/caller.h - who asked, for the audit log: the process and user that sent a SIGHUP. The
 * keeper gets it and passes it on; so that the worker does not take the keeper for the sender, who
 * sent it travels along as the value of sigqueue(3). Signals that the kernel merges are one, of one
 * sender. Whoever may signal the worker itself can lie about who they are (rt_sigqueueinfo(2));
 * that takes our own user, or root. Private to relay/. */
#ifndef RELAY_CALLER_H
#define RELAY_CALLER_H

#include <signal.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct caller {
	uint32_t pid, uid; /* pid 0: nobody that is known */
};

static inline uint64_t caller_pack(struct caller c)
{
	return (uint64_t)c.uid << 32 | c.pid;
}

static inline struct caller caller_unpack(uint64_t packed)
{
	return (struct caller){(uint32_t)packed, (uint32_t)(packed >> 32)};
}

/* A pointer is as wide as both on all that we build for; where it is not, the user is left out. */
static inline int caller_pass(pid_t worker, struct caller c)
{
	union sigval value = {.sival_ptr = (void *)(uintptr_t)caller_pack(c)};
	return sigqueue(worker, SIGHUP, value);
}

/* Of a signal that a worker got: what its keeper says, else who sent it. */
static inline struct caller caller_of(const struct signalfd_siginfo *s)
{
	if (s->ssi_code == SI_QUEUE && s->ssi_pid == (uint32_t)getppid())
		return caller_unpack(s->ssi_ptr);
	return (struct caller){s->ssi_pid, s->ssi_uid};
}

#endif
