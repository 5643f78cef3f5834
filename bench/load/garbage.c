/* garbage: datagrams that are no SIP, at a fixed rate, loopback only.
 *
 *   garbage FROM TO PER_SECOND SECONDS
 *
 * In turn: random bytes, text without an end, another protocol, a start line alone, headers without sense, and an INVITE cut
 * short. What comes back is counted. Prints one JSON line.
 */
#define _GNU_SOURCE
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RANDOM_BYTES 600

static const char *const texts[] = {
    NULL,
    "INVITE sip:+15550000001@127.0.0.1 SIP/2.0",
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n",
    "INVITE sip:+15550000001@127.0.0.1 SIP/2.0\r\n\r\n",
    "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia\r\n: nothing\r\nFrom: <<<\r\nTo: >>>\r\nCall-ID:\r\nCSeq: x y z\r\n\r\n",
    "INVITE sip:+15550000001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9:5099;branch=z9hG4bKgarbage\r\nMax-Forwards: 70\r\n"
    "From: <sip:garbage@127.0.0.9>;tag=g\r\nTo: <sip:+15550000001@127.0.0.1>\r\nCall-ID: garbage@bench\r\nCSeq: 1 INV",
};
#define SHAPES (sizeof texts / sizeof *texts)

int main(int argument_count, char **arguments)
{
    double rate = argument_count == 5 ? atof(arguments[3]) : 0, seconds = argument_count == 5 ? atof(arguments[4]) : 0;
    if (rate < 1 || rate > 100000 || seconds <= 0 || seconds > 300) {
        fprintf(stderr, "usage: garbage FROM TO PER_SECOND (to 100000) SECONDS (to 300)\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1000);
    struct endpoint from = endpoint_of(arguments[1]), to = endpoint_of(arguments[2]);
    int fd = udp_socket(&from, 1 << 20);
    if (connect(fd, (const struct sockaddr *)&to.address, sizeof to.address)) {
        perror("connect");
        return 2;
    }
    /* The same bytes in every run. */
    uint64_t random = 7;
    char bytes[RANDOM_BYTES], answer[2048];
    uint64_t start = clock_us(), total = (uint64_t)(rate * seconds), sent = 0, answers = 0;
    for (uint64_t i = 0; i < total; i++) {
        uint64_t due = start + (uint64_t)((double)i * 1e6 / rate), now = clock_us();
        if (now < due) {
            struct timespec wait = {0, (long)(due - now) * 1000};
            nanosleep(&wait, NULL);
        }
        const char *text = texts[i % SHAPES];
        if (!text) {
            for (int k = 0; k < RANDOM_BYTES; k++) {
                random ^= random << 13, random ^= random >> 7, random ^= random << 17;
                bytes[k] = (char)random;
            }
        }
        ssize_t length = text ? (ssize_t)strlen(text) : RANDOM_BYTES;
        sent += send(fd, text ? text : bytes, (size_t)length, MSG_DONTWAIT) == length;
        while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0)
            answers++;
    }
    printf("{\"sent\":%lu,\"answers\":%lu,\"seconds\":%.2f}\n", sent, answers, (double)(clock_us() - start) / 1e6);
    return 0;
}
