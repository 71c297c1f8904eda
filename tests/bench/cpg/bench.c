/*
 * The peer of cpg-glue/examples/glue_bench.rs: the plainest loop on libcpg in C, poll + dispatch, nothing copied.
 *
 *   bench run GROUP COUNT MILLIS SIZE...    one JSON line per figure:
 *     {"peer":"c","figure":"rtt","size":S,"p50_us":X,"p99_us":X}        COUNT messages, one at a time
 *     {"peer":"c","figure":"throughput","size":S,"per_s":X}             as many as corosync takes in MILLIS
 *   bench apart GROUP COUNT PAUSE_US SIZE   {"peer":"c","figure":"rtt",...}: the same, with a pause before each message
 *   bench stay GROUP                        a member that only takes what comes, until standard input ends
 *
 * Only deliveries of our own messages count: a round trip is multicast to own delivery.
 * Build: cc -O2 -o bench bench.c -lcpg
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/uio.h>
#include <corosync/cpg.h>

#define SEND_BATCH 64

static cpg_handle_t handle;
static struct pollfd source = { .events = POLLIN };
static uint32_t own_nodeid, own_pid;
static uint64_t returned;
static int joined;

static void fail(const char *what, cs_error_t code)
{
	fprintf(stderr, "%s: cs_error_t %d\n", what, code);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_message(cpg_handle_t h, const struct cpg_name *group, uint32_t nodeid, uint32_t pid, void *message, size_t len)
{
	(void)h, (void)group, (void)message, (void)len;
	if (nodeid == own_nodeid && pid == own_pid)
		returned++;
}

static void on_view(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *members, size_t members_len,
		    const struct cpg_address *left, size_t left_len, const struct cpg_address *came, size_t came_len)
{
	(void)h, (void)group, (void)members, (void)members_len, (void)left, (void)left_len;
	for (size_t i = 0; i < came_len; i++)
		if (came[i].nodeid == own_nodeid && came[i].pid == own_pid)
			joined = 1;
}

/* Waits at most so long for something, then takes all there is. */
static void turn(int wait_ms)
{
	if (poll(&source, 1, wait_ms) > 0) {
		cs_error_t code = cpg_dispatch(handle, CS_DISPATCH_ALL);
		if (code != CS_OK && code != CS_ERR_TRY_AGAIN)
			fail("cpg_dispatch", code);
	}
}

/* 1 if corosync took it, 0 if it is to be asked again. */
static int multicast(const struct iovec *message)
{
	cs_error_t code = cpg_mcast_joined(handle, CPG_TYPE_AGREED, message, 1);
	if (code != CS_OK && code != CS_ERR_TRY_AGAIN)
		fail("cpg_mcast_joined", code);
	return code == CS_OK;
}

static void join(const char *name)
{
	cpg_model_v1_data_t model = { .model = CPG_MODEL_V1, .cpg_deliver_fn = on_message, .cpg_confchg_fn = on_view };
	struct cpg_name group = { .length = strlen(name) };
	cs_error_t code = cpg_model_initialize(&handle, CPG_MODEL_V1, (cpg_model_data_t *)&model, NULL);
	if (code != CS_OK)
		fail("cpg_model_initialize", code);
	memcpy(group.value, name, group.length);
	cpg_fd_get(handle, &source.fd);
	cpg_local_get(handle, &own_nodeid);
	own_pid = (uint32_t)getpid();
	while ((code = cpg_join(handle, &group)) == CS_ERR_TRY_AGAIN)
		usleep(1000);
	if (code != CS_OK)
		fail("cpg_join", code);
	while (!joined)
		turn(-1);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* After each pause processor caches are cold and corosync sleeps, as before anything that does not come in a stream. */
static void round_trips(const struct iovec *message, size_t count, useconds_t pause)
{
	uint64_t *took = calloc(count, sizeof(*took));
	for (size_t i = 0; i < count; i++) {
		if (pause)
			usleep(pause);
		uint64_t before = returned, start = now_ns();
		while (!multicast(message))
			turn(1);
		while (returned == before)
			turn(-1);
		took[i] = now_ns() - start;
	}
	qsort(took, count, sizeof(*took), by_size);
	printf("{\"peer\":\"c\",\"figure\":\"rtt\",\"size\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", message->iov_len,
	       (double)took[count / 2] / 1e3, (double)took[count * 99 / 100] / 1e3);
	free(took);
}

static void throughput(const struct iovec *message, uint64_t millis)
{
	uint64_t sent = 0, first = returned, start = now_ns(), end = start + millis * 1000000;
	while (now_ns() < end) {
		int taken = 1;
		for (int i = 0; i < SEND_BATCH && taken; i++)
			sent += (uint64_t)(taken = multicast(message));
		turn(taken ? 0 : 1);
	}
	while (returned - first < sent)
		turn(-1);
	printf("{\"peer\":\"c\",\"figure\":\"throughput\",\"size\":%zu,\"per_s\":%.0f}\n", message->iov_len,
	       (double)sent * 1e9 / (double)(now_ns() - start));
}

static void stay(void)
{
	struct pollfd both[2] = { source, { .fd = STDIN_FILENO, .events = POLLIN } };
	while (poll(both, 2, -1) >= 0 && !both[1].revents)
		turn(0);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "stay")) {
		join(argv[2]);
		stay();
	} else if (argc > 5 && !strcmp(argv[1], "run")) {
		join(argv[2]);
		for (int i = 5; i < argc; i++) {
			struct iovec message = { .iov_len = strtoul(argv[i], NULL, 10) };
			message.iov_base = calloc(1, message.iov_len);
			round_trips(&message, strtoul(argv[3], NULL, 10), 0);
			throughput(&message, strtoul(argv[4], NULL, 10));
			free(message.iov_base);
		}
	} else if (argc == 6 && !strcmp(argv[1], "apart")) {
		join(argv[2]);
		struct iovec message = { .iov_len = strtoul(argv[5], NULL, 10) };
		message.iov_base = calloc(1, message.iov_len);
		round_trips(&message, strtoul(argv[3], NULL, 10), (useconds_t)strtoul(argv[4], NULL, 10));
		free(message.iov_base);
	} else {
		fprintf(stderr, "usage: bench run GROUP COUNT MILLIS SIZE... | bench apart GROUP COUNT PAUSE_US SIZE | bench stay GROUP\n");
		return 2;
	}
	cpg_finalize(handle);
	return 0;
}
