/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of conf/snapshot. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "test_conf.h"

#include "conf/opt.h"
#include "conf/snapshot.h"
#include "lib/unit.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int
make(void)
{
	int fd;

	ck_loads("server_name = a max_payload = 2KB debug = on\n"
	    "listen = {\"127.0.0.1:1\", \"unix:/x\"}\n"
	    "authorization { user = u password = p }");
	ck_assert_int_ne(fd = snapshot_make(&conf, 7), -1);
	return fd;
}

START_TEST(test_round_trip)
{
	struct conf copy;
	uint64_t version = 0;
	int fd = make(), i;

	/* each child reads it, none moves the offset of another */
	for (i = 0; i < 3; i++) {
		memset(&copy, 0xff, sizeof copy);
		ck_assert_int_eq(snapshot_read(fd, &copy, &version), 0);
		ck_assert_uint_eq(version, 7);
		ck_assert_mem_eq(&copy, &conf, sizeof copy);
	}
	close(fd);
}
END_TEST

START_TEST(test_sealed)
{
	int fd = make();

	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & SEALS, SEALS);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0),
	    MAP_FAILED);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
}
END_TEST

/* The bytes of the snapshot, one byte changed, perhaps sealed. */
static int
forge(int from, off_t at, size_t len, int seals)
{
	static char bytes[1 << 20];
	int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_gt(pread(from, bytes, len, 0), 0);
	if (at >= 0)
		bytes[at] ^= 0x40;
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	if (seals != 0)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
check_refused(int fd)
{
	struct conf copy, untouched;
	uint64_t version = 99;

	memset(&copy, 0x55, sizeof copy);
	memset(&untouched, 0x55, sizeof untouched);
	errno = 0;
	ck_assert_int_eq(snapshot_read(fd, &copy, &version), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_mem_eq(&copy, &untouched, sizeof copy);
	ck_assert_uint_eq(version, 99);
	close(fd);
}

START_TEST(test_forged)
{
	int fd = make();
	size_t len = (size_t)lseek(fd, 0, SEEK_END), at;
	uint64_t version;

	/* as it was, with the same seals: good */
	ck_assert_int_eq(snapshot_read(forge(fd, -1, len, SEALS), &conf,
	    &version), 0);
	check_refused(forge(fd, -1, len, 0));
	check_refused(forge(fd, -1, len, SEALS & ~F_SEAL_WRITE));
	check_refused(forge(fd, -1, len - 1, SEALS));
	check_refused(forge(fd, -1, len + 1, SEALS));
	check_refused(forge(fd, -1, 1, SEALS));
	for (at = 0; at < len; at += at < 64 ? 1 : 997)
		if (at < 16 || at >= 24) /* the version may be any */
			check_refused(forge(fd, (off_t)at, len, SEALS));
	close(fd);
}
END_TEST

START_TEST(test_other_descriptors)
{
	int p[2];

	check_refused(-1);
	ck_assert_int_eq(pipe(p), 0);
	check_refused(p[0]);
	close(p[1]);
	check_refused(open("/dev/null", O_RDONLY));
}
END_TEST

/* Makes a snapshot of a broken struct: well made, but not to be believed. */
static void
check_broken(size_t off, const void *bytes, size_t len)
{
	static struct conf broken;

	ck_loads("");
	broken = conf;
	memcpy((char *)&broken + off, bytes, len);
	check_refused(snapshot_make(&broken, 1));
}

START_TEST(test_broken_struct)
{
	static const unsigned char two = 2;
	static const uint32_t many = CONF_LISTEN_MAX + 1, three = 3, big = 49;
	static const int32_t port = 65536;
	static char text[CONF_SECRET_MAX];
	const struct opt *opt;

	memset(text, 'x', sizeof text);
	for (opt = opt_table; opt < opt_table + opt_count; opt++) {
		if (opt->type == OPT_STRING)
			check_broken(opt->off, text, opt->size);
		if (opt->type == OPT_BOOL)
			check_broken(opt->off, &two, 1);
		if (opt->type == OPT_CHOICE)
			check_broken(opt->off, &many, sizeof many);
	}
	check_broken(offsetof(struct conf, nlisten), &many, sizeof many);
	check_broken(offsetof(struct conf, listen[0].kind), &three,
	    sizeof three);
	check_broken(offsetof(struct conf, listen[0].port), &port,
	    sizeof port);
	check_broken(offsetof(struct conf, listen[31].host), text,
	    CONF_NAME_MAX);
	check_broken(offsetof(struct conf, listen[0].path), text, 108);
	check_broken(offsetof(struct conf, log_target), &three, sizeof three);
	check_broken(offsetof(struct conf, workers), &big, sizeof big);
	check_broken(offsetof(struct conf, file), text, CONF_PATH_MAX);
	check_broken(offsetof(struct conf, digest), text, 72);
	check_broken(offsetof(struct conf, auth_required), &two, 1);
	check_broken(offsetof(struct conf, user_given), &two, 1);
	check_broken(offsetof(struct conf, listen_defaulted), &two, 1);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("snapshot");
	TCase *tc = tcase_create("snapshot");

	tcase_add_checked_fixture(tc, enter_scratch, leave_scratch);
	tcase_add_test(tc, test_round_trip);
	tcase_add_test(tc, test_sealed);
	tcase_add_test(tc, test_forged);
	tcase_add_test(tc, test_other_descriptors);
	tcase_add_test(tc, test_broken_struct);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(suite());
}
