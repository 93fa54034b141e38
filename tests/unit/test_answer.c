/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"
#include "check.h"
#include "exporters/answer.h"

/* 1994-11-06T08:49:37Z, the date of RFC 9110's example. */
#define NOW_MS UINT64_C(784111777000)

/* google.rpc.Status{14, "throttled", [RetryInfo{5 s}]} and RetryInfo{5 s}, as C-core sends them. */
#define DETAILS_5S                                                                                 \
	"CA4SCXRocm90dGxlZBowCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZvEgQKAggF"
#define RETRY_INFO_5S "CgIIBQ"

struct given {
	const char *grpc_status, *grpc_message, *details, *retry_info, *retry_after, *body;
	size_t body_len;
	enum http_end end;
	unsigned status;
	uint32_t reset_code;
};

static struct outcome judge(struct outcome (*by)(const struct http_response *, uint64_t),
			    struct given g)
{
	struct http_response r;
	http_response_init(&r);
	r.end = g.end;
	r.status = g.status;
	r.reset_code = g.reset_code;
	const char *const fields[][2] = {{"grpc-status", g.grpc_status},
					 {"grpc-message", g.grpc_message},
					 {"grpc-status-details-bin", g.details},
					 {"google.rpc.retryinfo-bin", g.retry_info},
					 {"Retry-After", g.retry_after}};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i][1] != NULL)
			http_response_field(&r, slice_str(fields[i][0]), slice_str(fields[i][1]));
	if (g.body != NULL)
		CHECK_EQ(http_response_body(&r, slice_of(g.body, g.body_len)), 0);
	struct outcome o = by(&r, NOW_MS);
	http_response_finish(&r);
	return o;
}

static void test_each_grpc_status_has_its_class(void)
{
	static const struct {
		const char *status;
		int code;
		enum verdict plain, with_retry_info;
	} rows[] = {
	    {"0", 0, SENT, SENT},
	    {"1", 1, RETRY, RETRY},
	    {"2", 2, REFUSED, REFUSED},
	    {"3", 3, REFUSED, REFUSED},
	    {"4", 4, RETRY, RETRY},
	    {"5", 5, HOLD_UPSTREAM, HOLD_UPSTREAM},
	    {"6", 6, REFUSED, REFUSED},
	    {"7", 7, HOLD_AUTH, HOLD_AUTH},
	    {"8", 8, SPLIT, RETRY},
	    {"9", 9, REFUSED, REFUSED},
	    {"10", 10, RETRY, RETRY},
	    {"11", 11, RETRY, RETRY},
	    {"12", 12, HOLD_UPSTREAM, HOLD_UPSTREAM},
	    {"13", 13, REFUSED, REFUSED},
	    {"14", 14, RETRY, RETRY},
	    {"15", 15, RETRY, RETRY},
	    {"16", 16, HOLD_AUTH, HOLD_AUTH},
	    {"17", 2, REFUSED, REFUSED},
	    {"-1", 2, REFUSED, REFUSED},
	    {"007", 2, REFUSED, REFUSED},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct given g = {.grpc_status = rows[i].status, .status = 200};
		struct outcome o = judge(answer_grpc, g);
		CHECK_EQ(o.verdict, rows[i].plain);
		CHECK_EQ(o.status, rows[i].code);
		CHECK_EQ(o.retry_ms, 0);
		CHECK(o.reason != NULL);
		g.details = DETAILS_5S;
		o = judge(answer_grpc, g);
		CHECK_EQ(o.verdict, rows[i].with_retry_info);
		CHECK_EQ(o.retry_ms, o.verdict == RETRY ? 5000 : 0);
		g.details = NULL;
		g.retry_info = RETRY_INFO_5S;
		CHECK_EQ(judge(answer_grpc, g).retry_ms, o.retry_ms);
	}
}

static void test_grpc_without_grpc_status_goes_by_http_status(void)
{
	static const struct {
		unsigned status;
		enum verdict verdict;
	} rows[] = {
	    {200, HOLD_UPSTREAM}, {204, HOLD_UPSTREAM}, {302, HOLD_UPSTREAM}, {400, HOLD_UPSTREAM},
	    {401, HOLD_AUTH},     {403, HOLD_AUTH},     {404, HOLD_UPSTREAM}, {405, HOLD_UPSTREAM},
	    {415, HOLD_UPSTREAM}, {408, RETRY},         {429, RETRY},         {500, RETRY},
	    {502, RETRY},         {503, RETRY},         {504, RETRY},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct given g = {.status = rows[i].status, .retry_after = "7"};
		struct outcome o = judge(answer_grpc, g);
		CHECK_EQ(o.verdict, rows[i].verdict);
		CHECK_EQ(o.status, rows[i].status);
		CHECK_EQ(o.retry_ms, o.verdict == RETRY ? 7000 : 0);
	}
	struct given both = {.status = 503, .grpc_status = "16"};
	CHECK_EQ(judge(answer_grpc, both).verdict, HOLD_AUTH);
}

