/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/audit.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sys/stat.h>

#include "conf/token.h"

static const char *take(struct slice text, struct secret **out)
{
	struct slice key = token_trim(text);
	if (key.len < CONF_HMAC_LEAST)
		return "wanted at least 32 bytes";
	*out = secret_create(key);
	return *out != NULL ? NULL : "no memory";
}

const char *audit_key_read(const char *path, bool world_readable_is_fine, struct secret **out)
{
	struct buf text = {.data = NULL};
	struct stat st;
	if (stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0 && !world_readable_is_fine)
		return "everybody may read it: chmod 600";
	int error = conf_read_file(path, &text);
	const char *wrong = error == EFBIG ? "larger than 1 MiB"
			    : error != 0   ? strerrordesc_np(error)
					   : take(buf_slice(&text), out);
	if (text.data != NULL)
		OPENSSL_cleanse(text.data, text.cap);
	buf_finish(&text);
	return wrong;
}

void audit_conf_read(struct conf *c, const struct node *root, struct report *r)
{
	const struct node *key = node_child(node_child(root, "audit"), "key");
	const struct node *file = node_child(key, "file");
	bool fine = c->credentials.world_readable == WORLD_READABLE_ALLOW;
	if (*c->audit.key_file == '\0' || !c->audit.enabled)
		return;
	const char *wrong = audit_key_read(c->audit.key_file, fine, &c->audit.key);
	if (wrong != NULL)
		report_fault(r, file != NULL ? file->at : (struct place){0, 0},
			     "audit.key.file: %.200s: %s", c->audit.key_file, wrong);
}

void audit_conf_finish(struct conf_audit *a)
{
	secret_release(a->key);
	a->key = NULL;
}
