/* A process that joins a CPG group and leaves it, over and over: each round gives every member two confchgs.
 *
 * churn GROUP ROUNDS
 */
#include <corosync/cpg.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 10000 };
static int changes;

static void deliver(cpg_handle_t h, const struct cpg_name *g, uint32_t node, uint32_t pid, void *m, size_t len)
{
    (void)h; (void)g; (void)node; (void)pid; (void)m; (void)len;
}

static void confchg(cpg_handle_t h, const struct cpg_name *g, const struct cpg_address *m, size_t nm,
                    const struct cpg_address *l, size_t nl, const struct cpg_address *j, size_t nj)
{
    (void)h; (void)g; (void)m; (void)nm; (void)l; (void)nl; (void)j; (void)nj;
    changes++;
}

static void must(cs_error_t err, const char *what)
{
    if (err != CS_OK) { fprintf(stderr, "%s: error %d\n", what, err); exit(1); }
}

static void wait_for_change(cpg_handle_t h)
{
    int fd, before = changes;
    must(cpg_fd_get(h, &fd), "cpg_fd_get");
    while (changes == before) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, WAIT_MS) != 1) { fprintf(stderr, "no confchg within %d ms\n", WAIT_MS); exit(1); }
        must(cpg_dispatch(h, CS_DISPATCH_ALL), "cpg_dispatch");
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || strlen(argv[1]) >= CPG_MAX_NAME_LENGTH) { fprintf(stderr, "churn GROUP ROUNDS\n"); return 2; }
    cpg_callbacks_t callbacks = { .cpg_deliver_fn = deliver, .cpg_confchg_fn = confchg };
    struct cpg_name group = { .length = strlen(argv[1]) };
    memcpy(group.value, argv[1], group.length);
    for (int round = atoi(argv[2]); round > 0; round--) {
        cpg_handle_t h;
        must(cpg_initialize(&h, &callbacks), "cpg_initialize");
        must(cpg_join(h, &group), "cpg_join");
        wait_for_change(h);
        must(cpg_leave(h, &group), "cpg_leave");
        wait_for_change(h);
        cpg_finalize(h);
    }
    return 0;
}
