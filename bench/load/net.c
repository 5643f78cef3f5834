#define _GNU_SOURCE
#include "net.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

struct endpoint endpoint_of(const char *text)
{
    struct endpoint endpoint = {.address.sin_family = AF_INET};
    const char *colon = strrchr(text, ':');
    size_t host_length = colon ? (size_t)(colon - text) : 0;
    if (host_length == 0 || host_length >= sizeof endpoint.host) {
        fprintf(stderr, "%s: not HOST:PORT\n", text);
        exit(2);
    }
    memcpy(endpoint.host, text, host_length);
    endpoint.port = atoi(colon + 1);
    endpoint.address.sin_port = htons((uint16_t)endpoint.port);
    bool is_address = inet_pton(AF_INET, endpoint.host, &endpoint.address.sin_addr) == 1;
    if (!is_address || ntohl(endpoint.address.sin_addr.s_addr) >> 24 != 127 || endpoint.port < 1 || endpoint.port > 65535) {
        fprintf(stderr, "%s: only ports of 127.0.0.0/8\n", text);
        exit(2);
    }
    return endpoint;
}

int endpoints_of(const char *text, struct endpoint *endpoints, int max)
{
    char *copy = strdup(text), *rest = copy, *each;
    int count = 0;
    while ((each = strsep(&rest, ","))) {
        if (count == max) {
            fprintf(stderr, "%s: more than %d\n", text, max);
            exit(2);
        }
        endpoints[count++] = endpoint_of(each);
    }
    free(copy);
    return count;
}

int udp_socket(const struct endpoint *local, int buffer_bytes)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Beyond the system's maximum for root only; others get what there is. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&local->address, sizeof local->address)) {
        fprintf(stderr, "%s:%d: ", local->host, local->port);
        perror("bind");
        exit(2);
    }
    return fd;
}

void udp_stamp_arrivals(int fd)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on)) {
        perror("SO_TIMESTAMPNS");
        exit(2);
    }
}

uint64_t udp_arrival_ns(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(part), sizeof at);
            return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
        }
    }
    return 0;
}

uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1e6 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}
