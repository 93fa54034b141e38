/* SPDX-License-Identifier: Apache-2.0
 * spanrelay: receives spans, has them on disk before it answers, delivers them. Start reading at
 * docs/architecture.md, or follow `run` from here: cli_run.c, keeper.c, worker.c, path.h. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "relay/cli.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} COMMANDS[] = {
    {"run", cli_run, "receive, store and forward spans"},
    {"check", cli_check, "read a configuration and name everything that is wrong with it"},
    {"test", cli_test, "try sampling rules on sample traces"},
    {"plan", cli_plan, "tell what other rules and budgets would keep, and what it costs"},
    {"redact", cli_redact, "show what would be masked in a text or in OTLP"},
    {"rules", cli_rules, "list the rules of redaction, or what each of them costs"},
    {"options", cli_options, "list every option with its default and meaning"},
    {"send", cli_send, "send sample traces to a relay or a backend"},
    {"status", cli_status, "show what a running relay is doing"},
    {"reload", cli_reload, "have a running relay read its configuration again"},
    {"explain", cli_explain, "tell why a trace was kept or dropped"},
    {"buffer", cli_buffer, "list, export or verify what waits on disk"},
    {"quarantine", cli_quarantine, "list, export, send again or clear what a backend calls bad"},
    {"credentials", cli_credentials, "show the tokens of exporters by fingerprint, age and state"},
    {"audit", cli_audit, "prove that the audit log is whole, or show it"},
    {"upgrade", cli_upgrade, "let a running relay go on with the program file as it is now"},
    {"version", cli_version, "show the versions of spanrelay and of its libraries"},
};
enum { N_COMMANDS = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

static void print_help(FILE *out)
{
	fputs("Usage: spanrelay COMMAND [OPTIONS]\n\nCommands:\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-11s  %s\n", COMMANDS[i].name, COMMANDS[i].summary);
	fputs("\n`spanrelay COMMAND --help` tells more. To begin with: `spanrelay run`, and in a "
	      "second\n"
	      "terminal `spanrelay send`.\n",
	      out);
}

static bool is_help(const char *word)
{
	return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EX_USAGE;
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(argv[1], COMMANDS[i].name) == 0)
			return COMMANDS[i].run(argc - 1, argv + 1);
	if (is_help(argv[1])) {
		print_help(stdout);
		return EX_OK;
	}
	if (strcmp(argv[1], "--version") == 0)
		return cli_version(1, argv + 1);
	fprintf(stderr, "spanrelay: there is no command %s\n\n", argv[1]);
	print_help(stderr);
	return EX_USAGE;
}
