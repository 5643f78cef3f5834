/* sipload: a SIP load generator, caller and callee in one thread, UDP on loopback only.
 *
 *   sipload --target 127.0.0.1:5060 --callers 127.0.0.2:5090,127.0.0.4:5090 --callees 127.0.0.3:5080 \
 *           --rate 1000 --calls 20000 [--hold MS] [--ring MS] [--prefix +1555] [--expect 200]
 *           [--media 127.0.0.2,127.0.0.3,10000 --map FILE] [--limit SECONDS] [--commands]
 *
 * The callers call the target, which must pass the calls on to a callee. Where target and callee are the same, the calls go
 * direct: that is the floor of the tool itself. A call is INVITE, 180, 200, ACK, a hold, BYE, 200. Each dials a number of
 * its own, by which the callee tells the caller that its INVITE has come through: `invite_through` is from just before the
 * INVITE is sent until the kernel has the one that came out of the target, by the kernel's own stamp.
 *
 * With --commands, calls are held and ended by lines on stdin: `hold N` begins calls until N are up, then says so; `end` ends
 * all that are up, then says so; `quit` reports. Each answer is one JSON line, and the last line is the report.
 */
#define _GNU_SOURCE
#include "callee.h"
#include "caller.h"
#include "net.h"
#include "plan.h"

#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Datagrams taken from the kernel at once. */
#define BATCH 32
/* Calls begun at once when the generator is late. */
#define MAX_BURST 64
/* The longest wait, so that the limit is seen. */
#define MAX_WAIT_US 20000u

struct plan plan = {.prefix = "+1555", .calls_per_second = 100, .expected_status = 200, .limit_seconds = 240};

/* What the last command asked for. */
static enum { FIXED, WAITING, HOLDING, ENDING } mode = FIXED;
static uint32_t wanted_up;
static double next_at_us;

void map_stream(const char *local_host, int local_port, const char *sdp)
{
    char host[32];
    int port;
    sdp_audio(sdp, host, &port);
    fprintf(plan.map, "%s %d %s %d\n", local_host, local_port, host, port);
}

static bool is_due(uint64_t now_us)
{
    if (next_at_us > (double)now_us)
        return false;
    next_at_us += 1e6 / plan.calls_per_second;
    return true;
}

static void say(const char *event)
{
    const struct caller_counts *counts = caller_counts();
    printf("{\"event\":\"%s\",\"up\":%u,\"failed\":%u}\n", event, counts->up, counts->failed);
}

/* Begins and ends calls as the plan or the last command says. */
static void make_progress(uint64_t now_us)
{
    const struct caller_counts *counts = caller_counts();
    int burst = 0;
    switch (mode) {
    case FIXED:
        while (counts->begun < plan.calls && burst++ < MAX_BURST && is_due(now_us))
            caller_begin();
        break;
    case HOLDING:
        /* One that failed is not tried again: the answer says how many did. */
        while (wanted_up && counts->begun < plan.calls && burst++ < MAX_BURST && is_due(now_us)) {
            caller_begin();
            wanted_up--;
        }
        if ((!wanted_up || counts->begun == plan.calls) && counts->up + counts->done + counts->failed == counts->begun) {
            say("held");
            mode = WAITING;
        }
        break;
    case ENDING:
        while (burst++ < MAX_BURST && is_due(now_us) && caller_end_one())
            ;
        if (!counts->up) {
            say("ended");
            mode = WAITING;
        }
        break;
    case WAITING:
        break;
    }
}

/* False when there is nothing more to do. */
static bool handle_commands(void)
{
    static char text[1024];
    static size_t length;
    ssize_t got = read(STDIN_FILENO, text + length, sizeof text - 1 - length);
    if (got <= 0)
        return false;
    length += (size_t)got;
    text[length] = 0;
    char *end;
    while ((end = strchr(text, '\n'))) {
        *end = 0;
        if (!strcmp(text, "quit"))
            return false;
        if (!strncmp(text, "hold ", 5)) {
            uint32_t target = (uint32_t)atoi(text + 5), up = caller_counts()->up;
            wanted_up = target > up ? target - up : 0;
            mode = HOLDING;
        } else if (!strcmp(text, "end")) {
            mode = ENDING;
        } else {
            fprintf(stderr, "%s: hold N, end or quit\n", text);
            return false;
        }
        next_at_us = (double)clock_us();
        length -= (size_t)(end + 1 - text);
        memmove(text, end + 1, length + 1);
    }
    return true;
}

/* Takes what has come on one socket, at most one batch. */
static void receive(int fd, int callee)
{
    static char texts[BATCH][65536];
    static struct mmsghdr batch[BATCH];
    static struct iovec places[BATCH];
    static struct sockaddr_in senders[BATCH];
    static char ancillary[BATCH][64];
    for (int i = 0; i < BATCH; i++) {
        places[i] = (struct iovec){texts[i], sizeof texts[i] - 1};
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &places[i],
                                           .msg_iovlen = 1,
                                           .msg_name = &senders[i],
                                           .msg_namelen = sizeof senders[i],
                                           .msg_control = ancillary[i],
                                           .msg_controllen = sizeof ancillary[i]};
    }
    int count = recvmmsg(fd, batch, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        texts[i][batch[i].msg_len] = 0;
        struct sip_message message;
        if (!sip_read(texts[i], &message))
            continue;
        if (callee < 0) {
            caller_handle_message(&message, fd);
            continue;
        }
        if (message.method == 'I' && !message.status)
            caller_note_arrival(message.user, udp_arrival_ns(&batch[i].msg_hdr));
        callee_handle_message(&message, callee, &senders[i]);
    }
}

