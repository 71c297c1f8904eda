/*
 * The least that libcpg asks of a groupd: one connection and one join for each group, and the messages of a recovery.
 *
 *   bare join K START NODES        joins K groups one after the other from START on, and takes what comes until each has so
 *                                  many members; prints when that was. Stays until standard input ends
 *   bare talk K START NODES        in one group of so many members: sends 2 K messages of 64 bytes from START on, and takes
 *                                  what comes until all of all are there; prints how long that took
 *
 * Times are CLOCK_MONOTONIC in nanoseconds. Build: cc -O2 -o bare bare.c -lcpg
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <corosync/cpg.h>

#define GROUPS_MAX 1000
#define MESSAGE_LEN 64
#define STAY_S 5

static cpg_handle_t handles[GROUPS_MAX];
static struct pollfd sources[GROUPS_MAX];
static size_t members[GROUPS_MAX];	/* at most, so far */
static uint64_t delivered;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void must(cs_error_t code, const char *what)
{
	if (code != CS_OK) {
		fprintf(stderr, "%s: cs_error_t %d\n", what, code);
		exit(1);
	}
}

static void on_message(cpg_handle_t h, const struct cpg_name *group, uint32_t nodeid, uint32_t pid, void *message, size_t len)
{
	(void)h, (void)group, (void)nodeid, (void)pid, (void)message, (void)len;
	delivered++;
}

static void on_view(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *all, size_t all_len,
		    const struct cpg_address *left, size_t left_len, const struct cpg_address *came, size_t came_len)
{
	(void)h, (void)all, (void)left, (void)left_len, (void)came, (void)came_len;
	size_t *most = &members[atoi(group->value + 3)];
	if (all_len > *most)
		*most = all_len;
}

static void join(int number)
{
	cpg_callbacks_t callbacks = { on_message, on_view };
	struct cpg_name name = { 0 };
	int fd;

	must(cpg_initialize(&handles[number], &callbacks), "cpg_initialize");
	name.length = (uint32_t)sprintf(name.value, "1_g%d", number) + 1;
	cs_error_t code;
	while ((code = cpg_join(handles[number], &name)) == CS_ERR_TRY_AGAIN)
		usleep(1000);
	must(code, "cpg_join");
	must(cpg_fd_get(handles[number], &fd), "cpg_fd_get");
	sources[number] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* Takes what is there, on each handle that has something. */
static void take(int count, int timeout_ms)
{
	if (poll(sources, (nfds_t)count, timeout_ms) <= 0)
		return;
	for (int i = 0; i < count; i++)
		if (sources[i].revents)
			must(cpg_dispatch(handles[i], CS_DISPATCH_ALL), "cpg_dispatch");
}

static void wait_for_members(int count, size_t nodes)
{
	for (int i = 0; i < count; i++)
		while (members[i] < nodes)
			take(count, 100);
}

static void wait_until(uint64_t start)
{
	while (now_ns() < start)
		usleep(200);
}

static void talk(uint64_t messages, uint64_t start, size_t nodes)
{
	char message[MESSAGE_LEN] = { 0 };
	struct iovec piece = { message, sizeof(message) };
	uint64_t sent = 0;

	join(0);
	wait_for_members(1, nodes);
	wait_until(start);
	while (delivered < messages * nodes) {
		while (sent < messages && cpg_mcast_joined(handles[0], CPG_TYPE_AGREED, &piece, 1) == CS_OK)
			sent++;
		take(1, sent < messages ? 0 : 100);
	}
	printf("%llu\n", (unsigned long long)(now_ns() - start));
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int count = atoi(argv[2]);
	uint64_t start = strtoull(argv[3], NULL, 10);
	size_t nodes = (size_t)atoi(argv[4]);
	if (count < 1 || count > GROUPS_MAX)
		return 2;
	if (!strcmp(argv[1], "talk")) {
		talk(2 * (uint64_t)count, start, nodes);
		return 0;
	}
	wait_until(start);
	for (int i = 0; i < count; i++) {
		join(i);
		take(i + 1, 0);
	}
	wait_for_members(count, nodes);
	printf("%llu\n", (unsigned long long)(now_ns() - start));
	fflush(stdout);
	sleep(STAY_S);
	return 0;
}
