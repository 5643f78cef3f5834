/* rtpgen: an RTP load generator and sink, loopback only.
 *
 *   rtpgen MAP SECONDS
 *
 * Each line of MAP is an endpoint: `LOCAL_IP LOCAL_PORT REMOTE_IP REMOTE_PORT`. Each sends a packet of 20 ms G.711 to its remote
 * every 20 ms and counts what comes back to its port. The payload begins with the time of sending, so that the delay through
 * the system under test is known. One thread sends, one receives. Prints one JSON line.
 */
#define _GNU_SOURCE
#include "net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_ENDPOINTS 20000
#define PACKET_MS 20
#define HEADER_BYTES 12
#define PAYLOAD_BYTES 160
#define BATCH 8
/* Delays are counted in steps of 10 µs, up to 1 s. */
#define DELAY_STEP_NS 10000u
#define DELAY_STEPS 100000u
/* For what is still on its way when the last packet has been sent. */
#define TAIL_US 400000

struct stream {
    int fd;
    struct sockaddr_in remote;
    uint32_t ssrc, timestamp;
    uint16_t sequence;
    uint64_t sent, received;
};

static struct stream *streams;
static int stream_count;
static uint64_t delays[DELAY_STEPS], delay_count;
static atomic_bool is_over;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void read_map(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(2);
    }
    streams = calloc(MAX_ENDPOINTS, sizeof *streams);
    char local_host[64], remote_host[64];
    int local_port, remote_port;
    while (stream_count < MAX_ENDPOINTS &&
           fscanf(file, "%63s %d %63s %d\n", local_host, &local_port, remote_host, &remote_port) == 4) {
        struct stream *stream = &streams[stream_count];
        char text[80];
        snprintf(text, sizeof text, "%s:%d", local_host, local_port);
        struct endpoint local = endpoint_of(text);
        snprintf(text, sizeof text, "%s:%d", remote_host, remote_port);
        stream->remote = endpoint_of(text).address;
        stream->fd = udp_socket(&local, 1 << 18);
        stream->ssrc = 0x10000000u + (uint32_t)stream_count * 7919u;
        stream->sequence = (uint16_t)(stream_count * 31 & 0x3fff);
        stream->timestamp = (uint32_t)stream_count * 12345u;
        stream_count++;
    }
    fclose(file);
    if (!stream_count) {
        fprintf(stderr, "%s: no streams\n", path);
        exit(2);
    }
}

static void count(struct stream *stream, const unsigned char *packet, unsigned length, uint64_t now)
{
    if (length != HEADER_BYTES + PAYLOAD_BYTES || packet[0] >> 6 != 2)
        return;
    stream->received++;
    uint64_t sent;
    memcpy(&sent, packet + HEADER_BYTES, sizeof sent);
    if (sent > now)
        return;
    uint64_t step = (now - sent) / DELAY_STEP_NS;
    delays[step < DELAY_STEPS ? step : DELAY_STEPS - 1]++;
    delay_count++;
}

static void *receive(void *unused)
{
    (void)unused;
    static unsigned char packets[BATCH][2048];
    static struct mmsghdr batch[BATCH];
    static struct iovec places[BATCH];
    for (int i = 0; i < BATCH; i++) {
        places[i] = (struct iovec){packets[i], sizeof packets[i]};
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &places[i], .msg_iovlen = 1};
    }
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < stream_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(poller, EPOLL_CTL_ADD, streams[i].fd, &event);
    }
    struct epoll_event events[256];
    while (!atomic_load(&is_over)) {
        int ready = epoll_wait(poller, events, 256, 50);
        for (int i = 0; i < ready; i++) {
            struct stream *stream = &streams[events[i].data.u32];
            int got = recvmmsg(stream->fd, batch, BATCH, MSG_DONTWAIT, NULL);
            uint64_t now = now_ns();
            for (int k = 0; k < got; k++)
                count(stream, packets[k], batch[k].msg_len, now);
        }
    }
    return NULL;
}

static bool send_packet(struct stream *stream)
{
    unsigned char packet[HEADER_BYTES + PAYLOAD_BYTES];
    memset(packet, 0xd5, sizeof packet);
    uint16_t sequence = htons(stream->sequence++);
    uint32_t timestamp = htonl(stream->timestamp), ssrc = htonl(stream->ssrc);
    stream->timestamp += PAYLOAD_BYTES;
    packet[0] = 0x80;
    packet[1] = stream->sent++ ? 0 : 0x80; /* PCMU, the marker on the first */
    memcpy(packet + 2, &sequence, sizeof sequence);
    memcpy(packet + 4, &timestamp, sizeof timestamp);
    memcpy(packet + 8, &ssrc, sizeof ssrc);
    uint64_t now = now_ns();
    memcpy(packet + HEADER_BYTES, &now, sizeof now);
    ssize_t sent = sendto(stream->fd, packet, sizeof packet, MSG_DONTWAIT, (const struct sockaddr *)&stream->remote,
                          sizeof stream->remote);
    return sent == (ssize_t)sizeof packet;
}

static double delay_ms(double share)
{
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)delay_count);
    for (unsigned step = 0; step < DELAY_STEPS; step++) {
        seen += delays[step];
        if (seen > wanted)
            return step * (DELAY_STEP_NS / 1e6);
    }
    return -1;
}

int main(int argument_count, char **arguments)
{
    double seconds = argument_count == 3 ? atof(arguments[2]) : 0;
    if (seconds <= 0 || seconds > 300) {
        fprintf(stderr, "usage: rtpgen MAP SECONDS (up to 300)\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1000);
    read_map(arguments[1]);
    pthread_t receiver;
    pthread_create(&receiver, NULL, receive, NULL);

    /* The streams are spread evenly over the 20 ms, 1 ms apart. */
    uint64_t start = now_ns() + 20000000u, sent = 0, refused = 0, latest = 0;
    uint64_t slots = (uint64_t)(seconds * 1000);
    for (uint64_t slot = 0; slot < slots; slot++) {
        uint64_t due = start + slot * 1000000u, now = now_ns();
        if (now < due) {
            struct timespec at = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        } else if (now - due > latest) {
            latest = now - due;
        }
        for (int i = (int)(slot % PACKET_MS); i < stream_count; i += PACKET_MS) {
            if (send_packet(&streams[i]))
                sent++;
            else
                refused++;
        }
    }
    double took = (double)(now_ns() - start) / 1e9;
    usleep(TAIL_US);
    atomic_store(&is_over, true);
    pthread_join(receiver, NULL);

    uint64_t received = 0;
    int silent = 0;
    for (int i = 0; i < stream_count; i++) {
        received += streams[i].received;
        silent += !streams[i].received;
    }
    printf("{\"streams\":%d,\"seconds\":%.2f,\"sent\":%lu,\"received\":%lu,\"refused\":%lu,\"silent\":%d,\"delay_ms\":{\"p50\":%.2f,"
           "\"p99\":%.2f,\"p999\":%.2f},\"latest_ms\":%.2f,\"generator_us_per_packet\":%.2f}\n",
           stream_count, took, sent, received, refused, silent, delay_ms(.5), delay_ms(.99), delay_ms(.999), (double)latest / 1e6,
           cpu_us() / (double)(sent ? sent : 1));
    return 0;
}