static void test_each_http_status_has_its_class(void)
{
	static const struct {
		unsigned status;
		enum verdict verdict;
	} rows[] = {
	    {200, SENT},          {202, SENT},          {204, SENT},          {299, SENT},
	    {101, HOLD_UPSTREAM}, {301, HOLD_UPSTREAM}, {307, HOLD_UPSTREAM}, {400, REFUSED},
	    {401, HOLD_AUTH},     {403, HOLD_AUTH},     {404, HOLD_UPSTREAM}, {405, HOLD_UPSTREAM},
	    {408, RETRY},         {409, REFUSED},       {413, SPLIT},         {415, HOLD_UPSTREAM},
	    {422, REFUSED},       {429, RETRY},         {500, RETRY},         {501, HOLD_UPSTREAM},
	    {502, RETRY},         {503, RETRY},         {504, RETRY},         {599, RETRY},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct given g = {.status = rows[i].status};
		struct outcome o = judge(answer_http, g);
		CHECK_EQ(o.verdict, rows[i].verdict);
		CHECK_EQ(o.status, rows[i].status);
		CHECK_EQ(o.retry_ms, 0);
		g.retry_after = "120";
		o = judge(answer_http, g);
		CHECK_EQ(o.verdict, rows[i].verdict);
		CHECK_EQ(o.retry_ms, o.verdict == RETRY ? 120000 : 0);
	}
}

static void test_a_lost_request_is_tried_again(void)
{
	static const struct {
		enum http_end end;
		uint32_t reset_code;
		enum verdict verdict;
	} rows[] = {
	    {HTTP_LOST, 0, RETRY},
	    {HTTP_NOT_TAKEN, 7, RETRY},
	    {HTTP_TIMED_OUT, 0, RETRY},
	    {HTTP_RESET, 0, RETRY},
	    {HTTP_RESET, 8, RETRY},
	    {HTTP_RESET, 11, RETRY},
	    {HTTP_RESET, 13, HOLD_UPSTREAM},
	    {HTTP_NO_ALPN, 0, HOLD_UPSTREAM},
	    {HTTP_TOO_LARGE, 0, HOLD_UPSTREAM},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct given g = {.end = rows[i].end, .reset_code = rows[i].reset_code};
		CHECK_EQ(judge(answer_grpc, g).verdict, rows[i].verdict);
		CHECK_EQ(judge(answer_grpc, g).status, -1);
		CHECK_EQ(judge(answer_http, g).verdict, rows[i].verdict);
	}
	struct given cut = {.end = HTTP_RESET, .status = 200, .grpc_status = "16"};
	CHECK_EQ(judge(answer_grpc, cut).verdict, HOLD_AUTH); /* said before the cut */
	cut.grpc_status = "0";
	CHECK_EQ(judge(answer_grpc, cut).verdict, RETRY);
	struct given huge = {.end = HTTP_TOO_LARGE, .status = 200};
	CHECK_EQ(judge(answer_http, huge).verdict, SENT); /* 2xx: taken, whatever else it says */
}

