/* SPDX-License-Identifier: BSD-2-Clause */
/* The last words of a child; the tables are made in the master. */
#include <config.h>

#include <sys/mman.h>

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_UNWIND
#include <unwind.h>
#endif

#include "proc/lastwords.h"

#include "base/log.h"
#include "proc/logpipe.h"

/* What the handler and the unwinder need, generously; the kernel's frame has
 * a few KiB of registers on top. */
#define STACK_BYTES (128u << 10)
#define FRAMES_MAX 40
#define MODULES_MAX 24
#define MODULE_NAME 32
#define BUILD_ID_MAX 32

struct module {
	char name[MODULE_NAME];
	uintptr_t base; /* addr2line(1) wants addresses relative to it */
	uintptr_t low, high;
};

static size_t page_bytes = 4096; /* of the guard below the stack */
static struct module modules[MODULES_MAX];
static uint32_t nmodules;
static uint8_t build_id[BUILD_ID_MAX]; /* of the program */
static uint32_t build_id_len;
static lastwords_who_fn *who;
static const void *who_ctx;
/* The handler's own state. */
static volatile sig_atomic_t dying; /* the signal, 0 = alive */
static volatile sig_atomic_t in_part; /* a fault now goes to part_end */
static sigjmp_buf part_end;

static const struct {
	int signo;
	const char *name;
} faults[] = {
	{ SIGSEGV, "SIGSEGV" },
	{ SIGBUS, "SIGBUS" },
	{ SIGFPE, "SIGFPE" },
	{ SIGILL, "SIGILL" },
	{ SIGSYS, "SIGSYS" },
	{ SIGABRT, "SIGABRT" },
};

#define NFAULTS (sizeof faults / sizeof faults[0])

/* ---- tables ----------------------------------------------------------- */

static void
name_module(struct module *m, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct sigtext t;

	sigtext_init(&t, m->name, sizeof m->name - 1);
	sigtext_str(&t, slash != NULL ? slash + 1 : path);
}

/* The build id among the notes of the program. */
static void
find_build_id(const char *p, size_t len)
{
	ElfW(Nhdr) note;
	size_t name, desc;

	while (len >= sizeof note) {
		memcpy(&note, p, sizeof note);
		name = (note.n_namesz + 3u) & ~(size_t)3;
		desc = (note.n_descsz + 3u) & ~(size_t)3;
		if (name > len - sizeof note ||
		    desc > len - sizeof note - name)
			return;
		p += sizeof note;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    memcmp(p, "GNU", 4) == 0 &&
		    note.n_descsz <= sizeof build_id) {
			memcpy(build_id, p + name, note.n_descsz);
			build_id_len = note.n_descsz;
			return;
		}
		p += name + desc;
		len -= sizeof note + name + desc;
	}
}

static int
add_module(struct dl_phdr_info *info, size_t size, void *ctx)
{
	bool program = nmodules == 0; /* it comes first */
	struct module *m = &modules[nmodules];
	const ElfW(Phdr) *ph;
	uintptr_t low;
	int i;

	(void)size;
	(void)ctx;
	if (nmodules == MODULES_MAX)
		return 1;
	memset(m, 0, sizeof *m);
	m->base = info->dlpi_addr;
	m->low = UINTPTR_MAX;
	for (i = 0; i < info->dlpi_phnum; i++) {
		ph = &info->dlpi_phdr[i];
		low = info->dlpi_addr + ph->p_vaddr;
		if (ph->p_type == PT_NOTE && program && build_id_len == 0)
			find_build_id((const char *)low, ph->p_memsz);
		if (ph->p_type != PT_LOAD)
			continue;
		if (low < m->low)
			m->low = low;
		if (low + ph->p_memsz > m->high)
			m->high = low + ph->p_memsz;
	}
	name_module(m, program ? program_invocation_short_name :
				 info->dlpi_name);
	nmodules++;
	return 0;
}

void
lastwords_prepare(void)
{
	long page = sysconf(_SC_PAGESIZE);

	if (page > 0)
		page_bytes = (size_t)page;
	nmodules = build_id_len = 0;
	(void)dl_iterate_phdr(add_module, NULL);
}

void
lastwords_set_who(lastwords_who_fn *fn, const void *ctx)
{
	who = fn;
	who_ctx = ctx;
}

/* ---- in the handler --------------------------------------------------- */

/* "natsd+0x1234", or the bare address if it lies nowhere. */
static void
put_place(struct sigtext *t, uintptr_t pc)
{
	uint32_t i;

	for (i = 0; i < nmodules; i++) {
		if (pc < modules[i].low || pc >= modules[i].high)
			continue;
		sigtext_strn(t, modules[i].name, MODULE_NAME);
		sigtext_str(t, "+");
		pc -= modules[i].base;
		break;
	}
	sigtext_str(t, "0x");
	sigtext_hex(t, pc);
}

static void
say(const struct sigtext *t)
{
	logpipe_urgent(LOG_LVL_FATAL, t->p, t->len);
}

static const char *
fault_name(int signo)
{
	size_t i;

	for (i = 0; i < NFAULTS; i++) {
		if (faults[i].signo == signo)
			return faults[i].name;
	}
	return "?";
}

static void
say_signal(int signo, const siginfo_t *si)
{
	char text[256];
	struct sigtext t;

	sigtext_init(&t, text, sizeof text);
	sigtext_str(&t, "last words: signal ");
	sigtext_num(&t, (uint64_t)signo);
	sigtext_str(&t, " (");
	sigtext_str(&t, fault_name(signo));
	sigtext_str(&t, ")");
	if (si->si_code <= 0) {
		sigtext_str(&t, si->si_pid == getpid() ? " of its own" :
							 " from process ");
		if (si->si_pid != getpid())
			sigtext_num(&t, (uint64_t)si->si_pid);
	} else if (signo != SIGABRT && signo != SIGSYS) {
		sigtext_str(&t, ", address 0x");
		sigtext_hex(&t, (uintptr_t)si->si_addr);
	}
	say(&t);
}

