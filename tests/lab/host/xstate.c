/* Lets User Mode Linux run on processors whose register state is larger than it knows.
 *
 * A Linux before 6.15 that runs as User Mode Linux keeps 2,696 bytes of extended state (up to AVX-512 and PKRU) for each of its
 * processes, and writes that much back with PTRACE_SETREGSET. The host takes the whole state or nothing: with AMX it has 11,008
 * bytes, and the guest's first process ends in a panic ("put_fp_registers"). Preloaded into the guest kernel this reads the whole
 * state, and writes it back with the part in it that the guest knows. What it does not know stays as it is in that process.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define STATE_MAX 65536 /* bytes; the guest kernel's stacks are smaller, so it is not on them */

typedef long (*ptrace_fn)(int, pid_t, void *, void *);

static ptrace_fn libc_ptrace;
static char whole[STATE_MAX] __attribute__((aligned(64)));

__attribute__((constructor)) static void find(void)
{
	libc_ptrace = (ptrace_fn)dlsym(RTLD_NEXT, "ptrace");
}

static long regset(int request, pid_t pid, void *type, struct iovec *known)
{
	struct iovec all = { whole, sizeof whole };
	long result = libc_ptrace(PTRACE_GETREGSET, pid, type, &all);
	size_t common = known->iov_len < all.iov_len ? known->iov_len : all.iov_len;

	if (result < 0)
		return result;
	if (request == PTRACE_SETREGSET) {
		memcpy(whole, known->iov_base, common);
		return libc_ptrace(PTRACE_SETREGSET, pid, type, &all);
	}
	memcpy(known->iov_base, whole, common);
	known->iov_len = common;
	return result;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	pid_t pid;
	void *address, *data;

	va_start(rest, request);
	pid = va_arg(rest, pid_t);
	address = va_arg(rest, void *);
	data = va_arg(rest, void *);
	va_end(rest);
	if ((request == PTRACE_GETREGSET || request == PTRACE_SETREGSET) && address == (void *)NT_X86_XSTATE)
		return regset(request, pid, address, data);
	return libc_ptrace(request, pid, address, data);
}
