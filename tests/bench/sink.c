/* SPDX-License-Identifier: Apache-2.0
 * A backend that takes OTLP/gRPC, says yes and counts. Prints `port N`, and on SIGUSR1 and at its
 * end (SIGTERM) a line of JSON. Spans of plain bodies are counted; those of gzip with --inflate
 * only. Without --port it finds itself one. With --cert and --key it speaks TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/list.h"
#include "base/tls.h"
#include "tests/bench/frame.h"
#include "wire/codec.h"
#include "wire/grpc.h"
#include "wire/otlp_walk.h"

/* Wide windows: a backend near by. What it gives back is seldom and in one piece. */
enum { STREAM_WINDOW = 8 << 20, WINDOW = 64 << 20, READ_BYTES = 256 << 10, BODY_MAX = 64 << 20 };

struct stream {
	struct list link; /* peer.streams */
	uint32_t id;
	struct buf body; /* with the gRPC prefix */
};

struct peer {
	int fd;
	struct tls_conn *tls; /* NULL: plain text */
	bool shaken;
	struct list streams; /* stream.link */
	struct buf in, out;
	bool greeted;
	uint32_t taken; /* of the connection's window */
};

static struct sink {
	uint64_t requests, bytes, spans;
	bool inflate;
	unsigned short port;
	struct tls_options files;
	struct tls *tls;
	struct codec *codec;
	struct buf plain;
} sink;

static void tell(void)
{
	printf("{\"requests\": %llu, \"bytes\": %llu, \"spans\": %llu}\n",
	       (unsigned long long)sink.requests, (unsigned long long)sink.bytes,
	       (unsigned long long)sink.spans);
	fflush(stdout);
}

static void count(const struct stream *s)
{
	if (s->body.len < GRPC_PREFIX)
		return;
	struct slice message = slice_of(s->body.data + GRPC_PREFIX, s->body.len - GRPC_PREFIX);
	bool packed = s->body.data[0] != 0;
	sink.requests++;
	sink.bytes += message.len;
	if (packed && sink.inflate) {
		sink.plain.len = 0;
		if (codec_decompress(sink.codec, CODING_GZIP, message, BODY_MAX, &sink.plain) != 0)
			return;
		message = buf_slice(&sink.plain);
		packed = false;
	}
	if (!packed)
		sink.spans += otlp_walk_spans(message);
}

/* :status 200, content-type; an empty ExportTraceServiceResponse; grpc-status 0. No HPACK table is
 * touched. */
static void answer(struct peer *p, uint32_t stream)
{
	static const char HEAD[] = "\x88\x0f\x10\x10"
				   "application/grpc";
	static const char MESSAGE[GRPC_PREFIX];
	static const char TRAILERS[] = "\x00\x0bgrpc-status\x01"
				       "0";
	frame_put(&p->out, FRAME_HEADERS, END_HEADERS, stream, HEAD, sizeof(HEAD) - 1);
	frame_put(&p->out, FRAME_DATA, 0, stream, MESSAGE, sizeof(MESSAGE));
	frame_put(&p->out, FRAME_HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS,
		  sizeof(TRAILERS) - 1);
}

static struct stream *stream_of(struct peer *p, uint32_t id)
{
	list_for_each_safe(pos, tmp, &p->streams)
	{
		struct stream *s = container_of(pos, struct stream, link);
		if (s->id == id)
			return s;
	}
	struct stream *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->id = id;
	list_add_tail(&p->streams, &s->link);
	return s;
}

static void stream_free(struct stream *s)
{
	list_del(&s->link);
	buf_finish(&s->body);
	free(s);
}

static void on_data(struct peer *p, const struct frame *f)
{
	struct stream *s = stream_of(p, f->stream);
	struct slice piece = frame_content(f);
	buf_append(&s->body, piece.data, piece.len);
	p->taken += (uint32_t)f->payload.len;
	if (p->taken >= WINDOW / 2) {
		frame_put_window(&p->out, 0, p->taken);
		p->taken = 0;
	}
	if ((f->flags & END_STREAM) == 0)
		return;
	count(s);
	answer(p, s->id);
	stream_free(s);
}

static void on_frame(struct peer *p, const struct frame *f)
{
	bool ack = (f->flags & ACK) != 0;
	if (f->type == FRAME_DATA)
		on_data(p, f);
	else if (f->type == FRAME_SETTINGS && !ack)
		frame_put(&p->out, FRAME_SETTINGS, ACK, 0, NULL, 0);
	else if (f->type == FRAME_PING && !ack)
		frame_put(&p->out, FRAME_PING, ACK, 0, f->payload.data, f->payload.len);
	else if (f->type == FRAME_RST_STREAM)
		stream_free(stream_of(p, f->stream));
}

static bool greet(struct peer *p)
{
	size_t len = sizeof(FRAME_PREFACE) - 1;
	if (p->greeted || p->in.len < len)
		return p->greeted;
	frame_put_setting(&p->out, SETTING_INITIAL_WINDOW, STREAM_WINDOW);
	frame_put_window(&p->out, 0, WINDOW - WINDOW_DEFAULT);
	buf_consume(&p->in, len);
	p->greeted = true;
	return true;
}

