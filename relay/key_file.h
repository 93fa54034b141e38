/* SPDX-License-Identifier: Apache-2.0
 * relay/key_file.h - a small file with a secret, read with care: nothing but a plain file of 1 to
 * 8192 bytes that not everybody may read, and all of it as it was at one moment. A pipe or a device
 * is not waited for. Keys room only, for a mount may be slow.
 * Source: the project's reference on Lightstep and credentials, R3. */
#ifndef RELAY_KEY_FILE_H
#define RELAY_KEY_FILE_H

#include "base/slice.h"

enum { KEY_FILE_MAX = 8192 };

enum key_result {
	KEY_CHANGED,
	KEY_UNCHANGED,
	KEY_MISSING,    /* no such file, or no source at all */
	KEY_UNREADABLE, /* no permission, or the disk fails */
	KEY_NOT_PLAIN,  /* a folder, a pipe, a device */
	KEY_EMPTY,
	KEY_TOO_LARGE,
	KEY_WORLD_READABLE,
	KEY_UNSTABLE, /* it changed each time while it was read */
	KEY_INVALID,  /* what is in it can be no token */
	KEY_NO_MEMORY,
	KEY_FETCHING,    /* it was asked for and will be told of */
	KEY_NOT_FETCHED, /* the token's endpoint did not give one */
	KEY_RESULTS
};
extern const char *const KEY_RESULT_NAMES[];

/* KEY_CHANGED and its content in `bytes`, to be wiped by the caller, or what is wrong. */
enum key_result key_file_read(const char *path, bool world_readable_is_fine,
			      uint8_t bytes[KEY_FILE_MAX + 1], size_t *len);

#endif