static void test_bad_data_that_speaks_of_the_token_is_a_bad_token(void)
{
	static const struct {
		const char *text;
		bool token;
	} rows[] = {
	    {"access token corresponds to a private project", true},
	    {"invalid Access-Token", true},
	    {"{\"code\":3,\"message\":\"no ACCESS_TOKEN:deadbeef\"}", true},
	    {"\x08\x03\x12\x10"
	     "bad accesstoken!",
	     true},
	    {"access  token", false},
	    {"access", false},
	    {"access tok", false},
	    {"span 3 has no trace id", false},
	    {"", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = rows[i].text;
		enum verdict wanted = rows[i].token ? HOLD_AUTH : REFUSED;
		struct given http = {.status = 400, .body = text, .body_len = strlen(text)};
		CHECK_EQ(judge(answer_http, http).verdict, wanted);
		struct given grpc = {.status = 200, .grpc_status = "3", .grpc_message = text};
		CHECK_EQ(judge(answer_grpc, grpc).verdict, wanted);
		grpc.grpc_status = "13"; /* only where the code is the documented one */
		CHECK_EQ(judge(answer_grpc, grpc).verdict, REFUSED);
	}
}

static void test_partial_success_is_counted(void)
{
	const char body[] = "\0\0\0\0\x09\x0a\x07\x08\x03\x12\x03"
			    "bad";
	struct given grpc = {.status = 200, .grpc_status = "0", .body = body, .body_len = 14};
	CHECK_EQ(judge(answer_grpc, grpc).rejected, 3);
	struct given http = {.status = 200, .body = body + 5, .body_len = 9};
	CHECK_EQ(judge(answer_http, http).rejected, 3);
	for (size_t cut = 0; cut < 14; cut++) { /* a broken answer still says "taken" */
		grpc.body_len = cut;
		CHECK_EQ(judge(answer_grpc, grpc).verdict, SENT);
		CHECK_EQ(judge(answer_grpc, grpc).rejected, 0);
	}
	const char negative[] = "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
	CHECK_EQ(answer_rejected(slice_of(negative, 13)), 0);
	CHECK_EQ(answer_rejected(slice_of("", 0)), 0);
}

static void test_retry_after_reads_both_forms(void)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {
	    {"0", 0},
	    {"1", 1000},
	    {"300", 300000},
	    {"301", 300000},
	    {"99999999999999999999999", 300000},
	    {"1.5", 0},
	    {"5s", 0},
	    {"", 0},
	    {"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
	    {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
	    {"Sun, 06 Nov 1994 08:49:27 GMT", 0},
	    {"Sun, 06 Nov 2094 08:49:37 GMT", 300000},
	    {"Sun, 06 Nov 1994 08:49:47 GMT+1", 0},
	    {"Thu, 01 Jan 1960 00:00:00 GMT", 0},
	    {"soon", 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_EQ(answer_retry_after(slice_str(rows[i].text), NOW_MS), rows[i].ms);
}

static void test_waits_are_capped_and_never_negative(void)
{
	/* RetryInfo{Duration{seconds, nanos}} */
	CHECK_EQ(answer_retry_info(slice_of("\x0a\x03\x08\x90\x1c", 5)), 300000); /* an hour */
	CHECK_EQ(answer_retry_info(slice_of("\x0a\x06\x10\x80\xca\xb5\xee\x01", 8)), 500);
	CHECK_EQ(
	    answer_retry_info(slice_of("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13)),
	    0); /* -1 s */
	CHECK_EQ(answer_retry_info(slice_of("\x0a\x00", 2)), 0);
	CHECK_EQ(answer_retry_info(slice_of("", 0)), 0);
	CHECK_EQ(answer_retry_info(slice_of("\x0a\xff\xff\xff\xff\x0f", 6)), 0);
}

static void test_details_that_are_no_base64_or_too_long_count_as_absent(void)
{
	struct given g = {.status = 200, .grpc_status = "14", .details = DETAILS_5S "==="};
	CHECK_EQ(judge(answer_grpc, g).retry_ms, 0); /* no length is padded so */
	g.details = "CA4S*";
	CHECK_EQ(judge(answer_grpc, g).retry_ms, 0);
	g.details = DETAILS_5S ", " DETAILS_5S;
	CHECK_EQ(judge(answer_grpc, g).retry_ms, 5000);
	char *longer = malloc(HTTP_KEPT_MAX + 2);
	memset(longer, 'A', HTTP_KEPT_MAX + 1);
	longer[HTTP_KEPT_MAX + 1] = '\0';
	g.details = longer;
	CHECK_EQ(judge(answer_grpc, g).retry_ms, 0);
	free(longer);
}

static void test_many_tiny_members_cost_bounded_memory(void)
{
	size_t len = HTTP_KEPT_MAX;
	uint8_t *bytes = malloc(len);
	for (size_t i = 0; i + 1 < len; i += 2) {
		bytes[i] = 0x1a; /* details: an empty Any */
		bytes[i + 1] = 0;
	}
	CHECK_EQ(answer_retry_details(slice_of(bytes, len)), 0);
	free(bytes);
}

static void test_base64_comes_padded_or_not(void)
{
	static const char *const rows[][2] = {
	    {"", ""},       {"Zg", "f"},     {"Zg==", "f"},      {"Zm8", "fo"},
	    {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg", "foob"}, {"Zm9vYmE=", "fooba"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = {.limit = 100};
		CHECK_EQ(base64_decode(slice_str(rows[i][0]), &out), 0);
		CHECK(slice_is(buf_slice(&out), rows[i][1]));
		buf_finish(&out);
	}
	struct buf out = {.limit = 100};
	CHECK_EQ(base64_decode(slice_str("Zm9vY"), &out), BASE64_BAD);
	CHECK_EQ(base64_decode(slice_str("Zm-v"), &out), BASE64_BAD);
	CHECK_EQ(base64_decode(slice_str("Z=g="), &out), BASE64_BAD);
	CHECK_EQ(out.len, 0);
	buf_finish(&out);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_each_grpc_status_has_its_class),
		   TEST(test_grpc_without_grpc_status_goes_by_http_status),
		   TEST(test_each_http_status_has_its_class),
		   TEST(test_a_lost_request_is_tried_again),
		   TEST(test_bad_data_that_speaks_of_the_token_is_a_bad_token),
		   TEST(test_partial_success_is_counted), TEST(test_retry_after_reads_both_forms),
		   TEST(test_waits_are_capped_and_never_negative),
		   TEST(test_details_that_are_no_base64_or_too_long_count_as_absent),
		   TEST(test_many_tiny_members_cost_bounded_memory),
		   TEST(test_base64_comes_padded_or_not));
}
