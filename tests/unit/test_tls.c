/* SPDX-License-Identifier: Apache-2.0
 * What is wrong with files, and both sides of a connection in one thread. */
#include "base/tls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certificates.h"

static char folder[] = "/tmp/spanrelay-test-tls-XXXXXX";
static struct made ca, leaf, client, stranger;

static const char *at(const char *name)
{
	static char paths[8][300]; /* as many as one call may need */
	static unsigned next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_text(const char *name, const char *text, size_t times)
{
	FILE *f = fopen(at(name), "w");
	for (size_t i = 0; i < times; i++)
		fputs(text, f);
	CHECK(fclose(f) == 0 && chmod(at(name), 0600) == 0);
}

static void make_files(void)
{
	ca = made_create("ca", NULL, NULL, -60, 3600);
	leaf = made_create("leaf", "DNS:localhost", &ca, -60, 3600);
	client = made_create("client", "DNS:client", &ca, -60, 3600);
	stranger = made_create("stranger", "DNS:localhost", NULL, -60, 3600);
	struct made expired = made_create("old", "DNS:localhost", &ca, -7200, -3600);
	struct made early = made_create("young", "DNS:localhost", &ca, 3600, 7200);
	made_write_cert(&ca, at("ca"));
	made_write_cert(&leaf, at("leaf"));
	made_write_key(&leaf, at("leaf.key"), NULL);
	made_write_cert(&client, at("client"));
	made_write_key(&client, at("client.key"), NULL);
	made_write_cert(&stranger, at("stranger"));
	made_write_key(&stranger, at("stranger.key"), NULL);
	made_write_cert(&expired, at("expired"));
	made_write_key(&expired, at("expired.key"), NULL);
	made_write_cert(&early, at("early"));
	made_write_key(&early, at("early.key"), NULL);
	made_write_key(&leaf, at("encrypted.key"), "sesame");
	made_write_key(&leaf, at("open.key"), NULL);
	CHECK(chmod(at("open.key"), 0644) == 0);
	write_text("empty", "", 0);
	write_text("nonsense", "sesame\n", 9);
	write_text("huge", "sesame\n", 150000);
	write_text("broken", "-----BEGIN CERTIFICATE-----\nc2VzYW1l\n-----END CERTIFICATE-----\n",
		   1);
	write_text("cut.key", "-----BEGIN PRIVATE KEY-----\nc2VzYW1l\n", 1);
	CHECK(mkfifo(at("pipe"), 0600) == 0);
	made_free(&expired);
	made_free(&early);
}

static void remove_files(void)
{
	DIR *dir = opendir(folder);
	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
		if (e->d_name[0] != '.')
			unlink(at(e->d_name));
	closedir(dir);
	rmdir(folder);
}

/* ---- files ---- */

static void test_each_bad_file_is_named_with_its_field_and_its_fault(void)
{
	static const struct {
		const char *cert, *key, *ca, *fault, *warning;
	} rows[] = {
	    {"leaf", "leaf.key", "ca", "", ""},
	    {"none", "leaf.key", "", "cert_file: %s/none: No such file or directory", ""},
	    {"leaf", "none", "", "key_file: %s/none: No such file or directory", ""},
	    {"leaf", "leaf.key", "none", "client_ca_file: %s/none: No such file or directory", ""},
	    {".", "leaf.key", "", "cert_file: %s/.: is no regular file", ""},
	    {"pipe", "leaf.key", "", "cert_file: %s/pipe: is no regular file", ""},
	    {"empty", "leaf.key", "", "cert_file: %s/empty: is empty", ""},
	    {"huge", "leaf.key", "", "cert_file: %s/huge: is larger than 1 MiB", ""},
	    {"nonsense", "leaf.key", "", "cert_file: %s/nonsense: holds no certificate in PEM", ""},
	    {"leaf.key", "leaf.key", "", "cert_file: %s/leaf.key: holds no certificate in PEM", ""},
	    {"broken", "leaf.key", "", "cert_file: %s/broken: holds a broken certificate", ""},
	    {"leaf", "nonsense", "", "key_file: %s/nonsense: holds no private key in PEM", ""},
	    {"leaf", "leaf", "",
	     "key_file: %s/leaf: can be read by everybody: wanted mode 0600 or 0640", ""},
	    {"leaf", "cut.key", "", "key_file: %s/cut.key: holds a broken key", ""},
	    {"leaf", "encrypted.key", "",
	     "key_file: %s/encrypted.key: holds an encrypted key: wanted one without a passphrase",
	     ""},
	    {"leaf", "open.key", "",
	     "key_file: %s/open.key: can be read by everybody: wanted mode 0600 or 0640", ""},
	    {"leaf", "client.key", "",
	     "key_file: %s/client.key: is not the key of the first certificate in cert_file", ""},
	    {"leaf", "", "", "key_file: is missing", ""},
	    {"", "leaf.key", "", "cert_file: is missing", ""},
	    {"leaf", "leaf.key", "empty", "client_ca_file: %s/empty: is empty", ""},
	    {"leaf", "leaf.key", "leaf.key",
	     "client_ca_file: %s/leaf.key: holds no certificate in PEM", ""},
	    {"expired", "expired.key", "", "",
	     "cert_file: %s/expired: a certificate in it has expired"},
	    {"early", "early.key", "", "",
	     "cert_file: %s/early: a certificate in it is not valid yet"},
	    {"leaf", "leaf.key", "expired", "",
	     "client_ca_file: %s/expired: a certificate in it has expired"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_notes notes;
		struct tls_options o = {
		    .where = "w", .ca_field = "client_ca_file", .alpn = slice_str("")};
		o.cert_file = *rows[i].cert != '\0' ? at(rows[i].cert) : "";
		o.key_file = *rows[i].key != '\0' ? at(rows[i].key) : "";
		o.ca_file = *rows[i].ca != '\0' ? at(rows[i].ca) : "";
		struct tls *tls = tls_server_create(&o, &notes);
		char wanted[2][TLS_NOTE] = {"", ""};
		const char *forms[] = {rows[i].fault, rows[i].warning};
		for (int k = 0; k < 2; k++) {
			const char *mark = strstr(forms[k], "%s");
			if (*forms[k] == '\0')
				continue;
			if (mark == NULL)
				snprintf(wanted[k], TLS_NOTE, "w.%s", forms[k]);
			else
				snprintf(wanted[k], TLS_NOTE, "w.%.*s%s%s", (int)(mark - forms[k]),
					 forms[k], folder, mark + 2);
		}
		CHECK_STR(notes.fault, wanted[0]);
		CHECK_STR(notes.warning, wanted[1]);
		CHECK((tls == NULL) == (*rows[i].fault != '\0'));
		CHECK(strstr(notes.fault, "sesame") == NULL);
		tls_unref(tls);
	}
}

static struct tls *server_of(const char *cert, enum tls_clients clients, const char *alpn)
{
	struct tls_notes notes;
	char key[32];
	snprintf(key, sizeof(key), "%s.key", cert);
	struct tls_options o = {.where = "server",
				.ca_field = "ca_file",
				.cert_file = at(cert),
				.key_file = at(key),
				.ca_file = at("ca"),
				.alpn = slice_str(alpn),
				.clients = clients};
	struct tls *tls = tls_server_create(&o, &notes);
	CHECK_STR(notes.fault, "");
	return tls;
}

static struct tls *client_of(const char *cert, const char *trust)
{
	struct tls_notes notes;
	char key[32];
	snprintf(key, sizeof(key), "%s.key", cert);
	struct tls_options o = {.where = "client",
				.ca_field = "ca_file",
				.cert_file = *cert != '\0' ? at(cert) : "",
				.key_file = *cert != '\0' ? at(key) : "",
				.ca_file = trust != NULL ? at(trust) : "",
				.skip_verify = trust == NULL};
	struct tls *tls = tls_client_create(&o, &notes);
	CHECK_STR(notes.fault, "");
	return tls;
}

static void test_only_other_bytes_in_the_files_make_another_one(void)
{
	struct tls *a = server_of("leaf", TLS_CLIENTS_ANY, ""),
		   *b = server_of("leaf", TLS_CLIENTS_ANY, "");
	struct tls *must = server_of("leaf", TLS_CLIENTS_MUST, "");
	struct tls *other = server_of("client", TLS_CLIENTS_ANY, "");
	CHECK(tls_equal(a, b) && !tls_equal(a, other) && !tls_equal(a, must) &&
	      !tls_equal(a, NULL));
	CHECK(tls_expiry(a) > time(NULL) + 3500 && tls_expiry(a) <= time(NULL) + 3600);
	struct tls *none = client_of("", "ca");
	CHECK_EQ(tls_expiry(none), 0);
	tls_unref(a);
	tls_unref(b);
	tls_unref(must);
	tls_unref(other);
	tls_unref(none);
}

/* ---- connections ---- */

static int sockets[2];
static struct tls_conn *here, *there; /* the client, the server */

/* Both take a reference; the callers' are given up, as a room that has got a new one does. */
static void meet(struct tls *of_client, struct tls *of_server, const char *alpn)
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
	here = tls_connect(of_client, sockets[0], "localhost", slice_str(alpn));
	there = tls_accept(of_server, sockets[1]);
	CHECK(here != NULL && there != NULL);
	tls_unref(of_client);
	tls_unref(of_server);
}

static void part(void)
{
	tls_close(here);
	tls_close(there);
	close(sockets[0]);
	close(sockets[1]);
}

static bool is_waiting(int rc)
{
	return rc == TLS_WANT_READ || rc == TLS_WANT_WRITE;
}

/* What each side ends with. */
static void shake(int *client_rc, int *server_rc)
{
	*client_rc = *server_rc = TLS_WANT_READ;
	for (int i = 0; i < 20 && (is_waiting(*client_rc) || is_waiting(*server_rc)); i++) {
		if (is_waiting(*client_rc))
			*client_rc = tls_handshake(here);
		if (is_waiting(*server_rc))
			*server_rc = tls_handshake(there);
	}
}

static void test_a_handshake_agrees_on_the_first_protocol_of_the_server(void)
{
	static const struct {
		const char *server, *client, *agreed;
		int rc;
	} rows[] = {
	    {"\2h2\10http/1.1", "\10http/1.1\2h2", "h2", 0},
	    {"\2h2\10http/1.1", "\10http/1.1", "http/1.1", 0},
	    {"\2h2", "", "", 0},
	    {"\2h2", "\10http/1.1\3foo", "", TLS_FAILED},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int rc[2];
		meet(client_of("", "ca"), server_of("leaf", TLS_CLIENTS_ANY, rows[i].server),
		     rows[i].client);
		shake(&rc[0], &rc[1]);
		CHECK_EQ(rc[1], rows[i].rc);
		CHECK_EQ(rc[0], rows[i].rc);
		if (rows[i].rc == 0)
			CHECK(slice_is(tls_alpn(here), rows[i].agreed) &&
			      slice_is(tls_alpn(there), rows[i].agreed));
		else
			CHECK_STR(tls_reason(there), "the peer offers none of our ALPN protocols");
		part();
	}
}

static void test_only_certificates_that_are_trusted_are_let_in(void)
{
	static const struct {
		const char *shown, *trusted; /* the server's; NULL: skip_verify */
		const char *client;
		enum tls_clients clients;
		const char *client_reason, *server_reason; /* NULL: all is well */
	} rows[] = {
	    {"leaf", "ca", "", TLS_CLIENTS_ANY, NULL, NULL},
	    {"leaf", "ca", "client", TLS_CLIENTS_MUST, NULL, NULL},
	    {"leaf", "ca", "client", TLS_CLIENTS_MAY, NULL, NULL},
	    {"leaf", "ca", "", TLS_CLIENTS_MAY, NULL, NULL},
	    {"leaf", "ca", "", TLS_CLIENTS_MUST, NULL, "the client shows no certificate"},
	    {"leaf", "ca", "stranger", TLS_CLIENTS_MUST, NULL, "the certificate is not trusted"},
	    {"leaf", "ca", "stranger", TLS_CLIENTS_MAY, NULL, "the certificate is not trusted"},
	    {"leaf", "ca", "expired", TLS_CLIENTS_MAY, NULL, "the certificate is out of date"},
	    {"stranger", "ca", "", TLS_CLIENTS_ANY, "the certificate is not trusted",
	     "the peer does not trust our certificate"},
	    {"client", "ca", "", TLS_CLIENTS_ANY, "the certificate is for another name",
	     "the peer refuses our certificate"},
	    {"expired", "ca", "", TLS_CLIENTS_ANY, "the certificate is out of date",
	     "the peer says our certificate has expired"},
	    {"leaf", "leaf", "", TLS_CLIENTS_ANY, NULL,
	     NULL}, /* what stands in the file is trusted */
	    {"stranger", NULL, "", TLS_CLIENTS_ANY, NULL, NULL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int rc[2];
		meet(client_of(rows[i].client, rows[i].trusted),
		     server_of(rows[i].shown, rows[i].clients, "\2h2"), "\2h2");
		shake(&rc[0], &rc[1]);
		CHECK_EQ(rc[0], rows[i].client_reason == NULL ? 0 : TLS_FAILED);
		CHECK_EQ(rc[1], rows[i].server_reason == NULL ? 0 : TLS_FAILED);
		if (rows[i].client_reason != NULL)
			CHECK_STR(tls_reason(here), rows[i].client_reason);
		if (rows[i].server_reason != NULL)
			CHECK_STR(tls_reason(there), rows[i].server_reason);
		part();
	}
}

static void test_a_version_that_is_too_old_is_refused(void)
{
	struct tls_notes notes;
	int rc[2];
	struct tls_options o = {.where = "s",
				.ca_field = "ca_file",
				.cert_file = at("leaf"),
				.key_file = at("leaf.key"),
				.alpn = slice_str(""),
				.least = TLS_1_3};
	SSL_CTX *old = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
	SSL *ssl = SSL_new(old);
	SSL_set_fd(ssl, sockets[0]);
	struct tls *tls = tls_server_create(&o, &notes);
	there = tls_accept(tls, sockets[1]);
	here = NULL;
	tls_unref(tls);
	rc[0] = SSL_connect(ssl);
	rc[1] = tls_handshake(there);
	CHECK_EQ(rc[1], TLS_FAILED);
	CHECK_STR(tls_reason(there), "the peer's TLS version is too old");
	SSL_free(ssl);
	SSL_CTX_free(old);
	part();
}

/* What the reader finds is what was written, whatever the sizes; and no byte is forgotten. */
static void test_bytes_pass_whole_and_the_end_is_told(void)
{
	enum { LEN = 300000 };
	static uint8_t sent[LEN], got[LEN];
	int rc[2];
	meet(client_of("", "ca"), server_of("leaf", TLS_CLIENTS_ANY, ""), "");
	shake(&rc[0], &rc[1]);
	CHECK(rc[0] == 0 && rc[1] == 0);
	for (size_t i = 0; i < LEN; i++)
		sent[i] = (uint8_t)(i * 7 + i / 251);
	size_t out = 0, in = 0, idle = 0;
	while (in < LEN && idle < 3) {
		ssize_t n = out < LEN ? tls_write(here, slice_of(sent + out, LEN - out)) : 0;
		out += n > 0 ? (size_t)n : 0;
		n = tls_read(there, got + in, LEN - in < 1000 ? LEN - in : 1000);
		CHECK(n > 0 || n == TLS_WANT_READ);
		CHECK(n > 0 || !tls_has_more(there));
		in += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
	}
	CHECK_EQ(in, LEN);
	CHECK(memcmp(sent, got, LEN) == 0);
	tls_close(here);
	here = NULL;
	CHECK_EQ(tls_read(there, got, LEN), TLS_CLOSED);
	part();
}

static void test_a_peer_without_tls_is_named(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
	struct tls *tls = server_of("leaf", TLS_CLIENTS_ANY, "");
	there = tls_accept(tls, sockets[1]);
	here = NULL;
	tls_unref(tls);
	CHECK(write(sockets[0], "GET / HTTP/1.1\r\n\r\n", 18) == 18);
	CHECK_EQ(tls_handshake(there), TLS_FAILED);
	CHECK_STR(tls_reason(there), "the peer does not speak TLS");
	part();
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	CHECK(mkdtemp(folder) != NULL);
	atexit(remove_files);
	make_files();
	CHECK_MAIN(TEST(test_each_bad_file_is_named_with_its_field_and_its_fault),
		   TEST(test_only_other_bytes_in_the_files_make_another_one),
		   TEST(test_a_handshake_agrees_on_the_first_protocol_of_the_server),
		   TEST(test_only_certificates_that_are_trusted_are_let_in),
		   TEST(test_a_version_that_is_too_old_is_refused),
		   TEST(test_bytes_pass_whole_and_the_end_is_told),
		   TEST(test_a_peer_without_tls_is_named));
}
