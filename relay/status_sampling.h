/* SPDX-License-Identifier: Apache-2.0
 * relay/status_sampling.h - what `spanrelay status` prints of rules and budgets; nothing where
 * nothing is judged. */
#ifndef RELAY_STATUS_SAMPLING_H
#define RELAY_STATUS_SAMPLING_H

#include <jansson.h>

void status_print_judged(const json_t *status);   /* lines among the others of the relay's */
void status_print_sampling(const json_t *status); /* tables: rules, then budgets */

#endif
