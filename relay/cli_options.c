/* SPDX-License-Identifier: Apache-2.0
 * spanrelay options: the option table, for a terminal or as docs/configuration.md. */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "relay/cli.h"

static const char HELP[] =
    "Usage: spanrelay options [--markdown]\n"
    "\n"
    "Lists every key of the configuration with its default, range and meaning.\n"
    "\n"
    "      --markdown  as docs/configuration.md\n"
    "  -h, --help      this text\n";

int cli_options(int argc, char **argv)
{
	static const struct option LONG[] = {{"markdown", no_argument, NULL, 'm'},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};
	bool markdown = false;
	int c;
	while ((c = getopt_long(argc, argv, "h", LONG, NULL)) != -1) {
		if (c == 'h') {
			fputs(HELP, stdout);
			return EX_OK;
		}
		if (c != 'm')
			return EX_USAGE;
		markdown = true;
	}
	if (optind != argc) {
		fprintf(stderr, "spanrelay options: unexpected argument: %s\n", argv[optind]);
		return EX_USAGE;
	}
	struct buf out = {.data = NULL};
	int full = markdown ? conf_options_markdown(&out) : conf_options_text(&out);
	bool written =
	    full == 0 && fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
	buf_finish(&out);
	return written ? EX_OK : EX_IOERR;
}
