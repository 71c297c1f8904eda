/* The least that makes a node entry: the same writes as o2cpgd's, and nothing else.
 *
 * install CLUSTER-DIRECTORY NAME NUMBER ADDRESS PORT ROUNDS
 *
 * Prints the nanoseconds of each round: mkdir, then ipv4_port, ipv4_address, num, one write(2) each. Removing the entry again is not counted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) { perror(what); exit(1); }

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void store(const char *entry, const char *attribute, const char *value)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", entry, attribute);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value)) fail(path);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 7) { fprintf(stderr, "install CLUSTER-DIRECTORY NAME NUMBER ADDRESS PORT ROUNDS\n"); return 2; }
    char entry[512], num[16], address[32], port[16];
    snprintf(entry, sizeof entry, "%s/node/%s", argv[1], argv[2]);
    snprintf(num, sizeof num, "%s\n", argv[3]);
    snprintf(address, sizeof address, "%s\n", argv[4]);
    snprintf(port, sizeof port, "%s\n", argv[5]);
    for (int round = atoi(argv[6]); round > 0; round--) {
        long long begun = now();
        if (mkdir(entry, 0755)) fail(entry);
        store(entry, "ipv4_port", port);
        store(entry, "ipv4_address", address);
        store(entry, "num", num);
        printf("%lld\n", now() - begun);
        if (rmdir(entry)) fail(entry);
    }
    return 0;
}