/* Bytes; 0: not now; -1: it is gone. The socket blocks, so a handshake is one call. */
static ssize_t receive(struct peer *p, uint8_t *out)
{
	ssize_t n;
	if (p->tls == NULL) {
		n = recv(p->fd, out, READ_BYTES, 0);
		return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
	}
	if (!p->shaken && tls_handshake(p->tls) != 0)
		return -1;
	if (!p->shaken) {
		p->shaken = true;
		fcntl(p->fd, F_SETFL, O_NONBLOCK);
	}
	size_t got = 0;
	while (READ_BYTES - got >= FRAME_MAX &&
	       (n = tls_read(p->tls, out + got, READ_BYTES - got)) > 0)
		got += (size_t)n;
	return got != 0 ? (ssize_t)got : n == TLS_WANT_READ ? 0 : -1;
}

static bool send_answers(struct peer *p)
{
	ssize_t n = (ssize_t)p->out.len;
	if (n != 0 &&
	    p->tls != NULL) /* answers are small; a peer that does not read them is lost */
		n = tls_write(p->tls, buf_slice(&p->out));
	else if (n != 0)
		n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);
	bool whole = n == (ssize_t)p->out.len;
	p->out.len = 0;
	return whole;
}

/* false: it is gone. */
static bool serve(struct peer *p)
{
	struct frame f;
	if (buf_reserve(&p->in, READ_BYTES) != 0)
		return false;
	ssize_t n = receive(p, p->in.data + p->in.len);
	if (n <= 0)
		return n == 0;
	p->in.len += (size_t)n;
	if (!greet(p))
		return true;
	struct slice bytes = buf_slice(&p->in);
	while (frame_next(&bytes, &f))
		on_frame(p, &f);
	buf_consume(&p->in, p->in.len - bytes.len);
	if (!send_answers(p))
		return false;
	return p->tls == NULL || !tls_has_more(p->tls) || serve(p);
}

static void peer_free(struct peer *p)
{
	list_for_each_safe(pos, tmp, &p->streams)
	    stream_free(container_of(pos, struct stream, link));
	tls_close(p->tls);
	close(p->fd);
	buf_finish(&p->in);
	buf_finish(&p->out);
	free(p);
}

static void take(int epoll, int listener)
{
	struct peer *p = calloc(1, sizeof(*p));
	if (p == NULL)
		abort();
	p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	list_init(&p->streams);
	if (sink.tls != NULL && (p->tls = tls_accept(sink.tls, p->fd)) == NULL)
		abort();
	epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd,
		  &(struct epoll_event){.events = EPOLLIN, .data.ptr = p});
}

static int listen_somewhere(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(sink.port)};
	socklen_t len = sizeof(at);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return -1;
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

static int read_options(int argc, char **argv)
{
	static const struct option OPTIONS[] = {{"inflate", 0, NULL, 'i'},
						{"port", 1, NULL, 'p'},
						{"cert", 1, NULL, 'c'},
						{"key", 1, NULL, 'k'},
						{NULL, 0, NULL, 0}};
	for (int o; (o = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		if (o == 'i')
			sink.inflate = true;
		else if (o == 'p')
			sink.port = (unsigned short)strtoul(optarg, NULL, 10);
		else if (o == 'c')
			sink.files.cert_file = optarg;
		else if (o == 'k')
			sink.files.key_file = optarg;
		else
			return -1;
	}
	return optind == argc ? 0 : -1;
}

static bool be_secure(void)
{
	struct tls_notes notes;
	sink.files.where = "sink";
	sink.files.alpn = slice_str("\2h2");
	signal(SIGPIPE, SIG_IGN);
	sink.tls = tls_server_create(&sink.files, &notes);
	if (sink.tls == NULL)
		fprintf(stderr, "%s\n", notes.fault);
	return sink.tls != NULL;
}

int main(int argc, char **argv)
{
	sigset_t signals;
	if (read_options(argc, argv) != 0)
		return EX_USAGE;
	sink.codec = codec_create();
	if (sink.files.cert_file != NULL && !be_secure())
		return EX_NOINPUT;
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	int told = signalfd(-1, &signals, SFD_CLOEXEC), epoll = epoll_create1(EPOLL_CLOEXEC);
	int listener = listen_somewhere();
	if (listener < 0 || sink.codec == NULL)
		return 1;
	epoll_ctl(epoll, EPOLL_CTL_ADD, told, &(struct epoll_event){EPOLLIN, {.ptr = &told}});
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener,
		  &(struct epoll_event){EPOLLIN, {.ptr = &listener}});
	for (;;) {
		struct epoll_event e;
		struct signalfd_siginfo info;
		if (epoll_wait(epoll, &e, 1, -1) != 1)
			continue;
		if (e.data.ptr == &listener) {
			take(epoll, listener);
		} else if (e.data.ptr != &told) {
			struct peer *p = e.data.ptr;
			if (!serve(p))
				peer_free(p);
		} else if (read(told, &info, sizeof(info)) == sizeof(info)) {
			tell();
			if (info.ssi_signo == SIGTERM)
				return 0;
		}
	}
}
