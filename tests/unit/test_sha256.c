/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/sha256, with the vectors of FIPS 180-4 and NIST. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "lib/unit.h"

#define N(a) ((int)(sizeof(a) / sizeof(a)[0]))

static const struct {
	const char *text, *hex;
} vectors[] = {
	{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "abc",
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
	  "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
	    "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
};

START_TEST(test_vector)
{
	char hex[SHA256_HEX_LEN];

	sha256_hex(vectors[_i].text, strlen(vectors[_i].text), hex);
	ck_assert_str_eq(hex, vectors[_i].hex);
}
END_TEST

START_TEST(test_million)
{
	static char text[1000000];
	char hex[SHA256_HEX_LEN];

	memset(text, 'a', sizeof text);
	sha256_hex(text, sizeof text, hex);
	ck_assert_str_eq(hex, "cdc76e5c9914fb9281a1c7e284d73e67"
	    "f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

/* However the bytes come, around the block's end above all. */
START_TEST(test_pieces)
{
	uint8_t text[200], whole[SHA256_LEN], pieces[SHA256_LEN];
	struct sha256 ctx;
	size_t len, cut;

	for (len = 0; len < sizeof text; len++)
		text[len] = (uint8_t)(len * 7);
	for (len = 0; len < sizeof text; len++) {
		sha256_init(&ctx);
		sha256_update(&ctx, text, len);
		sha256_final(&ctx, whole);
		for (cut = 0; cut <= len; cut += 13) {
			sha256_init(&ctx);
			sha256_update(&ctx, text, cut);
			sha256_update(&ctx, NULL, 0);
			sha256_update(&ctx, text + cut, len - cut);
			sha256_final(&ctx, pieces);
			ck_assert_mem_eq(pieces, whole, sizeof whole);
		}
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("sha256");
	TCase *tc = tcase_create("sha256");

	tcase_add_loop_test(tc, test_vector, 0, N(vectors));
	tcase_add_test(tc, test_million);
	tcase_add_test(tc, test_pieces);
	suite_add_tcase(s, tc);
	return s;
}

int
main(void)
{
	return unit_run(suite());
}