static void report(double seconds)
{
    const struct caller_counts *caller = caller_counts();
    const struct callee_counts *callee = callee_counts();
    printf("{\"event\":\"report\",\"calls\":%u,\"ok\":%u,\"failed\":%u,\"given_up\":%u,\"unfinished\":%u,\"seconds\":%.3f,"
           "\"peak\":%u,\"resent\":%lu,\"callee_invites\":%lu,\"callee_acks\":%lu,\"callee_byes\":%lu,\"callee_resent\":%lu,"
           "\"generator_us_per_call\":%.1f,",
           caller->begun, caller->done, caller->failed, caller->given_up, caller->begun - caller->done - caller->failed, seconds,
           caller->peak, caller->resent, callee->invites, callee->acks, callee->byes, callee->resent,
           cpu_us() / (caller->begun ? caller->begun : 1));
    caller_report(stdout);
    printf("}\n");
}

static void read_media(char *text)
{
    plan.caller_media = strsep(&text, ",");
    plan.callee_media = strsep(&text, ",");
    plan.media_port = text ? atoi(text) : 0;
    if (plan.media_port < 1024 || plan.media_port + 2 * MEDIA_PORTS > 65536) {
        fprintf(stderr, "--media CALLER_IP,CALLEE_IP,FIRST_PORT, the port from 1024 to %d\n", 65536 - 2 * MEDIA_PORTS);
        exit(2);
    }
}

static void read_options(int count, char **arguments)
{
    static const struct option options[] = {
        {"target", 1, 0, 't'}, {"callers", 1, 0, 'c'}, {"callees", 1, 0, 'u'},  {"prefix", 1, 0, 'p'}, {"rate", 1, 0, 'r'},
        {"calls", 1, 0, 'n'},  {"hold", 1, 0, 'd'},    {"ring", 1, 0, 'R'},     {"expect", 1, 0, 'e'}, {"limit", 1, 0, 'T'},
        {"media", 1, 0, 'M'},  {"map", 1, 0, 'L'},     {"commands", 0, 0, 'i'}, {0, 0, 0, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", options, NULL)) >= 0) {
        switch (option) {
        case 't': plan.target = endpoint_of(optarg); break;
        case 'c': plan.caller_count = endpoints_of(optarg, plan.callers, MAX_ENDPOINTS); break;
        case 'u': plan.callee_count = endpoints_of(optarg, plan.callees, MAX_ENDPOINTS); break;
        case 'p': plan.prefix = optarg; break;
        case 'r': plan.calls_per_second = atof(optarg); break;
        case 'n': plan.calls = (uint32_t)atoi(optarg); break;
        case 'd': plan.hold_ms = (uint32_t)atoi(optarg); break;
        case 'R': plan.ring_ms = (uint32_t)atoi(optarg); break;
        case 'e': plan.expected_status = atoi(optarg); break;
        case 'T': plan.limit_seconds = atof(optarg); break;
        case 'M': read_media(optarg); break;
        case 'L':
            plan.map = fopen(optarg, "w");
            if (!plan.map) {
                perror(optarg);
                exit(2);
            }
            setvbuf(plan.map, NULL, _IOLBF, 0);
            break;
        case 'i': plan.takes_commands = true; break;
        default: exit(2);
        }
    }
    bool has_addresses = plan.target.port && plan.caller_count && plan.callee_count;
    bool has_load = plan.calls && plan.calls <= MAX_CALLS && plan.calls_per_second > 0 && plan.limit_seconds <= 900;
    if (!has_addresses || !has_load || (plan.map && !plan.caller_media)) {
        fprintf(stderr, "--target, --callers, --callees and --calls (to %d) are needed; --limit is 900 at most; --map needs --media\n",
                MAX_CALLS);
        exit(2);
    }
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    /* Timers of the kernel are exact to the µs, where the default is 50 µs late. */
    prctl(PR_SET_TIMERSLACK, 1000);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int sockets[2 * MAX_ENDPOINTS], socket_count = 0;
    caller_open(sockets, &socket_count);
    int first_callee = socket_count;
    callee_open(sockets, &socket_count);
    struct pollfd polled[2 * MAX_ENDPOINTS + 1];
    for (int i = 0; i < socket_count; i++)
        polled[i] = (struct pollfd){.fd = sockets[i], .events = POLLIN};
    polled[socket_count] = (struct pollfd){.fd = plan.takes_commands ? STDIN_FILENO : -1, .events = POLLIN};
    if (plan.takes_commands)
        mode = WAITING;

    uint64_t start = clock_us(), now = start;
    next_at_us = (double)start;
    const struct caller_counts *counts = caller_counts();
    while ((double)(now - start) < plan.limit_seconds * 1e6 && (plan.takes_commands || counts->done + counts->failed < plan.calls)) {
        make_progress(now);
        struct timer timer;
        while (timer_take(now, &timer)) {
            if (timer.kind == TIMER_ANSWER)
                callee_handle_timer(timer, now);
            else
                caller_handle_timer(timer, now);
        }
        now = clock_us();
        uint64_t until = now + MAX_WAIT_US;
        bool is_pacing = mode == HOLDING || mode == ENDING || (mode == FIXED && counts->begun < plan.calls);
        if (is_pacing && (uint64_t)next_at_us < until)
            until = (uint64_t)next_at_us;
        if (timer_next_us() < until)
            until = timer_next_us();
        struct timespec wait = {0, until > now ? (long)(until - now) * 1000 : 0};
        if (ppoll(polled, (nfds_t)socket_count + 1, &wait, NULL) > 0) {
            for (int i = 0; i < socket_count; i++)
                if (polled[i].revents)
                    receive(sockets[i], i - first_callee);
            if (polled[socket_count].revents && !handle_commands())
                break;
        }
        now = clock_us();
    }
    if (plan.map)
        fclose(plan.map);
    report((double)(now - start) / 1e6);
    return 0;
}
