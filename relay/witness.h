/* SPDX-License-Identifier: Apache-2.0
 * relay/witness.h - the ids of the spans that made a rule hold: the sampler knows where they lie
 * (pipeline/sampler.h), their blocks know what they are called. Private to relay/. */
#ifndef RELAY_WITNESS_H
#define RELAY_WITNESS_H

#include "pipeline/sampler.h"
#include "relay/pending.h"
#include "storage/store.h"

/* Fills in the ids in `met`: `list` is sorted by place, and their `decision` is a place in `met`.
 * What cannot be read stays without. `reader` is between begin and end. */
void witness_name(struct met_by *met, const struct pick *list, size_t n,
		  struct store_reader *reader, const struct pending *pending);

#endif
