/* SPDX-License-Identifier: BSD-2-Clause */
/* Zones: creation, seals, mappings, heads, giving pages back. */
#include <config.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/unit.h"
#include "shm/zone.h"

#define MAGIC 0x54455354u

static struct zone_fds fds;

static void
setup(void)
{
	ck_assert_int_eq(zone_create("test", MAGIC, 10 * ZONE_PAGE - 5, &fds),
	    0);
}

static void
teardown(void)
{
	zone_close(&fds);
}

static uint64_t
blocks(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(fds.rw, &st), 0);
	return (uint64_t)st.st_blocks;
}

START_TEST(create_rounds_up_seals_and_writes_head)
{
	struct zone_head_shm head;
	struct stat st;
	int seals;

	ck_assert_int_eq(fstat(fds.rw, &st), 0);
	ck_assert_int_eq(st.st_size, 10 * ZONE_PAGE);
	ck_assert_int_eq(st.st_mode & 0777, 0400);
	ck_assert_int_eq(pread(fds.ro, &head, sizeof head, 0), sizeof head);
	ck_assert_uint_eq(head.magic, MAGIC);
	ck_assert_uint_eq(head.layout, ZONE_LAYOUT);
	ck_assert_uint_eq(head.size, 10 * ZONE_PAGE);
	seals = fcntl(fds.rw, F_GET_SEALS);
	ck_assert_int_eq(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL |
	    F_SEAL_WRITE), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	ck_assert_int_eq(ftruncate(fds.rw, ZONE_PAGE), -1);
	ck_assert_int_eq(ftruncate(fds.rw, 20 * ZONE_PAGE), -1);
	ck_assert_int_eq(fcntl(fds.rw, F_ADD_SEALS, F_SEAL_WRITE), -1);
	ck_assert(fcntl(fds.rw, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(fds.ro, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fds.ro, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(write(fds.ro, &head, sizeof head), -1);
}
END_TEST

START_TEST(create_refuses_absurd_sizes)
{
	struct zone_fds other = { .rw = -7, .ro = -7 };

	ck_assert_int_eq(zone_create("x", MAGIC, 0, &other), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(zone_create("x", MAGIC, SIZE_MAX, &other), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(other.rw, -7);
}
END_TEST

START_TEST(create_keeps_no_descriptor_on_failure)
{
	struct zone_fds other = { .rw = -7, .ro = -7 };
	char name[400];
	int before, after;

	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0'; /* longer than memfd_create() takes */
	before = dup(0);
	ck_assert_int_eq(close(before), 0);
	ck_assert_int_eq(zone_create(name, MAGIC, ZONE_PAGE, &other), -1);
	after = dup(0);
	ck_assert_int_eq(before, after);
	ck_assert_int_eq(close(after), 0);
	ck_assert_int_eq(other.rw, -7);
}
END_TEST

START_TEST(both_mappings_show_the_same_bytes)
{
	struct zone rw, ro;

	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &rw), 0);
	ck_assert_int_eq(zone_map_ro(&fds, MAGIC, &ro), 0);
	ck_assert_uint_eq(rw.size, 10 * ZONE_PAGE);
	ck_assert_uint_eq(ro.size, rw.size);
	ck_assert(rw.writable && !ro.writable);
	ck_assert_ptr_ne(rw.base, ro.base);
	zone_close(&fds); /* mappings stay */
	ck_assert_int_eq(fds.rw, -1);
	ck_assert_int_eq(fds.ro, -1);
	ck_assert_uint_eq(ro.base[5000], 0);
	rw.base[5000] = 42;
	ck_assert_uint_eq(ro.base[5000], 42);
	zone_unmap(&rw);
	zone_unmap(&ro);
	ck_assert_ptr_null(ro.base);
	zone_unmap(&ro); /* once more does nothing */
}
END_TEST

START_TEST(map_checks_the_head)
{
	struct zone z = { .base = NULL, .size = 77, .writable = true };
	uint32_t bad[] = { MAGIC + 1, ZONE_LAYOUT + 1 };
	uint64_t size = 9 * ZONE_PAGE;

	ck_assert_int_eq(zone_map_ro(&fds, MAGIC + 1, &z), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(pwrite(fds.rw, bad, 4, 0), 4);
	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &z), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(zone_write_head(&fds, MAGIC), 0);
	ck_assert_int_eq(pwrite(fds.rw, bad + 1, 4, 4), 4);
	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &z), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(zone_write_head(&fds, MAGIC), 0);
	ck_assert_int_eq(pwrite(fds.rw, &size, 8, 8), 8);
	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &z), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_uint_eq(z.size, 77); /* untouched on failure */
	ck_assert_int_eq(zone_write_head(&fds, MAGIC), 0);
	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &z), 0);
	zone_unmap(&z);
}
END_TEST

START_TEST(mend_writes_what_is_wrong_alone)
{
	struct zone_head_shm head;
	struct zone z;

	zone_head_init(&head, MAGIC, 10 * ZONE_PAGE - 5);
	ck_assert_int_eq(zone_mend(&fds, &head, sizeof head), 0);
	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &z), 0);
	memset(z.base, 0xff, sizeof head + 1);
	ck_assert_int_eq(zone_mend(&fds, &head, sizeof head), 1);
	ck_assert_int_eq(zone_mend(&fds, &head, sizeof head), 0);
	ck_assert_mem_eq(z.base, &head, sizeof head);
	ck_assert_uint_eq(z.base[sizeof head], 0xff);
	zone_unmap(&z);
}
END_TEST

