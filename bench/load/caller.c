#define _GNU_SOURCE
#include "caller.h"

#include "net.h"
#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum state { IDLE, INVITED, UP, LEAVING, DONE, FAILED };

struct call {
    enum state state;
    bool heard_provisional, arrived;
    uint64_t invited_us, invited_ns, left_us;
    /* Known once it is answered: the target of BYE, the To value and the Route lines. */
    char *remote_target, *to, *routes;
};

/* Delays in ns, one for each call that had it. */
struct delays {
    uint32_t *ns;
    uint32_t count;
};

static struct call *calls;
static struct caller_counts counts;
static struct delays arrival_delays, answer_delays, bye_delays;
static uint64_t statuses[700];
/* Calls that are up until they are told to end, the oldest first. */
static uint32_t *held, held_first, held_last;
static int fds[MAX_ENDPOINTS];
/* Tells the Call-IDs, tags and branches of this process from those of others. */
static char run_id[12];

/* Timers of RFC 3261 §17: T1, T2 and 64 × T1. */
#define T1_US 500000u
#define T2_US 4000000u
#define GIVE_UP_US (64u * T1_US)

static void add_delay(struct delays *delays, uint64_t ns)
{
    if (delays->count < MAX_CALLS)
        delays->ns[delays->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

void caller_open(int sockets[], int *socket_count)
{
    snprintf(run_id, sizeof run_id, "%x", (unsigned)getpid());
    calls = calloc(plan.calls, sizeof *calls);
    held = malloc(plan.calls * sizeof *held);
    arrival_delays.ns = malloc(MAX_CALLS * sizeof(uint32_t));
    answer_delays.ns = malloc(MAX_CALLS * sizeof(uint32_t));
    bye_delays.ns = malloc(MAX_CALLS * sizeof(uint32_t));
    for (int i = 0; i < plan.caller_count; i++) {
        fds[i] = udp_socket(&plan.callers[i], 8 << 20);
        sockets[(*socket_count)++] = fds[i];
    }
}

static const struct endpoint *source_of(uint32_t call)
{
    return &plan.callers[call % (uint32_t)plan.caller_count];
}

static void send_text(uint32_t call, const struct sip_writer *out)
{
    sendto(fds[call % (uint32_t)plan.caller_count], out->text, (size_t)out->length, 0,
           (const struct sockaddr *)&plan.target.address, sizeof plan.target.address);
}

/* Start line, Via, From, Call-ID and CSeq. The branch is that of the INVITE when `branch_of` is 'I'. */
static void add_head(struct sip_writer *out, uint32_t call, const char *method, const char *uri, char branch_of, int cseq)
{
    const struct endpoint *source = source_of(call);
    sip_add(out,
            "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;branch=z9hG4bK%s%c%08x;rport\r\nMax-Forwards: 70\r\n"
            "From: <sip:+15550001111@%s:%d>;tag=%sa%08x\r\nCall-ID: %sc%08x@bench\r\nCSeq: %d %s\r\n",
            method, uri, source->host, source->port, run_id, branch_of, call, source->host, source->port, run_id, call, run_id,
            call, cseq, method);
}

static void add_request_uri(char uri[128], uint32_t call)
{
    snprintf(uri, 128, "sip:%s%07u@%s:%d", plan.prefix, call, plan.target.host, plan.target.port);
}

static void send_invite(uint32_t call)
{
    const struct endpoint *source = source_of(call);
    char uri[128];
    add_request_uri(uri, call);
    struct sip_writer out = {.length = 0};
    add_head(&out, call, "INVITE", uri, 'I', 1);
    sip_add(&out,
            "To: <%s>\r\nContact: <sip:+15550001111@%s:%d>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\n"
            "User-Agent: sipload\r\n",
            uri, source->host, source->port);
    bool has_media = plan.caller_media != NULL;
    sip_add_sdp(&out, has_media ? plan.caller_media : source->host,
                has_media ? plan.media_port + 2 * (int)(call % MEDIA_PORTS) : 6000);
    send_text(call, &out);
}

static void send_in_dialog(uint32_t call, const char *method, int cseq)
{
    const struct call *it = &calls[call];
    struct sip_writer out = {.length = 0};
    add_head(&out, call, method, it->remote_target, method[0], cseq);
    sip_add(&out, "%sTo: %s\r\nContent-Length: 0\r\n\r\n", it->routes, it->to);
    send_text(call, &out);
}

static void send_ack_of_failure(uint32_t call, const struct sip_message *response)
{
    char uri[128];
    add_request_uri(uri, call);
    struct sip_writer out = {.length = 0};
    add_head(&out, call, "ACK", uri, 'I', 1);
    sip_add(&out, "To: %.*s\r\nContent-Length: 0\r\n\r\n", response->to.length, response->to.at);
    send_text(call, &out);
}

static void finish(uint32_t call, enum state state)
{
    struct call *it = &calls[call];
    if (it->state == UP || it->state == LEAVING)
        counts.up--;
    it->state = state;
    if (state == DONE)
        counts.done++;
    else
        counts.failed++;
    free(it->remote_target);
    free(it->to);
    free(it->routes);
    it->remote_target = it->to = it->routes = NULL;
}

void caller_begin(void)
{
    uint32_t call = counts.begun++;
    struct call *it = &calls[call];
    it->state = INVITED;
    it->invited_us = clock_us();
    it->invited_ns = wall_ns();
    send_invite(call);
    timer_set((struct timer){it->invited_us + T1_US, call, TIMER_RESEND, 1});
    uint32_t open = counts.begun - counts.done - counts.failed;
    if (open > counts.peak)
        counts.peak = open;
}

static void hang_up(uint32_t call)
{
    struct call *it = &calls[call];
    it->state = LEAVING;
    it->left_us = clock_us();
    send_in_dialog(call, "BYE", 2);
    timer_set((struct timer){it->left_us + T1_US, call, TIMER_RESEND, 1});
}

bool caller_end_one(void)
{
    while (held_first < held_last) {
        uint32_t call = held[held_first++];
        if (calls[call].state == UP) {
            hang_up(call);
            return true;
        }
    }
    return false;
}

static void resend(struct timer timer, uint64_t now_us)
{
    struct call *it = &calls[timer.call];
    if (it->state != INVITED && it->state != LEAVING)
        return;
    uint64_t since = it->state == INVITED ? it->invited_us : it->left_us;
    /* The timer of the INVITE may come up when the BYE has just been sent. */
    if (now_us < since + T1_US)
        return;
    if (now_us - since > GIVE_UP_US) {
        counts.given_up++;
        finish(timer.call, FAILED);
        return;
    }
    if (it->state == LEAVING) {
        counts.resent++;
        send_in_dialog(timer.call, "BYE", 2);
    } else if (!it->heard_provisional) {
        counts.resent++;
        send_invite(timer.call);
    }
    uint64_t wait = (uint64_t)T1_US << (timer.round < 3 ? timer.round : 3);
    timer_set((struct timer){now_us + (wait < T2_US ? wait : T2_US), timer.call, TIMER_RESEND, timer.round + 1});
}

void caller_handle_timer(struct timer timer, uint64_t now_us)
{
    if (timer.kind == TIMER_RESEND)
        resend(timer, now_us);
    else if (calls[timer.call].state == UP)
        hang_up(timer.call);
}

/* Keeps what requests in the dialog need (RFC 3261 §12.1.2). */
static void keep_dialog(struct call *it, const struct sip_message *answer)
{
    const char *open = answer->contact.at ? memchr(answer->contact.at, '<', (size_t)answer->contact.length) : NULL;
    const char *close = open ? memchr(open, '>', (size_t)(answer->contact.at + answer->contact.length - open)) : NULL;
    if (close)
        it->remote_target = strndup(open + 1, (size_t)(close - open - 1));
    else
        it->remote_target = strndup(answer->contact.at ? answer->contact.at : "", (size_t)answer->contact.length);
    it->to = strndup(answer->to.at, (size_t)answer->to.length);
    struct sip_writer routes = {.length = 0};
    for (int i = answer->record_route_count - 1; i >= 0; i--)
        sip_add(&routes, "Route: %.*s\r\n", answer->record_routes[i].length, answer->record_routes[i].at);
    it->routes = strndup(routes.text, (size_t)routes.length);
}

static void handle_answer(uint32_t call, const struct sip_message *answer)
{
    struct call *it = &calls[call];
    if (it->state != INVITED) {
        if (it->remote_target)
            send_in_dialog(call, "ACK", 1);
        return;
    }
    statuses[answer->status]++;
    add_delay(&answer_delays, 1000 * (clock_us() - it->invited_us));
    keep_dialog(it, answer);
    if (plan.map)
        map_stream(plan.caller_media, plan.media_port + 2 * (int)(call % MEDIA_PORTS), answer->body);
    it->state = UP;
    counts.up++;
    send_in_dialog(call, "ACK", 1);
    if (plan.takes_commands)
        held[held_last++] = call;
    else if (plan.hold_ms)
        timer_set((struct timer){clock_us() + 1000u * (uint64_t)plan.hold_ms, call, TIMER_HANG_UP, 0});
    else
        hang_up(call);
}

static void handle_response(uint32_t call, const struct sip_message *response)
{
    struct call *it = &calls[call];
    if (response->method == 'I') {
        if (response->status < 200) {
            it->heard_provisional = true;
        } else if (response->status < 300) {
            handle_answer(call, response);
        } else {
            send_ack_of_failure(call, response);
            if (it->state == INVITED) {
                statuses[response->status]++;
                add_delay(&answer_delays, 1000 * (clock_us() - it->invited_us));
                finish(call, response->status == plan.expected_status ? DONE : FAILED);
            }
        }
    } else if (response->method == 'B' && response->status >= 200 && it->state == LEAVING) {
        add_delay(&bye_delays, 1000 * (clock_us() - it->left_us));
        finish(call, response->status < 300 ? DONE : FAILED);
    }
}

void caller_handle_message(const struct sip_message *message, int socket)
{
    if (!message->status) {
        counts.requests_received++;
        if (message->method == 'A')
            return;
        struct sip_writer out = {.length = 0};
        sip_add(&out, "SIP/2.0 200 OK\r\n");
        sip_add_echoed(&out, message, NULL);
        sip_add(&out, "Content-Length: 0\r\n\r\n");
        sendto(socket, out.text, (size_t)out.length, 0, (const struct sockaddr *)&plan.target.address, sizeof plan.target.address);
        return;
    }
    size_t id_length = strlen(run_id);
    if (message->status >= 700 || strncmp(message->call_id.at, run_id, id_length) || message->call_id.at[id_length] != 'c')
        return;
    unsigned long call = strtoul(message->call_id.at + id_length + 1, NULL, 16);
    if (call < counts.begun)
        handle_response((uint32_t)call, message);
}

void caller_note_arrival(struct span number, uint64_t arrival_ns)
{
    if (number.length < 7)
        return;
    char digits[8] = "";
    memcpy(digits, number.at + number.length - 7, 7);
    unsigned long call = strtoul(digits, NULL, 10);
    if (call >= counts.begun || calls[call].arrived || arrival_ns < calls[call].invited_ns)
        return;
    calls[call].arrived = true;
    add_delay(&arrival_delays, arrival_ns - calls[call].invited_ns);
}

const struct caller_counts *caller_counts(void)
{
    return &counts;
}

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void report_delays(FILE *out, const char *name, struct delays *delays)
{
    qsort(delays->ns, delays->count, sizeof *delays->ns, by_size);
    fprintf(out, "\"%s_us\":", name);
    if (!delays->count) {
        fprintf(out, "null,");
        return;
    }
    const struct {
        const char *name;
        double share;
    } ranks[] = {{"p50", .5}, {"p90", .9}, {"p99", .99}, {"max", 1}};
    fprintf(out, "{\"count\":%u", delays->count);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        fprintf(out, ",\"%s\":%.1f", ranks[i].name, delays->ns[(uint32_t)(ranks[i].share * (delays->count - 1))] / 1000.0);
    fprintf(out, "},");
}

void caller_report(FILE *out)
{
    report_delays(out, "invite_through", &arrival_delays);
    report_delays(out, "invite_to_final", &answer_delays);
    report_delays(out, "bye", &bye_delays);
    fprintf(out, "\"statuses\":{");
    bool is_first = true;
    for (int status = 0; status < 700; status++) {
        if (statuses[status]) {
            fprintf(out, "%s\"%d\":%lu", is_first ? "" : ",", status, statuses[status]);
            is_first = false;
        }
    }
    fprintf(out, "}");
}
