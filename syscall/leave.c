/*
 * What is done when a thread, a Worker's, is terminated. Nobody tells
 * JavaScript; the engine gives the memory of the thread's objects back while
 * the kernel may still be writing to it. So everything that a ring has in
 * flight is cancelled first, and waited for, as closing a ring does: a
 * registration cancels, and so does an entry; a NOP that waits for all that was
 * before it tells the end. And descriptors are closed, and
 * paths removed, that nobody else knows of.
 *
 * This follows shim.c, in the same text.
 */

enum {
	OP_NOP = 0, OP_ASYNC_CANCEL = 14, IO_DRAIN = 2,
	CANCEL_EVERYTHING = 1 | 4,
	GETEVENTS = 1, SQ_WAKEUP = 2,
	AT_FDCWD = -100,
	TRIES = 1000, TRIES_IN_VAIN = 100, TRY_NANOSECONDS = 1000000,
	EINTR = 4, EAGAIN = 11, EBUSY = 16, EINVAL = 22,
	CANCEL_MARK = 1, DRAIN_MARK = 2, MARK_HIGH = -1
};

#if defined(__x86_64__)
#define NANOSLEEP 35
#define UNLINKAT 263
/* Stores are seen in their order. */
#define RELEASE
#else
#define NANOSLEEP 101
#define UNLINKAT 35
/* dmb ish */
#define RELEASE __asm__ volatile(".long 0xd5033bbf")
#endif

/* A ring as departure.ts describes it. */
struct leaving {
	int fd;
	unsigned enter_flags;
	unsigned cancel_opcode;
	unsigned sq_mask, sqe_shift;
	unsigned cq_mask, cqe_shift;
	int closes;
	volatile unsigned *sq_head, *sq_tail;
	char *sqes;
	volatile unsigned *cq_head, *cq_tail;
	char *cqes;
	void *memory[2];
	unsigned long lengths[2];
};

static void rest(void)
{
	long time[2];
	time[0] = 0;
	time[1] = TRY_NANOSECONDS;
	shim_call(NANOSLEEP, (long)time, 0, 0, 0, 0);
}

static void queue(struct leaving *ring, unsigned at, int first_word, int flags, int mark)
{
	int *sqe = (int *)(ring->sqes + ((unsigned long)(at & ring->sq_mask) << ring->sqe_shift));
	int i;

	for (i = 0; i < 16; i++)
		sqe[i] = 0;
	sqe[0] = first_word;
	sqe[1] = -1;
	sqe[7] = flags;
	sqe[8] = mark;
	sqe[9] = MARK_HIGH;
}

/* Sees all completions; whether the last of all was among them. */
static int is_over(struct leaving *ring)
{
	unsigned head = *ring->cq_head, tail = *ring->cq_tail;
	int over = 0;

	RELEASE;
	for (; head != tail; head++) {
		int *cqe = (int *)(ring->cqes + ((unsigned long)(head & ring->cq_mask) << ring->cqe_shift));
		if (cqe[0] == DRAIN_MARK && cqe[1] == MARK_HIGH)
			over = 1;
	}
	*ring->cq_head = tail;
	return over;
}

void shim_leave(void *of)
{
	struct leaving *ring = of;
	int polled = ring->enter_flags & SQ_WAKEUP;
	int tries = TRIES, everything[16], i, result;
	unsigned at, room, left = 0;

	for (i = 0; i < 16; i++)
		everything[i] = 0;
	everything[2] = -1;
	everything[3] = CANCEL_EVERYTHING;
	/* What was queued and never submitted is dropped, unless a thread of the kernel's is reading it. */
	at = ring->sq_tail == 0 ? 0 : polled ? *ring->sq_tail : *ring->sq_head;
	room = ring->sq_mask + 1 - (polled ? at - *ring->sq_head : 0);
	if (room > 1)
		queue(ring, at + left++, OP_ASYNC_CANCEL, CANCEL_EVERYTHING, CANCEL_MARK);
	if (room > 0)
		queue(ring, at + left++, OP_NOP | IO_DRAIN << 8, 0, DRAIN_MARK);
	RELEASE;
	if (ring->sq_tail != 0)
		*ring->sq_tail = at + left;
	while (tries-- > 0) {
		/* Kernel: 6.0; where it is missing only the ring's end cancels everything. */
		if (shim_register(ring->fd, ring->cancel_opcode, everything, 1) == -EINVAL && tries > TRIES_IN_VAIN)
			tries = TRIES_IN_VAIN;
		result = shim_enter(ring->fd, left, 0, GETEVENTS | ring->enter_flags, 0, 0);
		if (result > 0 && !polled)
			left -= result;
		if (is_over(ring))
			break;
		if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
			break;
		rest();
	}
	for (i = 0; i < 2; i++)
		shim_munmap(ring->memory[i], ring->lengths[i]);
	if (ring->closes)
		shim_close(ring->fd);
	/* The kernel tells nobody when it has done what it does at a ring's end. */
	for (i = 0; tries < 0 && i < TRIES_IN_VAIN; i++)
		rest();
}

/* Closes descriptors: a bit each, in as many words as the first one says, from the second on. */
void shim_close_all(void *of)
{
	unsigned *words = of, i, bit;

	for (i = 0; i < words[0]; i++)
		for (bit = 0; bit < 32; bit++)
			if (words[1 + i] >> bit & 1)
				shim_close(i * 32 + bit);
}

/* Removes the name of a socket that is listened on. */
void shim_remove(void *path)
{
	shim_call(UNLINKAT, AT_FDCWD, (long)path, 0, 0, 0);
}

/* The engine's name for this thread, which it wants to be told with. */
void *shim_environment(void *environment)
{
	return environment;
}

/* The address of what is done with a ring, with descriptors, with a path. */
void *shim_farewell(int index)
{
	switch (index) {
	case 0: return (void *)shim_leave;
	case 1: return (void *)shim_close_all;
	case 2: return (void *)shim_remove;
	}
	return 0;
}
