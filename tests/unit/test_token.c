/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/token.h"

#include "check.h"

#define WORD "0123456789abcdef0123456789abcdef"

static void test_what_can_be_no_token_is_named(void)
{
	static const struct {
		const char *token, *host, *fault;
	} CASES[] = {
	    {WORD, NULL, NULL},
	    {"x", "ingest.lightstep.com", NULL}, /* an unusual length is no fault */
	    {"", NULL, "is empty"},
	    {"two words", NULL, "holds a blank, a control character or a byte above ASCII"},
	    {"tab\there", NULL, "holds a blank, a control character or a byte above ASCII"},
	    {"caf\xc3\xa9", NULL, "holds a blank, a control character or a byte above ASCII"},
	    {"${TOKEN}", NULL, "is a template that nobody filled in"},
	    {"{{.Token}}", NULL, "is a template that nobody filled in"},
	    {"<token>", NULL, "is a template that nobody filled in"},
	    {"<token", NULL, NULL},
	    {"developer", "localhost", NULL},
	    {"developer", "INGEST.lightstep.com",
	     "is the token of a satellite in developer mode, not of Lightstep"},
	    {"developer", "notlightstep.com", NULL},
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const char *fault = token_fault(slice_str(CASES[i].token), CASES[i].host);
		CHECK_STR(fault != NULL ? fault : "fine",
			  CASES[i].fault != NULL ? CASES[i].fault : "fine");
	}
	char *big = malloc(TOKEN_MAX + 1);
	memset(big, 'x', TOKEN_MAX + 1);
	CHECK(token_fault(slice_of(big, TOKEN_MAX), NULL) == NULL);
	CHECK_STR(token_fault(slice_of(big, TOKEN_MAX + 1), NULL), "is longer than 4096 bytes");
	free(big);
}

static void test_first_two_lines_are_tokens(void)
{
	struct slice first, second;
	CHECK(token_lines(slice_str("one\r\n"), &first, &second) == NULL);
	CHECK(slice_is(first, "one") && second.len == 0);
	CHECK(token_lines(slice_str("one \ntwo\n\n"), &first, &second) == NULL);
	CHECK(slice_is(first, "one") && slice_is(second, "two"));
	CHECK_STR(token_lines(slice_str("one\ntwo\nthree"), &first, &second),
		  "has more than two lines");
	CHECK(token_lines(slice_str(" \n"), &first, &second) == NULL && first.len == 0);
	CHECK(token_lines(slice_of(NULL, 0), &first, &second) == NULL && first.len == 0);
}

static void test_environment_file_is_read_by_name(void)
{
	static const struct {
		const char *text, *token, *fault;
	} CASES[] = {
	    {"LS_ACCESS_TOKEN=" WORD "\n", WORD, NULL},
	    {"# LS_ACCESS_TOKEN=x\n\nPATH=/bin\n  LS_TOKEN='a b'\r\n", "a b", NULL},
	    {"LIGHTSTEP_ACCESS_TOKEN=\"x\"", "x", NULL},
	    {"LS_ACCESS_TOKEN=x\nLS_TOKEN=x\n", "x", NULL},
	    {"LS_ACCESS_TOKEN=x\nLS_TOKEN=y\n", NULL, "has two access tokens that differ"},
	    {"LS_ACCESS_TOKEN=a\nLS_ACCESS_TOKEN=b\n", "b", NULL}, /* as a shell would */
	    {"LS_ACCESS_TOKEN=$(cat x)\n", "$(cat x)", NULL},      /* nothing is expanded */
	    {"LS_ACCESS_TOKEN\n", NULL, "has a line that is not NAME=VALUE"},
	    {"MY_LS_ACCESS_TOKEN=x\nLS_ACCESS_TOKEN_FILE=y", NULL,
	     "has no line LS_ACCESS_TOKEN=..."},
	    {"LS_ACCESS_TOKEN=\n", NULL, "has no line LS_ACCESS_TOKEN=..."},
	    {"", NULL, "has no line LS_ACCESS_TOKEN=..."},
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct slice token;
		const char *fault = token_of_environment_file(slice_str(CASES[i].text), &token);
		CHECK_STR(fault != NULL ? fault : "fine",
			  CASES[i].fault != NULL ? CASES[i].fault : "fine");
		CHECK(fault != NULL || slice_is(token, CASES[i].token));
	}
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_what_can_be_no_token_is_named), TEST(test_first_two_lines_are_tokens),
		   TEST(test_environment_file_is_read_by_name));
}
