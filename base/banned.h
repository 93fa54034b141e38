/* SPDX-License-Identifier: Apache-2.0
 * base/banned.h - calls that have no safe use here. Force-included into every file by the Makefile.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef alloca
#undef sprintf /* clang with _FORTIFY_SOURCE has macros of these */
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gmtime localtime alloca atoi

#endif
