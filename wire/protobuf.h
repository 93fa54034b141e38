/* SPDX-License-Identifier: Apache-2.0
 * wire/protobuf.h - protobuf-c on an arena: what is decoded dies with the arena, and the arena's
 * limit is the limit of decoding. Only for bytes whose nesting has been bounded, by the index or by
 * a schema that does not recurse: protobuf-c itself recurses without end. */
#ifndef WIRE_PROTOBUF_H
#define WIRE_PROTOBUF_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"

ProtobufCAllocator protobuf_arena(struct arena *a); /* borrows it */

#endif
