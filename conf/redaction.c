/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/redaction.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/section.h"

static void read_allow(void *into, const struct node *item, struct report *r)
{
	struct conf_allow *a = into;
	a->at = (struct conf_place){item->at.line, item->at.column};
	section_read("redaction.allow[]", item, a, r);
	if (item->kind != NODE_MAP)
		return;
	if (node_child(item, "rule") == NULL)
		report_fault(r, item->at, "redaction.allow[].rule is missing");
	if (node_child(item, "match") == NULL)
		report_fault(r, item->at, "redaction.allow[].match is missing");
}

/* The key itself is not to be told from its id: of SHA-256, 32 bits. */
static bool name_key(struct conf_redaction *c)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	if (EVP_Digest(c->hmac_key, c->hmac_key_len, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	for (int i = 0; i < 4; i++)
		snprintf(c->hmac_key_id + (size_t)i * 2, 3, "%02x", digest[i]);
	return true;
}

static void read_key(struct conf_redaction *c, struct place at, struct report *r)
{
	struct buf text = {.data = NULL};
	int error = conf_read_file(c->hmac_key_file, &text);
	if (error == ENOMEM) {
		r->no_memory = true;
	} else if (error != 0) {
		report_fault(r, at, "redaction.hmac_key.file: %.200s cannot be read: %s",
			     c->hmac_key_file,
			     error == EFBIG ? "larger than 1 MiB" : strerrordesc_np(error));
	} else if (text.len < CONF_HMAC_LEAST) {
		report_fault(r, at, "redaction.hmac_key.file: %.200s: wanted at least %d bytes",
			     c->hmac_key_file, CONF_HMAC_LEAST);
	} else {
		c->hmac_key = text.data;
		c->hmac_key_len = text.len;
		r->no_memory = !name_key(c);
		return;
	}
	if (text.data != NULL)
		OPENSSL_cleanse(text.data, text.cap);
	buf_finish(&text);
}

void redaction_read(struct conf *c, const struct node *root, struct report *r)
{
	const struct node *redaction = node_child(root, "redaction");
	const struct node *file = node_child(node_child(redaction, "hmac_key"), "file");
	const struct node *mask = node_child(redaction, "mask");
	list_read(c, "redaction.allow", node_child(redaction, "allow"), read_allow, r);
	if (r->no_memory)
		return;
	if (*c->redaction.hmac_key_file != '\0')
		read_key(&c->redaction, file != NULL ? file->at : (struct place){0, 0}, r);
	else if (c->redaction.mask == CONF_MASK_HMAC && mask != NULL)
		report_fault(r, mask->at,
			     "redaction.mask: hmac wants a key: say redaction.hmac_key.file");
}

void redaction_finish(struct conf_redaction *c)
{
	if (c->hmac_key != NULL)
		OPENSSL_cleanse(c->hmac_key, c->hmac_key_len);
	free(c->hmac_key);
	c->hmac_key = NULL;
}
