/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/oauth2.h"

#include "check.h"

static void test_answers_are_read_with_care(void)
{
	static const struct {
		const char *body, *token, *reason;
		uint64_t life_s;
	} CASES[] = {
	    {"{\"access_token\":\"sesame\",\"token_type\":\"Bearer\",\"expires_in\":600}", "sesame",
	     NULL, 600},
	    {"{\"access_token\":\"sesame\",\"token_type\":\"bearer\"}", "sesame", NULL,
	     OAUTH2_LIFE_S},
	    {"{\"access_token\":\"sesame\",\"expires_in\":59.5}", "sesame", NULL, 59},
	    {"{\"access_token\":\"sesame\",\"expires_in\":-1}", "sesame", NULL, OAUTH2_LIFE_S},
	    {"{\"access_token\":\"sesame\",\"expires_in\":1e300}", "sesame", NULL, OAUTH2_LIFE_S},
	    {"{\"access_token\":\"sesame\",\"expires_in\":\"600\"}", "sesame", NULL, OAUTH2_LIFE_S},
	    {"{\"access_token\":\"sesame\",\"token_type\":\"mac\"}", NULL,
	     "the token is not of type Bearer", 0},
	    {"{\"access_token\":\"two words\"}", NULL, "what the answer calls a token can be none",
	     0},
	    {"{\"access_token\":\"\"}", NULL, "what the answer calls a token can be none", 0},
	    {"{\"access_token\":\"a\\nb: c\"}", NULL, "what the answer calls a token can be none",
	     0},
	    {"{\"access_token\":7}", NULL, "the answer has no access_token", 0},
	    {"{\"error\":\"invalid_client\"}", NULL, "the answer has no access_token", 0},
	    {"[\"access_token\"]", NULL, "the answer has no access_token", 0},
	    {"<html>", NULL, "the answer has no access_token", 0},
	    {"", NULL, "the answer has no access_token", 0},
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		uint64_t life_s = 0;
		const char *reason = NULL;
		struct secret *s = oauth2_read(slice_str(CASES[i].body), &life_s, &reason);
		CHECK_EQ(s != NULL, CASES[i].token != NULL);
		CHECK_STR(reason != NULL ? reason : "-",
			  CASES[i].reason != NULL ? CASES[i].reason : "-");
		if (s == NULL)
			continue;
		CHECK(slice_is(secret_reveal(s), CASES[i].token));
		CHECK_EQ(life_s, CASES[i].life_s);
		secret_release(s);
	}
}

static void test_form_fields_are_coded(void)
{
	struct buf out = {.data = NULL};
	CHECK_EQ(oauth2_encode(&out, slice_str("a-Z_9.*~ &=+%\xc3\xa9:")), 0);
	CHECK(slice_is(buf_slice(&out), "a-Z_9.*%7E%20%26%3D%2B%25%C3%A9%3A"));
	buf_finish(&out);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_answers_are_read_with_care), TEST(test_form_fields_are_coded));
}
