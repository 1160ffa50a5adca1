/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fuzz target as a plain program: every file named, all files of every
 * folder named, or standard input, is one input.  Without arguments it takes
 * the target's corpus ($top_srcdir/tests/fuzz/corpus/NAME), which is what make
 * check does.  Built by AFL++ it takes inputs from its fuzzer too.
 */
#include <config.h>

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

#ifdef __AFL_FUZZ_TESTCASE_LEN
__AFL_FUZZ_INIT();
#endif

static unsigned ninputs;

static void
one_input(const uint8_t *p, size_t len)
{
	/* Nothing may be read behind it. */
	uint8_t *copy = fuzz_copy(p, len);

	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	ninputs++;
}

static int
one_stream(FILE *fp)
{
	static uint8_t buf[INPUT_MAX];
	size_t len = fread(buf, 1, sizeof buf, fp);

	if (ferror(fp))
		return -1;
	one_input(buf, len);
	return 0;
}

static int one_path(const char *path);

static int
one_folder(const char *path)
{
	struct dirent **entry;
	char name[4096];
	int i, n, rc = 0;

	if ((n = scandir(path, &entry, NULL, alphasort)) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%s/%s", path, entry[i]->d_name);
		if (*entry[i]->d_name != '.' && rc == 0)
			rc = one_path(name);
		free(entry[i]);
	}
	free(entry);
	return rc;
}

static int
one_path(const char *path)
{
	struct stat st;
	FILE *fp;
	int rc;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return one_folder(path);
	if ((fp = fopen(path, "rb")) == NULL)
		return -1;
	/* Shown by whoever looks for the input that failed. */
	if (getenv("FUZZ_VERBOSE") != NULL)
		fprintf(stderr, "%s\n", path);
	rc = one_stream(fp);
	(void)fclose(fp);
	return rc;
}

/* The corpus of the program's name: fuzz_parse has corpus/parse. */
static int
own_corpus(const char *program, const char *top)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash == NULL ? program : slash + 1;
	char path[4096];

	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", top, name);
	if (one_path(path) == -1) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	printf("%u inputs of %s\n", ninputs, path);
	return ninputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#ifdef __AFL_FUZZ_TESTCASE_LEN
/* Many inputs in one process, from memory that the fuzzer shares. */
static int
afl_inputs(void)
{
	const uint8_t *p;
	size_t len;

	__AFL_INIT();
	p = __AFL_FUZZ_TESTCASE_BUF;
	while (__AFL_LOOP(10000)) {
		len = (size_t)__AFL_FUZZ_TESTCASE_LEN;
		one_input(p, len);
	}
	return EXIT_SUCCESS;
}
#endif

int
main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir");
	int i;

	if (argc < 2 && top != NULL)
		return own_corpus(argv[0], top);
#ifdef __AFL_FUZZ_TESTCASE_LEN
	if (argc < 2)
		return afl_inputs();
#endif
	if (argc < 2)
		return one_stream(stdin) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	for (i = 1; i < argc; i++) {
		if (one_path(argv[i]) == -1) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}
