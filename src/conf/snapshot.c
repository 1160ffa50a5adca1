/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration as a sealed memfd.  Made by the master, read by every child
 * of the same binary: a head that says so, then the bytes of struct conf.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/snapshot.h"

#include "base/fdutil.h"
#include "base/sha256.h"
#include "conf/conf.h"
#include "conf/opt.h"

#define SNAPSHOT_MAGIC UINT64_C(0x666e6f637374616e) /* "natsconf" */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct snapshot_head {
	uint64_t magic;
	uint64_t size; /* of struct conf */
	uint64_t version;
	uint8_t digest[SHA256_LEN]; /* of its bytes */
};

static void
digest_of(const void *p, size_t len, uint8_t out[SHA256_LEN])
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_update(&sha, p, len);
	sha256_final(&sha, out);
}

int
snapshot_make(const struct conf *conf, uint64_t version)
{
	struct snapshot_head head;
	int fd;

	memset(&head, 0, sizeof head);
	head.magic = SNAPSHOT_MAGIC;
	head.size = sizeof *conf;
	head.version = version;
	digest_of(conf, sizeof *conf, head.digest);
	if ((fd = memfd_create("natsd-conf", MFD_CLOEXEC |
		 MFD_ALLOW_SEALING)) == -1)
		return -1;
	if (fd_write_all(fd, &head, sizeof head) == -1 ||
	    fd_write_all(fd, conf, sizeof *conf) == -1 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		fd_close(&fd);
	return fd;
}

static bool
is_text(const char *p, size_t size)
{
	return memchr(p, '\0', size) != NULL;
}

static bool
is_bool(const void *p)
{
	return *(const uint8_t *)p <= 1;
}

static bool
is_choice(const struct opt *opt, const void *p)
{
	uint32_t place, n = 0;

	memcpy(&place, p, sizeof place);
	while (opt->words[n] != NULL)
		n++;
	return place < n;
}

/* Looks at bytes only: a bool that is neither 0 nor 1 must not be read. */
static bool
options_valid(const struct conf *conf)
{
	const struct opt *opt;

	for (opt = opt_table; opt < opt_table + opt_count; opt++) {
		const char *p = (const char *)conf + opt->off;

		if ((opt->type == OPT_STRING && !is_text(p, opt->size)) ||
		    (opt->type == OPT_BOOL && !is_bool(p)) ||
		    (opt->type == OPT_CHOICE && !is_choice(opt, p)))
			return false;
	}
	return true;
}

static bool
listen_valid(const struct conf *conf)
{
	const struct conf_listen *l;
	uint32_t i;

	if (conf->nlisten > CONF_LISTEN_MAX)
		return false;
	for (i = 0; i < CONF_LISTEN_MAX; i++) {
		l = &conf->listen[i];
		if (l->kind > CONF_LISTEN_UNIX || l->port < 0 ||
		    l->port > 65535 || !is_text(l->host, sizeof l->host) ||
		    !is_text(l->path, sizeof l->path))
			return false;
	}
	return true;
}

static bool
conf_valid(const struct conf *conf)
{
	return options_valid(conf) && listen_valid(conf) &&
	    is_text(conf->file, sizeof conf->file) &&
	    is_text(conf->digest, sizeof conf->digest) &&
	    is_bool(&conf->user_given) && is_bool(&conf->listen_defaulted) &&
	    is_bool(&conf->auth_required) &&
	    conf->log_target <= CONF_LOG_SYSLOG &&
	    conf->workers <= CONF_WORKERS_MAX;
}

static int
pread_all(int fd, void *p, size_t len, off_t off)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, (char *)p + done, len - done,
		    off + (off_t)done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0) {
			errno = EPROTO;
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}

/* Size and seals: nobody can change it any more. */
static bool
is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals != -1 && (seals & SEALS) == SEALS &&
	    fstat(fd, &st) == 0 &&
	    st.st_size == sizeof(struct snapshot_head) + sizeof(struct conf);
}

int
snapshot_read(int fd, struct conf *conf, uint64_t *version)
{
	uint8_t digest[SHA256_LEN];
	struct snapshot_head head;
	static struct conf scratch; /* large; one thread per process */

	if (!is_sealed(fd) ||
	    pread_all(fd, &head, sizeof head, 0) == -1 ||
	    pread_all(fd, &scratch, sizeof scratch, sizeof head) == -1)
		goto bad;
	digest_of(&scratch, sizeof scratch, digest);
	if (head.magic != SNAPSHOT_MAGIC || head.size != sizeof scratch ||
	    memcmp(digest, head.digest, sizeof digest) != 0 ||
	    !conf_valid(&scratch))
		goto bad;
	memcpy(conf, &scratch, sizeof *conf);
	if (version != NULL)
		*version = head.version;
	explicit_bzero(&scratch, sizeof scratch);
	return 0;
bad:
	explicit_bzero(&scratch, sizeof scratch);
	errno = EPROTO;
	return -1;
}
