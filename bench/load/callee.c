#define _GNU_SOURCE
#include "callee.h"

#include "net.h"
#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct answered {
    /* The 200, until it is acknowledged. */
    char *text;
    int length;
    int callee;
    struct sockaddr_in to;
};

/* Call-IDs that have been seen, so that an INVITE that was sent again is no new call. Open addressing. */
struct seen {
    uint64_t hash;
    uint32_t call_plus_one;
};

/* A power of two, at least twice as large as there are calls. */
#define SEEN_SLOTS (1u << 20)
#define T1_US 500000u
#define T2_US 4000000u
/* 0.5 + 1 + 2 + 4 × 4 s: the 32 s of RFC 3261 §13.3.1.4, nearly. */
#define LAST_ROUND 10

static struct answered *answered;
static struct seen *seen;
static uint32_t call_count, call_max;
static struct callee_counts counts;
static int fds[MAX_ENDPOINTS];

void callee_open(int sockets[], int *socket_count)
{
    /* Room for forks and for second legs of a dialled call. */
    call_max = SEEN_SLOTS / 2;
    answered = calloc(call_max, sizeof *answered);
    seen = calloc(SEEN_SLOTS, sizeof *seen);
    for (int i = 0; i < plan.callee_count; i++) {
        fds[i] = udp_socket(&plan.callees[i], 8 << 20);
        udp_stamp_arrivals(fds[i]);
        sockets[(*socket_count)++] = fds[i];
    }
}

static uint64_t hash_of(struct span text)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < text.length; i++)
        hash = (hash ^ (uint8_t)text.at[i]) * 1099511628211u;
    return hash;
}

static struct seen *slot_of(struct span call_id)
{
    uint64_t hash = hash_of(call_id);
    uint32_t slot = (uint32_t)(hash & (SEEN_SLOTS - 1));
    while (seen[slot].call_plus_one && seen[slot].hash != hash)
        slot = (slot + 1) & (SEEN_SLOTS - 1);
    seen[slot].hash = hash;
    return &seen[slot];
}

static void send_answer(const struct answered *call)
{
    sendto(fds[call->callee], call->text, (size_t)call->length, 0, (const struct sockaddr *)&call->to, sizeof call->to);
}

static void reply(const struct sip_writer *out, int callee, const struct sockaddr_in *to)
{
    sendto(fds[callee], out->text, (size_t)out->length, 0, (const struct sockaddr *)to, sizeof *to);
}

static void handle_invite(const struct sip_message *invite, int callee, const struct sockaddr_in *from)
{
    struct seen *known = slot_of(invite->call_id);
    if (known->call_plus_one) {
        const struct answered *call = &answered[known->call_plus_one - 1];
        if (call->text)
            send_answer(call);
        return;
    }
    if (call_count == call_max)
        return;
    uint32_t id = call_count++;
    known->call_plus_one = id + 1;
    counts.invites++;

    char tag[16], contact[64];
    snprintf(tag, sizeof tag, "u%08x", id);
    snprintf(contact, sizeof contact, "Contact: <sip:callee@%s:%d>\r\n", plan.callees[callee].host, plan.callees[callee].port);
    struct sip_writer out = {.length = 0};
    sip_add(&out, "SIP/2.0 180 Ringing\r\n");
    sip_add_echoed(&out, invite, tag);
    sip_add(&out, "%sContent-Length: 0\r\n\r\n", contact);
    reply(&out, callee, from);

    const char *host = plan.callee_media ? plan.callee_media : plan.callees[callee].host;
    int port = plan.callee_media ? plan.media_port + 2 * (int)(id % MEDIA_PORTS) : 6002;
    if (plan.map)
        map_stream(host, port, invite->body);
    out.length = 0;
    sip_add(&out, "SIP/2.0 200 OK\r\n");
    sip_add_echoed(&out, invite, tag);
    sip_add(&out, "%sAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\n", contact);
    sip_add_sdp(&out, host, port);
    struct answered *call = &answered[id];
    call->text = malloc((size_t)out.length);
    memcpy(call->text, out.text, (size_t)out.length);
    call->length = out.length;
    call->callee = callee;
    call->to = *from;
    if (plan.ring_ms) {
        timer_set((struct timer){clock_us() + 1000u * (uint64_t)plan.ring_ms, id, TIMER_ANSWER, 0});
    } else {
        send_answer(call);
        timer_set((struct timer){clock_us() + T1_US, id, TIMER_ANSWER, 1});
    }
}

static void handle_ack(const struct sip_message *ack)
{
    struct seen *known = slot_of(ack->call_id);
    if (!known->call_plus_one)
        return;
    struct answered *call = &answered[known->call_plus_one - 1];
    if (call->text) {
        counts.acks++;
        free(call->text);
        call->text = NULL;
    }
}

void callee_handle_message(const struct sip_message *message, int callee, const struct sockaddr_in *from)
{
    if (message->status)
        return;
    if (message->method == 'A') {
        handle_ack(message);
        return;
    }
    if (message->method == 'I' && !message->is_reinvite_or_later) {
        handle_invite(message, callee, from);
        return;
    }
    if (message->method == 'B')
        counts.byes++;
    struct sip_writer out = {.length = 0};
    sip_add(&out, "SIP/2.0 200 OK\r\n");
    sip_add_echoed(&out, message, "other");
    sip_add(&out, "Content-Length: 0\r\n\r\n");
    reply(&out, callee, from);
}

void callee_handle_timer(struct timer timer, uint64_t now_us)
{
    const struct answered *call = &answered[timer.call];
    if (!call->text || timer.round > LAST_ROUND)
        return;
    if (timer.round)
        counts.resent++;
    send_answer(call);
    uint64_t wait = (uint64_t)T1_US << (timer.round < 3 ? timer.round : 3);
    timer_set((struct timer){now_us + (wait < T2_US ? wait : T2_US), timer.call, TIMER_ANSWER, timer.round + 1});
}

const struct callee_counts *callee_counts(void)
{
    return &counts;
}