START_TEST(map_refuses_what_is_no_zone)
{
	struct zone_fds other;
	struct zone z;
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	other.rw = other.ro = p[0];
	ck_assert_int_eq(zone_map_ro(&other, MAGIC, &z), -1);
	ck_assert_int_eq(errno, EPROTO);
	other.rw = other.ro = -1;
	ck_assert_int_eq(zone_map_ro(&other, MAGIC, &z), -1);
	ck_assert_int_eq(errno, EBADF);
	(void)close(p[0]);
	(void)close(p[1]);
}
END_TEST

/* Status of a child that touches the byte at p. */
static int
touch_in_child(const uint8_t *p)
{
	volatile const uint8_t *v = p;
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		_exit(*v == 255);
	}
	ck_assert_int_ne(pid, -1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(mappings_do_not_cross_a_fork)
{
	struct zone rw, ro;
	int status;

	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &rw), 0);
	ck_assert_int_eq(zone_map_ro(&fds, MAGIC, &ro), 0);
	status = touch_in_child(rw.base + 100);
	ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
	status = touch_in_child(ro.base + 100);
	ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
	zone_unmap(&rw);
	zone_unmap(&ro);
}
END_TEST

/* VmFlags of the mapping that begins at base. */
static void
vm_flags(const void *base, char *flags, size_t size)
{
	char line[512], start[32];
	bool in = false;
	FILE *f;

	flags[0] = '\0';
	(void)snprintf(start, sizeof start, "%lx-", (unsigned long)base);
	ck_assert_ptr_nonnull(f = fopen("/proc/self/smaps", "r"));
	while (fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, start, strlen(start)) == 0)
			in = true;
		if (in && strncmp(line, "VmFlags:", 8) == 0) {
			(void)snprintf(flags, size, "%s", line);
			break;
		}
	}
	(void)fclose(f);
}

START_TEST(mappings_are_not_dumped)
{
	struct zone z[2];
	char flags[512];
	int i;

	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &z[0]), 0);
	ck_assert_int_eq(zone_map_ro(&fds, MAGIC, &z[1]), 0);
	for (i = 0; i < 2; i++) {
		vm_flags(z[i].base, flags, sizeof flags);
		if (flags[0] != '\0') { /* else a kernel without smaps */
			ck_assert_ptr_nonnull(strstr(flags, " dd"));
			ck_assert_ptr_nonnull(strstr(flags, " dc"));
		}
		zone_unmap(&z[i]);
	}
}
END_TEST

START_TEST(pages_come_and_go)
{
	struct zone rw, ro;
	uint64_t head_only, all;
	size_t off;

	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &rw), 0);
	ck_assert_int_eq(zone_map_ro(&fds, MAGIC, &ro), 0);
	head_only = blocks();
	for (off = ZONE_PAGE; off < rw.size; off += ZONE_PAGE)
		rw.base[off] = 1;
	all = blocks();
	ck_assert_uint_gt(all, head_only);
	/* The owner, by its mapping. */
	ck_assert_int_eq(zone_remove(&rw, 2 * ZONE_PAGE, 3 * ZONE_PAGE), 0);
	ck_assert_uint_lt(blocks(), all);
	for (off = ZONE_PAGE; off < rw.size; off += ZONE_PAGE)
		ck_assert_uint_eq(ro.base[off],
		    off < 2 * ZONE_PAGE || off >= 5 * ZONE_PAGE);
	/* The master, by descriptor. */
	ck_assert_int_eq(zone_punch(&fds, ZONE_PAGE, rw.size - ZONE_PAGE), 0);
	ck_assert_uint_eq(blocks(), head_only);
	for (off = ZONE_PAGE; off < rw.size; off += ZONE_PAGE)
		ck_assert_uint_eq(ro.base[off], 0);
	ck_assert_uint_eq(((struct zone_head_shm *)(void *)rw.base)->magic,
	    MAGIC);
	ck_assert_int_eq(zone_punch(&fds, ZONE_PAGE, 0), 0);
	ck_assert_int_eq(zone_remove(&rw, ZONE_PAGE, 0), 0);
	zone_unmap(&rw);
	zone_unmap(&ro);
}
END_TEST

START_TEST(remove_asserts_whole_pages)
{
	struct zone rw;

	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &rw), 0);
	(void)zone_remove(&rw, ZONE_PAGE + 8, ZONE_PAGE);
}
END_TEST

START_TEST(remove_asserts_range)
{
	struct zone rw;

	ck_assert_int_eq(zone_map_rw(&fds, MAGIC, &rw), 0);
	(void)zone_remove(&rw, 5 * ZONE_PAGE, 6 * ZONE_PAGE);
}
END_TEST

START_TEST(remove_asserts_writable)
{
	struct zone ro;

	ck_assert_int_eq(zone_map_ro(&fds, MAGIC, &ro), 0);
	(void)zone_remove(&ro, ZONE_PAGE, ZONE_PAGE);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("zone");
	TCase *tc = tcase_create("zone");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, create_rounds_up_seals_and_writes_head);
	tcase_add_test(tc, create_refuses_absurd_sizes);
	tcase_add_test(tc, create_keeps_no_descriptor_on_failure);
	tcase_add_test(tc, both_mappings_show_the_same_bytes);
	tcase_add_test(tc, map_checks_the_head);
	tcase_add_test(tc, mend_writes_what_is_wrong_alone);
	tcase_add_test(tc, map_refuses_what_is_no_zone);
	tcase_add_test(tc, mappings_do_not_cross_a_fork);
	tcase_add_test(tc, mappings_are_not_dumped);
	tcase_add_test(tc, pages_come_and_go);
	tcase_add_test_raise_signal(tc, remove_asserts_whole_pages, SIGABRT);
	tcase_add_test_raise_signal(tc, remove_asserts_range, SIGABRT);
	tcase_add_test_raise_signal(tc, remove_asserts_writable, SIGABRT);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
