/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "wire/http1.h"

enum { ANSWER_MAX = 4 << 20, WAIT_S = 5 };

static bool set_admin(struct asking *a, const char *text)
{
	const char *wanted = address_read(&a->admin, text);
	if (wanted != NULL)
		fprintf(stderr, "spanrelay: --admin wants %s\n", wanted);
	return wanted == NULL;
}

static bool set_admin_of(struct asking *a, const char *file)
{
	struct conf conf;
	struct buf findings = {.data = NULL};
	bool found = conf_load(&conf, file, &findings) == 0;
	if (!found)
		fprintf(stderr, "%.*sspanrelay: --admin ADDRESS needs no configuration\n",
			(int)findings.len,
			findings.data != NULL ? (const char *)findings.data : "");
	buf_finish(&findings);
	if (found && address_read(&a->admin, conf.admin.listen) != NULL) {
		fprintf(stderr, "%s: admin.listen is off: there is nobody to ask\n", file);
		found = false;
	}
	conf_finish(&conf);
	return found;
}

/* One option; false: the command ends. */
static bool take(struct asking *a, int option, const char *help, int *code)
{
	*code = EX_USAGE;
	switch (option) {
	case 'a':
		return set_admin(a, optarg);
	case 'c':
		*code = EX_CONFIG;
		return set_admin_of(a, optarg);
	case 'j':
		a->json = true;
		return true;
	case 'h':
		fputs(help, stdout);
		*code = EX_OK;
		return false;
	default:
		return false;
	}
}

bool asking_read(struct asking *a, int argc, char **argv, const char *help, const char **operand,
		 int *code)
{
	static const struct option LONG[] = {{"admin", required_argument, NULL, 'a'},
					     {"config", required_argument, NULL, 'c'},
					     {"json", no_argument, NULL, 'j'},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};
	*a = (struct asking){.json = false};
	address_read(&a->admin, "127.0.0.1:4320");
	int option;
	while ((option = getopt_long(argc, argv, "c:h", LONG, NULL)) != -1)
		if (!take(a, option, help, code))
			return false;
	if (operand != NULL && optind < argc)
		*operand = argv[optind++];
	if (optind == argc)
		return true;
	fprintf(stderr, "spanrelay %s: unexpected argument: %s\n", argv[0], argv[optind]);
	*code = EX_USAGE;
	return false;
}

/* A listener on all addresses is reached by the loopback one. */
static int connect_to(const struct asking *asking)
{
	const struct address *a = &asking->admin;
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
	inet_pton(AF_INET, a->any ? "127.0.0.1" : a->host, &v4.sin_addr);
	inet_pton(AF_INET6, a->any ? "::1" : a->host, &v6.sin6_addr);
	int fd = socket(a->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	struct timeval wait = {.tv_sec = asking->patience_s != 0 ? asking->patience_s : WAIT_S};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	int rc = a->v6 ? connect(fd, (struct sockaddr *)&v6, sizeof(v6))
		       : connect(fd, (struct sockaddr *)&v4, sizeof(v4));
	if (rc == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

struct reply {
	struct buf *body;
	unsigned status;
	bool complete;
};

static int on_head(void *ctx, const struct http1_head *head)
{
	struct reply *r = ctx;
	r->status = head->status;
	return 0;
}

static int on_body(void *ctx, struct slice piece)
{
	struct reply *r = ctx;
	return buf_append(r->body, piece.data, piece.len);
}

static int on_complete(void *ctx)
{
	struct reply *r = ctx;
	r->complete = true;
	return 0;
}

/* 0 when a whole answer came. */
static int converse(int fd, const char *method, const char *path, struct reply *r)
{
	static const struct http1_events EVENTS = {on_head, on_body, on_complete};
	char request[256];
	uint8_t bytes[16384];
	struct http1 http;
	int len = snprintf(request, sizeof(request),
			   "%s %s HTTP/1.1\r\nHost: spanrelay\r\nConnection: close\r\n"
			   "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n",
			   method, path);
	if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
		return -EIO;
	http1_init(&http, true, &EVENTS, r);
	int rc = 0;
	while (!r->complete && rc == 0) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
		if (n > 0)
			rc = http1_feed(&http, slice_of(bytes, (size_t)n));
		else
			rc = n < 0 ? -errno : -ECONNRESET;
	}
	http1_finish(&http);
	return rc;
}

static int ask_by(const struct asking *a, const char *method, const char *path, struct buf *body,
		  char why[ASK_WHY])
{
	char at[ADDRESS_HOST + 16];
	struct reply r = {.body = body};
	address_print(&a->admin, at, sizeof(at));
	body->limit = ANSWER_MAX;
	int fd = connect_to(a);
	if (fd < 0) {
		snprintf(why, ASK_WHY, "no relay answers at %.60s: %s", at, strerrordesc_np(-fd));
		return EX_UNAVAILABLE;
	}
	int rc = converse(fd, method, path, &r);
	close(fd);
	if (rc != 0) {
		snprintf(why, ASK_WHY, "what answers at %.60s is no relay, or a very slow one", at);
		return EX_UNAVAILABLE;
	}
	if (r.status == 200)
		return 0;
	snprintf(why, ASK_WHY, "%.60s answers %u to %s: %.*s", at, r.status, path,
		 body->len > 60 ? 60 : (int)body->len,
		 body->data != NULL ? (const char *)body->data : "");
	why[strcspn(why, "\n")] = '\0';
	return EX_UNAVAILABLE;
}

int ask(const struct asking *a, const char *path, struct buf *body, char why[ASK_WHY])
{
	return ask_by(a, "GET", path, body, why);
}

int ask_to(const struct asking *a, const char *path, struct buf *body, char why[ASK_WHY])
{
	return ask_by(a, "POST", path, body, why);
}

json_t *ask_status(const struct asking *a, int *code, char why[ASK_WHY])
{
	struct buf body = {.data = NULL};
	json_t *status = NULL;
	*code = ask(a, "/status", &body, why);
	if (*code == 0) {
		status = json_loadb((const char *)body.data, body.len, 0, NULL);
		if (status == NULL) {
			snprintf(why, ASK_WHY, "what answers is no relay: its status is not JSON");
			*code = EX_UNAVAILABLE;
		}
	}
	buf_finish(&body);
	return status;
}
