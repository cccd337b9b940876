/*
 * Runs a command under a seccomp filter that answers chosen system calls with
 * an error, as a container's profile does:
 *
 *   launch RULE... -- COMMAND [ARGUMENT...]
 *
 * where RULE is number=errno, or number/index=value:errno for calls with that
 * value in the argument at that index.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static struct sock_filter filter[256];
static unsigned short length;

static void add(unsigned short code, unsigned value, unsigned char yes, unsigned char no)
{
	filter[length++] = (struct sock_filter){ code, yes, no, value };
}

static void load(unsigned offset)
{
	add(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		unsigned number, index, value, error;

		if (length > 200)
			return 125;
		if (sscanf(argv[i], "%u/%u=%u:%u", &number, &index, &value, &error) == 4) {
			load(offsetof(struct seccomp_data, nr));
			add(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3);
			load(offsetof(struct seccomp_data, args) + 8 * index);
			add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
		} else if (sscanf(argv[i], "%u=%u", &number, &error) == 2) {
			load(offsetof(struct seccomp_data, nr));
			add(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
		} else {
			fprintf(stderr, "launch: no such rule: %s\n", argv[i]);
			return 125;
		}
		add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error, 0, 0);
	}
	if (i + 1 >= argc)
		return 125;
	add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);

	struct sock_fprog program = { length, filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("launch");
		return 125;
	}
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 127;
}
