/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: a configuration snapshot as a child reads it.  A good one is
 * damaged (place, mask, bytes to put there), its digest made anew or not, its
 * seals left out or not.  What is taken must be safe to use: all its texts
 * end, and it can be dumped and compared.
 */
#include <config.h>

#include <sys/mman.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/sha256.h"
#include "conf/conf.h"
#include "conf/snapshot.h"
#include "fuzz/fuzz.h"

/* The head as snapshot.c writes it: magic, size, version, digest. */
#define HEAD_SIZE (3 * sizeof(uint64_t) + SHA256_LEN)
#define IMAGE_SIZE (HEAD_SIZE + sizeof(struct conf))
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static uint8_t good[IMAGE_SIZE], image[IMAGE_SIZE];
static struct conf base;

static void
hear(void *ctx, bool warning, const char *text)
{
	(void)ctx;
	(void)warning;
	(void)text;
}

static void
make_good(void)
{
	int fd;

	FUZZ_CHECK(conf_load(NULL, NULL, hear, NULL, &base) == 0);
	FUZZ_CHECK((fd = snapshot_make(&base, 1)) != -1);
	FUZZ_CHECK(pread(fd, good, sizeof good, 0) == (ssize_t)sizeof good);
	close(fd);
}

static void
damage(struct fuzz_in *in)
{
	size_t at, n;

	while (in->len > 0) {
		at = fuzz_word(in) % sizeof image;
		for (n = fuzz_byte(in) % 32 + 1; n > 0 && in->len > 0; n--)
			image[at++ % sizeof image] = fuzz_byte(in);
	}
}

static void
digest(void)
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_update(&sha, image + HEAD_SIZE, sizeof(struct conf));
	sha256_final(&sha, image + HEAD_SIZE - SHA256_LEN);
}

static int
make_file(size_t len, bool sealed)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_CHECK(fd != -1 && fd_write_all(fd, image, len) == 0);
	FUZZ_CHECK(!sealed || fcntl(fd, F_ADD_SEALS, SEALS) == 0);
	return fd;
}

static void
differ(void *ctx, const char *name, const char *oldv, const char *newv,
    bool restart, uint32_t line)
{
	size_t *sum = ctx;

	*sum += strlen(name) + strlen(oldv) + strlen(newv) + restart + line;
}

static void
use(struct conf *conf)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	size_t sum = 0;

	FUZZ_CHECK(fd != -1);
	(void)conf_dump(conf, fd);
	conf_diff(&base, conf, differ, &sum);
	conf_diff(conf, &base, differ, &sum);
	conf_keep_restart(conf, &base);
	conf_diff(&base, conf, differ, &sum);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct conf *conf = fuzz_alloc(sizeof *conf);
	uint64_t version = 0;
	uint8_t how = fuzz_byte(&in);
	size_t len = sizeof image;
	bool sealed = (how & 1) == 0, taken;
	int fd;

	if (*good == 0)
		make_good();
	memcpy(image, good, sizeof image);
	damage(&in);
	if ((how & 2) == 0)
		digest();
	if (how & 4)
		len -= how >> 3;
	fd = make_file(len, sealed);
	taken = snapshot_read(fd, conf, &version) == 0;
	FUZZ_CHECK(!taken || (sealed && len == sizeof image));
	if (taken) {
		FUZZ_CHECK(memcmp(conf, image + HEAD_SIZE,
		    sizeof *conf) == 0);
		FUZZ_CHECK(memcmp(&version, image + 16, sizeof version) == 0);
		use(conf);
	}
	close(fd);
	free(conf);
	return 0;
}
