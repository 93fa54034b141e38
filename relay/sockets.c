/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/address.h"

/* The kernel cuts this to net.core.somaxconn. While no worker accepts, clients wait here. */
enum { BACKLOG = 4096, SYSTEMD_FIRST_FD = 3 };

static const char *const NAMES[SOCKETS] = {"grpc", "http", "admin"};

static void log_listening(const char *name, int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	memset(&at, 0, sizeof(at));
	char host[INET6_ADDRSTRLEN] = "?";
	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return;
	bool v6 = at.ss_family == AF_INET6;
	const void *bytes = v6 ? (const void *)&((struct sockaddr_in6 *)&at)->sin6_addr
			       : (const void *)&((struct sockaddr_in *)&at)->sin_addr;
	in_port_t port =
	    v6 ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port;
	inet_ntop(at.ss_family, bytes, host, sizeof(host));
	log_info("listening", "listener=%s address=%s%s%s:%u", name, v6 ? "[" : "", host,
		 v6 ? "]" : "", ntohs(port));
}

static socklen_t socket_address(const struct address *a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (a->v6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(a->port);
		inet_pton(AF_INET6, a->host, &v6->sin6_addr);
		return sizeof(*v6);
	}
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	v4->sin_family = AF_INET;
	v4->sin_port = htons(a->port);
	inet_pton(AF_INET, a->host, &v4->sin_addr);
	return sizeof(*v4);
}

static int open_one(const char *name, const char *text)
{
	struct address a;
	struct sockaddr_storage at;
	if (address_read(&a, text) != NULL)
		return fail(-EINVAL, "%s: not an address: %s", name, text);
	socklen_t len = socket_address(&a, &at);
	int one = 1, fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(-errno, "%s: no socket", name);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, BACKLOG) != 0) {
		int rc = fail(-errno, "%s: cannot listen on %s", name, text);
		close(fd);
		return rc;
	}
	return fd;
}

/* The name at `index` of a list parted by colons; the position tells where there are no names. */
static int slot_of(const char *names, int index)
{
	if (names == NULL)
		return index < SOCKETS ? index : -1;
	for (int i = 0; i < index && names != NULL; i++) {
		names = strchr(names, ':');
		names = names != NULL ? names + 1 : NULL;
	}
	for (int s = 0; names != NULL && s < SOCKETS; s++)
		if (slice_is(slice_of(names, strcspn(names, ":")), NAMES[s]))
			return s;
	return -1;
}

/* sd_listen_fds(3): the protocol is two variables, so it needs no library. */
static void take_from_systemd(int sockets[SOCKETS])
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	if (pid == NULL || count == NULL || strtol(pid, NULL, 10) != getpid())
		return;
	long n = strtol(count, NULL, 10);
	for (int i = 0; i < n && i < 16; i++) {
		int fd = SYSTEMD_FIRST_FD + i, slot = slot_of(names, i);
		if (slot < 0 || sockets[slot] >= 0) {
			log_warn("socket of systemd is not used", "index=%d", i);
			close(fd);
			continue;
		}
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		sockets[slot] = fd;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int sockets_open(const struct conf *conf, int sockets[SOCKETS])
{
	const char *const wanted[SOCKETS] = {conf->grpc.listen, conf->http.listen,
					     conf->admin.listen};
	for (int i = 0; i < SOCKETS; i++)
		sockets[i] = -1;
	take_from_systemd(sockets);
	for (int i = 0; i < SOCKETS; i++) {
		if (sockets[i] < 0 && strcmp(wanted[i], "off") == 0)
			continue;
		if (sockets[i] < 0)
			sockets[i] = open_one(NAMES[i], wanted[i]);
		if (sockets[i] < 0)
			return sockets[i] == -EADDRINUSE ? EX_UNAVAILABLE
			       : sockets[i] == -EACCES   ? EX_NOPERM
							 : EX_OSERR;
		log_listening(NAMES[i], sockets[i]);
	}
	return 0;
}

int program_open(void)
{
	static char path[PATH_MAX];
	if (path[0] == '\0' && readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return fail(-errno, "keeper: cannot tell the program's path");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : fail(-errno, "keeper: cannot open %s", path);
}
