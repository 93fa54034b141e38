/* SPDX-License-Identifier: Apache-2.0 */
#include "base/watch.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char folder[64], path[128];
static struct ev_loop *loop;
static struct watch *w;
static unsigned changes;

static void on_change(void *ctx)
{
	(*(unsigned *)ctx)++;
}

static void write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void on_end(struct ev_loop *l, struct ev_timer *t, int revents)
{
	(void)t, (void)revents;
	ev_break(l, EVBREAK_ALL);
}

static unsigned changes_in(double seconds)
{
	struct ev_timer end;
	changes = 0;
	ev_timer_init(&end, on_end, seconds, 0.);
	ev_timer_start(loop, &end);
	ev_run(loop, 0);
	ev_timer_stop(loop, &end);
	return changes;
}

enum { SOON_MS = WATCH_DEBOUNCE_MS + 150 };
static const double SOON = SOON_MS / 1000.;

static void set_up(uint64_t poll_ms)
{
	strcpy(folder, "/tmp/spanrelay-watch-XXXXXX");
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/token", folder);
	loop = ev_loop_new(EVFLAG_AUTO);
	w = watch_create(loop, poll_ms);
	CHECK(w != NULL);
}

static struct watch_group *watch_path(const char *p)
{
	struct watch_group *g = watch_add(w, &p, 1, on_change, &changes);
	CHECK(g != NULL);
	return g;
}

static void tear_down(void)
{
	char command[128];
	watch_destroy(w);
	ev_loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	CHECK(system(command) == 0);
}

static void test_write_in_place_is_told_once(void)
{
	set_up(WATCH_POLL_MS);
	write_file(path, "one");
	watch_path(path);
	write_file(path, "tw");
	write_file(path, "two");
	CHECK_EQ(changes_in(SOON), 1);
	CHECK_EQ(changes_in(SOON), 0);
	tear_down();
}

