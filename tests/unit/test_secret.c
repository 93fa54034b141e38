/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void test_secret_is_a_copy_that_ends_in_a_zero(void)
{
	char text[] = "swordfish";
	struct secret *s = secret_create(slice_str(text));
	memset(text, 'x', sizeof(text) - 1);
	CHECK(slice_is(secret_reveal(s), "swordfish"));
	CHECK_STR((const char *)secret_reveal(s).data, "swordfish");
	secret_release(s);
	secret_release(NULL);
}

/* printf swordfish | sha256sum */
static void test_fingerprint_is_of_the_token_alone(void)
{
	struct secret *bare = secret_create(slice_str("swordfish"));
	struct secret *joined = secret_join(slice_str("Bearer "), slice_str("swordfish"));
	CHECK_STR(secret_fingerprint(bare), "b9f195c5cc7e");
	CHECK_STR(secret_fingerprint(joined), "b9f195c5cc7e");
	CHECK(slice_is(secret_reveal(joined), "Bearer swordfish"));
	CHECK(!secret_equal(bare, joined));
	secret_release(bare);
	secret_release(joined);
}

static void test_last_reference_ends_it(void)
{
	struct secret *s = secret_create(slice_str("swordfish"));
	struct secret *same = secret_share(s);
	secret_release(s);
	CHECK(slice_is(secret_reveal(same), "swordfish"));
	CHECK(secret_equal(same, same));
	secret_release(same);
}

/* The line of /proc/self/smaps that tells how the pages are kept. */
static void flags_of(const void *at, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	bool here = false;
	*out = '\0';
	CHECK(f != NULL);
	while (fgets(out, (int)size, f) != NULL) {
		if (sscanf(out, "%lx-%lx ", &from, &to) == 2)
			here = (unsigned long)at >= from && (unsigned long)at < to;
		else if (here && strncmp(out, "VmFlags:", 8) == 0)
			break;
	}
	fclose(f);
}

/* lo: locked; dd: not in a core dump; dc: not in a child. A memfd_secret has no "dd" to show for
 * it, but is in no dump either. */
static void test_pages_are_locked_and_stay_here(void)
{
	char flags[256];
	struct secret *s = secret_create(slice_str("swordfish"));
	flags_of(secret_reveal(s).data, flags, sizeof(flags));
	CHECK(*flags == '\0' || strstr(flags, " dc") != NULL);
	CHECK(*flags == '\0' || strstr(flags, " lo") != NULL);
	secret_release(s);
}

static void test_child_does_not_have_it(void)
{
	struct secret *s = secret_create(slice_str("swordfish"));
	volatile const uint8_t *at = secret_reveal(s).data;
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		close(STDERR_FILENO); /* what a sanitizer has to say of it */
		_exit(at[0] == 's' ? 0 : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
	secret_release(s);
}

static void test_too_large_a_secret_is_refused(void)
{
	char *big = calloc(1, SECRET_MAX + 1);
	struct secret *s = secret_create(slice_of(big, SECRET_MAX));
	CHECK(s != NULL);
	secret_release(s);
	CHECK(secret_create(slice_of(big, SECRET_MAX + 1)) == NULL);
	free(big);
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_secret_is_a_copy_that_ends_in_a_zero),
		   TEST(test_fingerprint_is_of_the_token_alone), TEST(test_last_reference_ends_it),
		   TEST(test_pages_are_locked_and_stay_here), TEST(test_child_does_not_have_it),
		   TEST(test_too_large_a_secret_is_refused));
}