static void
say_who(void)
{
	char text[512];
	struct sigtext t;

	if (who == NULL)
		return;
	sigtext_init(&t, text, sizeof text);
	sigtext_str(&t, "last words: serving ");
	who(who_ctx, &t);
	say(&t);
}

#ifdef HAVE_UNWIND
struct trace {
	struct sigtext text;
	uint32_t n;
	bool in_fault; /* past the handler's own frames */
	bool all; /* there seems to be no frame of a signal */
};

static _Unwind_Reason_Code
add_frame(struct _Unwind_Context *ctx, void *arg)
{
	struct trace *tr = arg;
	int exact = 0;
	uintptr_t pc = (uintptr_t)_Unwind_GetIPInfo(ctx, &exact);

	if (pc == 0)
		return _URC_END_OF_STACK;
	/* Exact is the address at which a signal came; others are those to
	 * return to, one behind the call. */
	tr->in_fault = tr->in_fault || exact || tr->all;
	if (!tr->in_fault)
		return _URC_NO_REASON;
	sigtext_str(&tr->text, " ");
	put_place(&tr->text, exact ? pc : pc - 1);
	return ++tr->n < FRAMES_MAX ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void
put_build_id(struct sigtext *t)
{
	uint32_t i;

	if (build_id_len == 0)
		return;
	sigtext_str(t, " (build id ");
	for (i = 0; i < build_id_len; i++) {
		sigtext_hex(t, build_id[i] >> 4);
		sigtext_hex(t, build_id[i] & 15);
	}
	sigtext_str(t, ")");
}

static void
say_trace(struct trace *tr)
{
	if (tr->n == 0)
		return;
	put_build_id(&tr->text);
	say(&tr->text);
}
#endif

/* Runs a part that may find memory damaged; a fault ends it. */
static void
guarded(void (*part)(void))
{
	if (sigsetjmp(part_end, 1) == 0) {
		in_part = 1;
		part();
	}
	in_part = 0;
}

#ifdef HAVE_UNWIND
static struct trace trace;
static char trace_text[LOG_TEXT_MAX];

static void
unwind(void)
{
	(void)_Unwind_Backtrace(add_frame, &trace);
}

static void
say_backtrace(void)
{
	bool all;

	for (all = false;; all = true) {
		memset(&trace, 0, sizeof trace);
		trace.all = all;
		/* Room is kept for the build id. */
		sigtext_init(&trace.text, trace_text, sizeof trace_text - 128);
		sigtext_str(&trace.text, "last words: backtrace");
		guarded(unwind); /* what was found until a fault is kept */
		if (trace.n > 0 || all)
			break;
	}
	trace.text.max = sizeof trace_text;
	say_trace(&trace);
}
#else
static void
say_backtrace(void)
{
}
#endif

/* The signal again, without a handler.  In that signal's own handler it waits
 * for the return, and so finds the registers of the fault. */
static void
die_of(int signo)
{
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
}

/* A second fault that no part expected, or the time is up: at once, whatever
 * the handlers around it have blocked. */
static void
die_now(int signo)
{
	sigset_t set;

	die_of(signo);
	sigemptyset(&set);
	sigaddset(&set, signo);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* SIGALRM: some part does not come to its end. */
static void
on_late(int unused)
{
	(void)unused;
	die_now((int)dying);
}

static void
limit_time(void)
{
	struct sigaction late = { .sa_handler = on_late,
		.sa_flags = SA_ONSTACK };
	sigset_t set;

	sigemptyset(&late.sa_mask);
	(void)sigaction(SIGALRM, &late, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)alarm(LASTWORDS_S);
}

static void
block(int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void
on_fault(int signo, siginfo_t *si, void *ucontext)
{
	int saved = errno;

	(void)ucontext;
	if (dying != 0) {
		if (in_part)
			siglongjmp(part_end, 1);
		die_now((int)dying);
		return;
	}
	dying = signo;
	limit_time();
	say_signal(signo, si);
	guarded(say_who);
	say_backtrace();
	block(signo);
	die_of(signo);
	errno = saved;
}

/* ---- at the start ----------------------------------------------------- */

static int
make_stack(void)
{
	stack_t ss = { .ss_size = STACK_BYTES };
	uint8_t *p;

	p = mmap(NULL, page_bytes + STACK_BYTES, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	ss.ss_sp = p + page_bytes;
	if (mprotect(ss.ss_sp, STACK_BYTES, PROT_READ | PROT_WRITE) == -1)
		return -1;
	return sigaltstack(&ss, NULL);
}

static int
catch(int signo)
{
	struct sigaction sa = { .sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	struct sigaction old;
	size_t i;

	if (sigaction(signo, NULL, &old) == -1)
		return -1;
	if ((old.sa_flags & SA_SIGINFO) != 0 || old.sa_handler != SIG_DFL)
		return 0;
	sigfillset(&sa.sa_mask);
	sigdelset(&sa.sa_mask, SIGALRM);
	/* A fault while its signal is blocked kills at once. */
	for (i = 0; i < NFAULTS; i++)
		sigdelset(&sa.sa_mask, faults[i].signo);
	return sigaction(signo, &sa, NULL);
}

int
lastwords_install(void)
{
	size_t i;

	if (make_stack() == -1)
		return -1;
	for (i = 0; i < NFAULTS; i++) {
		if (catch(faults[i].signo) == -1)
			return -1;
	}
	return 0;
}
