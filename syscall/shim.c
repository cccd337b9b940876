/*
 * The system calls that a ring is made of, each returning what the kernel
 * returns: a result, or -errno. Nothing here reads errno, so nothing can
 * change it between the call and the look.
 *
 * Freestanding on purpose: no header, no libc symbol. It compiles where there
 * are no development files (slim and distroless images) and on a read-only
 * root.
 *
 * A C function's arguments stand almost where the kernel wants them, so a call
 * is three instructions, written out: a compiler that does not optimise would
 * spend more on moving them about than the rest of the way costs.
 */

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

#if defined(__x86_64__)

/* The kernel takes its fourth argument in r10, because syscall overwrites rcx. */
#define SYSTEM_CALL(name, on_x86_64, on_arm64)      \
	__asm__(".text\n"                           \
		".globl " #name "\n"                \
		#name ":\n"                         \
		"mov $" TEXT(on_x86_64) ", %eax\n"  \
		"mov %rcx, %r10\n"                  \
		"syscall\n"                         \
		"ret\n")

/* Any other call: its number comes first, so its five arguments each stand one place too far. */
__asm__(".text\n"
	".globl shim_call\n"
	"shim_call:\n"
	"mov %rdi, %rax\n"
	"mov %rsi, %rdi\n"
	"mov %rdx, %rsi\n"
	"mov %rcx, %rdx\n"
	"mov %r8, %r10\n"
	"mov %r9, %r8\n"
	"syscall\n"
	"ret\n");

#elif defined(__aarch64__)

/*
 * Arguments in x0 to x5 on both sides; the number goes into x8. TinyCC's
 * assembler knows no mnemonics here: movz x8, number; svc 0; ret.
 */
#define SYSTEM_CALL(name, on_x86_64, on_arm64)                  \
	__asm__(".text\n"                                       \
		".globl " #name "\n"                            \
		#name ":\n"                                     \
		".long 0xd2800008 + " TEXT(on_arm64) " * 32\n"  \
		".long 0xd4000001\n"                            \
		".long 0xd65f03c0\n")

/*
 * Any other call: its number comes first, so its five arguments each stand one
 * place too far: mov x8, x0; mov x0, x1; ... mov x4, x5; svc 0; ret.
 */
__asm__(".text\n"
	".globl shim_call\n"
	"shim_call:\n"
	".long 0xaa0003e8\n"
	".long 0xaa0103e0\n"
	".long 0xaa0203e1\n"
	".long 0xaa0303e2\n"
	".long 0xaa0403e3\n"
	".long 0xaa0503e4\n"
	".long 0xd4000001\n"
	".long 0xd65f03c0\n");

#else
#error "io_uring's system calls are known here for x86-64 and arm64 only"
#endif

SYSTEM_CALL(shim_setup, 425, 425);
SYSTEM_CALL(shim_enter, 426, 426);
SYSTEM_CALL(shim_register, 427, 427);
SYSTEM_CALL(shim_mmap, 9, 222);
SYSTEM_CALL(shim_munmap, 11, 215);
SYSTEM_CALL(shim_madvise, 28, 233);
SYSTEM_CALL(shim_eventfd, 290, 19);
SYSTEM_CALL(shim_memfd, 319, 279);
SYSTEM_CALL(shim_close, 3, 57);

int shim_setup(unsigned entries, void *params);
int shim_enter(int fd, unsigned to_submit, unsigned min_complete, unsigned flags, void *arg, unsigned long arg_size);
int shim_register(int fd, unsigned opcode, void *arg, unsigned count);
long shim_mmap(void *address, unsigned long length, int protection, int flags, int fd, long offset);
int shim_munmap(void *address, unsigned long length);
int shim_madvise(void *address, unsigned long length, int advice);
int shim_eventfd(unsigned initial, int flags);
int shim_memfd(const char *name, unsigned flags);
int shim_close(int fd);
int shim_call(long number, long a, long b, long c, long d, long e);

/*
 * The one function that is looked up by name: the address of the function at
 * an index. Whoever calls binds these addresses, because a call bound that way
 * is several times faster and converts its arguments.
 */
void *shim_address(int index)
{
	switch (index) {
	case 0: return (void *)shim_setup;
	case 1: return (void *)shim_enter;
	case 2: return (void *)shim_register;
	case 3: return (void *)shim_mmap;
	case 4: return (void *)shim_munmap;
	case 5: return (void *)shim_madvise;
	case 6: return (void *)shim_eventfd;
	case 7: return (void *)shim_memfd;
	case 8: return (void *)shim_close;
	case 9: return (void *)shim_call;
	}
	return 0;
}
