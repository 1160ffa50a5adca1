/* SPDX-License-Identifier: BSD-2-Clause */
/* Text made without a library: numbers, cuts, addresses as inet_ntop(3). */
#include <config.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sigtext.h"
#include "lib/unit.h"

static char room[128];
static struct sigtext t;

static const char *
whole(void)
{
	ck_assert_uint_lt(t.len, sizeof room);
	room[t.len] = '\0';
	return room;
}

START_TEST(numbers)
{
	static const uint64_t n[] = { 0, 1, 9, 10, 255, 4096, UINT32_MAX,
		UINT64_C(1) << 52, UINT64_MAX };
	char want[64];
	size_t i;

	for (i = 0; i < sizeof n / sizeof n[0]; i++) {
		sigtext_init(&t, room, sizeof room - 1);
		sigtext_num(&t, n[i]);
		sigtext_str(&t, " ");
		sigtext_hex(&t, n[i]);
		snprintf(want, sizeof want, "%" PRIu64 " %" PRIx64, n[i],
		    n[i]);
		ck_assert_str_eq(whole(), want);
	}
}
END_TEST

START_TEST(texts_are_cut)
{
	sigtext_init(&t, room, 5);
	sigtext_strn(&t, "abc", 2);
	sigtext_strn(&t, "x\0y", 3);
	sigtext_str(&t, "1234");
	sigtext_num(&t, 7);
	ck_assert_str_eq(whole(), "abx12");
}
END_TEST

static const char *const addrs[] = {
	"127.0.0.1", "255.255.255.255", "10.0.0.9", "::", "::1", "1::",
	"fe80::1:2:3", "2001:db8::1:0:0:1", "2001:db8:0:1:1:1:1:1",
	"2001:db8:0:0:1::", "1:2:3:4:5:6:7:8", "ff02::fb", "0:1::1",
	"64:ff9b::a00:1",
};

START_TEST(addresses_as_inet_ntop)
{
	const char *text = addrs[_i];
	char want[INET6_ADDRSTRLEN];
	uint8_t a[16] = { 0 };

	if (inet_pton(AF_INET, text, a + 12) == 1) {
		a[10] = a[11] = 0xff;
		strcpy(want, text);
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, text, a), 1);
		ck_assert_ptr_nonnull(inet_ntop(AF_INET6, a, want,
		    sizeof want));
	}
	sigtext_init(&t, room, sizeof room - 1);
	sigtext_addr(&t, a);
	ck_assert_str_eq(whole(), want);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sigtext");
	TCase *tc = tcase_create("core");

	tcase_add_test(tc, numbers);
	tcase_add_test(tc, texts_are_cut);
	tcase_add_loop_test(tc, addresses_as_inet_ntop, 0,
	    (int)(sizeof addrs / sizeof addrs[0]));
	suite_add_tcase(s, tc);
	return unit_run(s);
}
