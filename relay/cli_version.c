/* SPDX-License-Identifier: Apache-2.0
 * spanrelay version: for bug reports, so the libraries that are loaded, not those it was built
 * with. Where a library cannot say, its header did at build time. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <ares.h>
#include <ev.h>
#include <getopt.h>
#include <http_parser.h>
#include <jansson.h>
#include <libdeflate.h>
#include <lmdb.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <sysexits.h>
#include <yaml.h>
#include <zstd.h>

#include "relay/cli.h"

static const char HELP[] = "Usage: spanrelay version\n"
			   "\n"
			   "Shows the versions of spanrelay and of the libraries it runs with.\n";

static void print_versions(void)
{
	unsigned long parser = http_parser_version();
	char pcre2[64] = "?"; /* it wants 24 */
	if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof(pcre2))
		pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
	printf("spanrelay %s\n", SPANRELAY_VERSION);
	printf("  c-ares       %s\n", ares_version(NULL));
	printf("  http-parser  %lu.%lu.%lu\n", parser >> 16 & 255, parser >> 8 & 255, parser & 255);
	printf("  jansson      %s\n", jansson_version_str());
	printf("  libdeflate   %s (headers)\n", LIBDEFLATE_VERSION_STRING);
	printf("  libev        %d.%d\n", ev_version_major(), ev_version_minor());
	printf("  libyaml      %s\n", yaml_get_version_string());
	printf("  lmdb         %s\n", mdb_version(NULL, NULL, NULL));
	printf("  nghttp2      %s\n", nghttp2_version(0)->version_str);
	printf("  openssl      %s\n", OpenSSL_version(OPENSSL_VERSION));
	printf("  pcre2        %s\n", pcre2);
	printf("  protobuf-c   %s\n", protobuf_c_version());
	printf("  zstd         %s\n", ZSTD_versionString());
}

int cli_version(int argc, char **argv)
{
	static const struct option LONG[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c = getopt_long(argc, argv, "h", LONG, NULL);
	if (c == 'h')
		fputs(HELP, stdout);
	else if (c != -1 || optind != argc)
		return EX_USAGE;
	else
		print_versions();
	return EX_OK;
}
