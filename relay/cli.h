/* SPDX-License-Identifier: Apache-2.0
 * relay/cli.h - the commands. Each gets its own name as argv[0] and gives a sysexits code. */
#ifndef RELAY_CLI_H
#define RELAY_CLI_H

int cli_audit(int argc, char **argv);
int cli_buffer(int argc, char **argv);
int cli_quarantine(int argc, char **argv);
int cli_redact(int argc, char **argv);
int cli_rules(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_credentials(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_options(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_send(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_test(int argc, char **argv);
int cli_upgrade(int argc, char **argv);
int cli_version(int argc, char **argv);

#endif
