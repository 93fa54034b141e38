/* SPDX-License-Identifier: Apache-2.0
 * tests/check.h - a unit test is a function named after a promise; a file lists its tests in
 * main(): int main(int argc, char **argv) { CHECK_MAIN(TEST(test_block_survives), TEST(...)); } A
 * failed CHECK says where and what, and ends the file's run with status 1. `PROGRAM NAME` runs one.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check_test {
	const char *name;
	void (*run)(void);
};

#define TEST(fn)                                                                                   \
	{                                                                                          \
#fn, fn                                                                            \
	}

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			printf("FAIL %s:%d: %s\n", __FILE__, __LINE__, #cond);                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		intmax_t a_ = (intmax_t)(a), b_ = (intmax_t)(b);                                   \
		if (a_ != b_) {                                                                    \
			printf("FAIL %s:%d: %s is %" PRIdMAX ", wanted %s = %" PRIdMAX "\n",       \
			       __FILE__, __LINE__, #a, a_, #b, b_);                                \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *a_ = (a), *b_ = (b);                                                   \
		if (strcmp(a_, b_) != 0) {                                                         \
			printf("FAIL %s:%d: %s is \"%s\", wanted \"%s\"\n", __FILE__, __LINE__,    \
			       #a, a_, b_);                                                        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define CHECK_MAIN(...)                                                                            \
	static const struct check_test tests_[] = {__VA_ARGS__};                                   \
	for (size_t i_ = 0; i_ < sizeof(tests_) / sizeof(tests_[0]); i_++) {                       \
		if (argc > 1 && strcmp(argv[1], tests_[i_].name) != 0)                             \
			continue;                                                                  \
		tests_[i_].run();                                                                  \
		printf("ok %s\n", tests_[i_].name);                                                \
		fflush(stdout);                                                                    \
	}                                                                                          \
	return 0

#endif