static void test_rename_over_is_told(void)
{
	char other[160];
	set_up(WATCH_POLL_MS);
	write_file(path, "one");
	watch_path(path);
	snprintf(other, sizeof(other), "%s.new", path);
	write_file(other, "two");
	CHECK(rename(other, path) == 0);
	CHECK_EQ(changes_in(SOON), 1);
	write_file(other, "three"); /* and once more: the new file is watched like the old one */
	CHECK(rename(other, path) == 0);
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

static void test_deletion_and_return_are_told(void)
{
	set_up(WATCH_POLL_MS);
	write_file(path, "one");
	watch_path(path);
	unlink(path);
	CHECK_EQ(changes_in(SOON), 1);
	write_file(path, "one");
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

static void test_file_that_was_never_there_is_told(void)
{
	set_up(WATCH_POLL_MS);
	watch_path(path);
	CHECK_EQ(changes_in(0.01), 0);
	write_file(path, "one");
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

/* As the kubelet does it: token -> ..data/token, ..data -> a folder, replaced by a rename. */
static void kubernetes_swap(const char *generation, const char *text)
{
	char dir[160], file[200], data[160], next[160];
	snprintf(dir, sizeof(dir), "%s/%s", folder, generation);
	snprintf(file, sizeof(file), "%s/token", dir);
	snprintf(data, sizeof(data), "%s/..data", folder);
	snprintf(next, sizeof(next), "%s/..data_tmp", folder);
	CHECK(mkdir(dir, 0700) == 0);
	write_file(file, text);
	CHECK(symlink(generation, next) == 0 && rename(next, data) == 0);
}

static void test_kubernetes_swap_is_told(void)
{
	set_up(WATCH_POLL_MS);
	kubernetes_swap("..2026_a", "one");
	CHECK(symlink("..data/token", path) == 0);
	watch_path(path);
	kubernetes_swap("..2026_b", "two");
	CHECK_EQ(changes_in(SOON), 1);
	kubernetes_swap("..2026_c", "three");
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

static void test_write_through_a_link_is_told(void)
{
	char elsewhere[96], real[128], dir[] = "/tmp/spanrelay-watch-XXXXXX";
	set_up(WATCH_POLL_MS);
	CHECK(mkdtemp(dir) != NULL);
	snprintf(real, sizeof(real), "%s/real", dir);
	write_file(real, "one");
	CHECK(symlink(real, path) == 0);
	watch_path(path);
	write_file(real, "two");
	CHECK_EQ(changes_in(SOON), 1);
	snprintf(elsewhere, sizeof(elsewhere), "rm -rf %s", dir);
	CHECK(system(elsewhere) == 0);
	tear_down();
}

static void test_same_content_is_no_change(void)
{
	set_up(WATCH_POLL_MS);
	write_file(path, "one");
	watch_path(path);
	write_file(path, "one");
	CHECK_EQ(changes_in(SOON), 0);
	tear_down();
}

static void test_mode_is_part_of_what_is_judged(void)
{
	set_up(WATCH_POLL_MS);
	write_file(path, "one");
	watch_path(path);
	CHECK(chmod(path, 0644) == 0);
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

/* A folder that is renamed away takes its watch with it; the reading finds what came instead. */
static void test_folder_that_is_replaced_is_found_by_reading(void)
{
	char inner[96], file[160], away[160];
	set_up(50);
	snprintf(inner, sizeof(inner), "%s/d", folder);
	snprintf(away, sizeof(away), "%s/away", folder);
	snprintf(file, sizeof(file), "%s/token", inner);
	CHECK(mkdir(inner, 0700) == 0);
	write_file(file, "one");
	watch_path(file);
	CHECK(rename(inner, away) == 0 && mkdir(inner, 0700) == 0);
	write_file(file, "two");
	CHECK(changes_in(SOON) >= 1);
	write_file(file, "three");
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

/* A folder above the one that is watched is replaced: no event tells of it. */
static void test_polls_come_sooner_once_they_are_to(void)
{
	char upper[96], inner[128], file[160], away[160];
	set_up(WATCH_POLL_MS);
	snprintf(upper, sizeof(upper), "%s/u", folder);
	snprintf(inner, sizeof(inner), "%s/d", upper);
	snprintf(away, sizeof(away), "%s/away", folder);
	snprintf(file, sizeof(file), "%s/token", inner);
	CHECK(mkdir(upper, 0700) == 0 && mkdir(inner, 0700) == 0);
	write_file(file, "one");
	watch_path(file);
	CHECK(rename(upper, away) == 0 && mkdir(upper, 0700) == 0 && mkdir(inner, 0700) == 0);
	write_file(file, "two");
	CHECK_EQ(changes_in(SOON), 0);
	watch_set_poll(w, 50);
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

static void test_folder_that_comes_later_is_found(void)
{
	char inner[96], file[160];
	set_up(WATCH_POLL_MS);
	snprintf(inner, sizeof(inner), "%s/d", folder);
	snprintf(file, sizeof(file), "%s/token", inner);
	watch_path(file);
	CHECK(mkdir(inner, 0700) == 0);
	write_file(file, "one");
	CHECK_EQ(changes_in(1.2), 1);
	tear_down();
}

static void test_pipe_is_no_file_and_holds_nobody_up(void)
{
	set_up(WATCH_POLL_MS);
	CHECK(mkfifo(path, 0600) == 0);
	watch_path(path);
	CHECK_EQ(changes_in(0.01), 0);
	tear_down();
}

static void test_files_of_a_group_change_together(void)
{
	char other[160];
	set_up(WATCH_POLL_MS);
	snprintf(other, sizeof(other), "%s.key", path);
	write_file(path, "one");
	write_file(other, "one");
	CHECK(watch_add(w, (const char *const[]){path, other}, 2, on_change, &changes) != NULL);
	write_file(path, "two");
	write_file(other, "two");
	CHECK_EQ(changes_in(SOON), 1);
	tear_down();
}

static void test_group_that_was_removed_is_not_told(void)
{
	unsigned others = 0;
	const char *p = path;
	set_up(WATCH_POLL_MS);
	write_file(path, "one");
	struct watch_group *g = watch_path(path);
	CHECK(watch_add(w, &p, 1, on_change, &others) != NULL);
	watch_remove(g);
	write_file(path, "two");
	CHECK_EQ(changes_in(SOON), 0);
	CHECK_EQ(others, 1);
	tear_down();
}

int main(int argc, char **argv)
{
	CHECK_MAIN(TEST(test_write_in_place_is_told_once), TEST(test_rename_over_is_told),
		   TEST(test_deletion_and_return_are_told),
		   TEST(test_file_that_was_never_there_is_told), TEST(test_kubernetes_swap_is_told),
		   TEST(test_write_through_a_link_is_told), TEST(test_same_content_is_no_change),
		   TEST(test_mode_is_part_of_what_is_judged),
		   TEST(test_folder_that_is_replaced_is_found_by_reading),
		   TEST(test_polls_come_sooner_once_they_are_to),
		   TEST(test_folder_that_comes_later_is_found),
		   TEST(test_pipe_is_no_file_and_holds_nobody_up),
		   TEST(test_files_of_a_group_change_together),
		   TEST(test_group_that_was_removed_is_not_told));
}
