/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 3 };

static bool is_the_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static const char *fault_of(const struct stat *s, bool secret)
{
	if (!S_ISREG(s->st_mode))
		return "is no regular file";
	if (s->st_size == 0)
		return "is empty";
	if (s->st_size > PEM_BYTES)
		return "is larger than 1 MiB";
	if (secret && (s->st_mode & S_IROTH) != 0)
		return "can be read by everybody: wanted mode 0600 or 0640";
	return NULL;
}

/* One try; *again: somebody writes to it. */
static const char *read_once(struct buf *out, int fd, bool secret, bool *again)
{
	struct stat before, after;
	if (fstat(fd, &before) != 0)
		return strerrordesc_np(errno);
	const char *wrong = fault_of(&before, secret);
	size_t size = wrong == NULL ? (size_t)before.st_size : 0, at = out->len;
	if (wrong != NULL)
		return wrong;
	if (buf_reserve(out, size) != 0)
		return "no memory";
	while (out->len - at < size) {
		ssize_t n =
		    pread(fd, out->data + out->len, size - (out->len - at), (off_t)(out->len - at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return strerrordesc_np(errno);
		if (n == 0)
			break;
		out->len += (size_t)n;
	}
	*again = fstat(fd, &after) != 0 || !is_the_same(&before, &after) || out->len - at != size;
	return *again ? "changes while it is read" : NULL;
}

const char *pem_read(struct buf *out, const char *path, bool secret)
{
	const char *wrong = NULL;
	size_t at = out->len;
	bool again = true;
	for (int i = 0; i < TRIES && again; i++) {
		again = false;
		out->len = at;
		/* Not blocking: a pipe that nobody writes to would hold us up. */
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			return strerrordesc_np(errno);
		wrong = read_once(out, fd, secret, &again);
		close(fd);
	}
	return wrong;
}

void pem_wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_finish(b);
}

/* OpenSSL would ask at the terminal. */
static int no_passphrase(char *out, int size, int writing, void *ctx)
{
	(void)out, (void)size, (void)writing, (void)ctx;
	return -1;
}

static bool has_more(void)
{
	unsigned long code = ERR_peek_last_error();
	return ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE;
}

const char *pem_certificates(struct slice text, STACK_OF(X509) * *out)
{
	BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
	STACK_OF(X509) *all = sk_X509_new_null();
	const char *wrong = bio == NULL || all == NULL ? "no memory" : NULL;
	ERR_clear_error();
	while (wrong == NULL) {
		X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
		if (cert == NULL) {
			wrong = has_more() ? "holds a broken certificate" : NULL;
			break;
		}
		if (sk_X509_push(all, cert) == 0) {
			X509_free(cert);
			wrong = "no memory";
		}
	}
	ERR_clear_error();
	BIO_free(bio);
	if (wrong == NULL && sk_X509_num(all) == 0)
		wrong = "holds no certificate in PEM";
	if (wrong != NULL)
		sk_X509_pop_free(all, X509_free);
	else
		*out = all;
	return wrong;
}

static bool holds(struct slice text, const char *word)
{
	return memmem(text.data, text.len, word, strlen(word)) != NULL;
}

const char *pem_key(struct slice text, EVP_PKEY **out)
{
	BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
	if (bio == NULL)
		return "no memory";
	*out = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	ERR_clear_error();
	BIO_free(bio);
	if (*out != NULL)
		return NULL;
	if (!holds(text, "PRIVATE KEY-----"))
		return "holds no private key in PEM";
	if (holds(text, "ENCRYPTED"))
		return "holds an encrypted key: wanted one without a passphrase";
	return "holds a broken key";
}

int64_t pem_expiry(const X509 *cert)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}
