/* floor: the bare loop, a relay that looks at nothing, with one thread. Loopback only.
 *
 *   floor MODE CALLS FIRST_PORT A_IP B_IP PEER_PORT
 *
 *   ports      a socket for each side of each call, as any RTP relay must have; epoll, recvmmsg, sendmmsg
 *   connected  the same, each socket connected to its peer; epoll, recv, send
 *   uring      connected sockets and io_uring
 *   mux        two sockets in all and full batches: no RTP relay can do this, it is what the kernel can do at most
 *
 * The sides of call i are 127.0.0.1:FIRST_PORT+4i and +4i+2; their peers are A_IP and B_IP, port PEER_PORT+2i. Prints "ready",
 * runs until SIGTERM, and prints a JSON line.
 */
#define _GNU_SOURCE
#include "net.h"

#include "floor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BATCH 16
#define EVENTS 256

volatile bool is_over;

static void stop(int signal)
{
    (void)signal;
    is_over = true;
}

static struct endpoint local_of(const char *host, int port)
{
    char text[32];
    snprintf(text, sizeof text, "%s:%d", host, port);
    return endpoint_of(text);
}

static int poller_of(const struct relay *relay)
{
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < relay->side_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(poller, EPOLL_CTL_ADD, relay->sides[i].fd, &event);
    }
    return poller;
}

/* With `peers`, a packet goes to the peer of the call that its sender's port names; else to that of the socket. */
static void relay_by_batches(struct relay *relay, const struct side *peers, int first_peer_port)
{
    static unsigned char packets[BATCH][PACKET_BYTES];
    static struct mmsghdr batch[BATCH];
    static struct iovec places[BATCH];
    static struct sockaddr_in names[BATCH];
    int poller = poller_of(relay);
    struct epoll_event events[EVENTS];
    while (!is_over) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            int from = (int)events[i].data.u32, received;
            do {
                for (int k = 0; k < BATCH; k++) {
                    places[k] = (struct iovec){packets[k], PACKET_BYTES};
                    batch[k].msg_hdr = (struct msghdr){
                        .msg_iov = &places[k], .msg_iovlen = 1, .msg_name = &names[k], .msg_namelen = sizeof names[k]};
                }
                received = recvmmsg(relay->sides[from].fd, batch, BATCH, MSG_DONTWAIT, NULL);
                for (int k = 0; k < received; k++) {
                    places[k].iov_len = batch[k].msg_len;
                    int call = peers ? (ntohs(names[k].sin_port) - first_peer_port) / 2 : from / 2;
                    names[k] = (peers ? peers : relay->sides)[2 * call + ((from ^ 1) & 1)].peer;
                }
                int sent = received > 0 ? sendmmsg(relay->sides[from ^ 1].fd, batch, (unsigned)received, MSG_DONTWAIT) : 0;
                relay->relayed += sent > 0 ? (uint64_t)sent : 0;
            } while (received == BATCH);
        }
    }
}

static void relay_connected(struct relay *relay)
{
    static unsigned char packet[PACKET_BYTES];
    int poller = poller_of(relay);
    struct epoll_event events[EVENTS];
    while (!is_over) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            int from = (int)events[i].data.u32;
            /* One packet is what is there nearly always; the next is told by the next epoll_wait. */
            ssize_t length = recv(relay->sides[from].fd, packet, sizeof packet, MSG_DONTWAIT);
            if (length > 0 && send(relay->sides[from ^ 1].fd, packet, (size_t)length, MSG_DONTWAIT) == length)
                relay->relayed++;
        }
    }
}

int main(int argument_count, char **arguments)
{
    int calls = argument_count == 7 ? atoi(arguments[2]) : 0;
    if (calls < 1 || calls > 5000) {
        fprintf(stderr, "usage: floor ports|connected|uring|mux CALLS (to 5000) FIRST_PORT A_IP B_IP PEER_PORT\n");
        return 2;
    }
    const char *mode = arguments[1];
    bool is_mux = !strcmp(mode, "mux"), is_connected = !strcmp(mode, "connected"), is_uring = !strcmp(mode, "uring");
    int first_port = atoi(arguments[3]), peer_port = atoi(arguments[6]);
    struct side *peers = calloc(2 * (size_t)calls, sizeof *peers);
    for (int i = 0; i < 2 * calls; i++)
        peers[i].peer = local_of(arguments[4 + i % 2], peer_port + 2 * (i / 2)).address;

    struct relay relay = {.sides = is_mux ? calloc(2, sizeof *peers) : peers, .side_count = is_mux ? 2 : 2 * calls};
    for (int i = 0; i < relay.side_count; i++) {
        struct endpoint local = local_of("127.0.0.1", first_port + 2 * i);
        relay.sides[i].fd = udp_socket(&local, 1 << 18);
        const struct sockaddr_in *peer = &relay.sides[i].peer;
        if ((is_connected || is_uring) && connect(relay.sides[i].fd, (const struct sockaddr *)peer, sizeof *peer)) {
            perror("connect");
            return 2;
        }
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    printf("ready\n");
    fflush(stdout);
    if (is_uring)
        relay_by_uring(&relay);
    else if (is_connected)
        relay_connected(&relay);
    else
        relay_by_batches(&relay, is_mux ? peers : NULL, peer_port);
    printf("{\"mode\":\"%s\",\"calls\":%d,\"relayed\":%lu,\"us_per_packet\":%.3f}\n", mode, calls, relay.relayed,
           cpu_us() / (double)(relay.relayed ? relay.relayed : 1));
    return 0;
}
