/* SPDX-License-Identifier: Apache-2.0
 * redaction/packs.c - the rules that come with the program. Make turns conf/rules/NAME.yaml into
 * rules/NAME.inc, a string literal a line. */
#include "redaction/rule.h"

static const char SECRETS[] =
#include "rules/secrets.inc"
    ;
static const char SECRETS_CONTEXT[] =
#include "rules/secrets-context.inc"
    ;
static const char URL[] =
#include "rules/url.inc"
    ;
static const char HEADERS[] =
#include "rules/headers.inc"
    ;
static const char KEYS[] =
#include "rules/keys.inc"
    ;
static const char DB[] =
#include "rules/db.inc"
    ;
static const char PII_CARD[] =
#include "rules/pii-card.inc"
    ;
static const char PII_IBAN[] =
#include "rules/pii-iban.inc"
    ;
static const char PII_EMAIL[] =
#include "rules/pii-email.inc"
    ;
static const char PII_IPV4[] =
#include "rules/pii-ipv4.inc"
    ;
static const char PII_SSN[] =
#include "rules/pii-ssn.inc"
    ;

#define TEXT(literal)                                                                              \
	{                                                                                          \
		(const uint8_t *)(literal), sizeof(literal) - 1                                    \
	}

const struct pack PACKS[] = {
    {"secrets", "conf/rules/secrets.yaml", true, TEXT(SECRETS)},
    {"secrets-context", "conf/rules/secrets-context.yaml", true, TEXT(SECRETS_CONTEXT)},
    {"url", "conf/rules/url.yaml", true, TEXT(URL)},
    {"headers", "conf/rules/headers.yaml", true, TEXT(HEADERS)},
    {"keys", "conf/rules/keys.yaml", true, TEXT(KEYS)},
    {"db", "conf/rules/db.yaml", false, TEXT(DB)},
    {"pii-card", "conf/rules/pii-card.yaml", false, TEXT(PII_CARD)},
    {"pii-iban", "conf/rules/pii-iban.yaml", false, TEXT(PII_IBAN)},
    {"pii-email", "conf/rules/pii-email.yaml", false, TEXT(PII_EMAIL)},
    {"pii-ipv4", "conf/rules/pii-ipv4.yaml", false, TEXT(PII_IPV4)},
    {"pii-ssn", "conf/rules/pii-ssn.yaml", false, TEXT(PII_SSN)},
};
const uint32_t N_PACKS = sizeof(PACKS) / sizeof(PACKS[0]);

const struct pack *pack_find(const char *name)
{
	for (uint32_t i = 0; i < N_PACKS; i++)
		if (strcmp(PACKS[i].name, name) == 0)
			return &PACKS[i];
	return NULL;
}
