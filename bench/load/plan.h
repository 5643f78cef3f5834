/* What sipload is to do, from its command line. */
#ifndef PLAN_H
#define PLAN_H

#include "net.h"

#include <stdio.h>

#define MAX_ENDPOINTS 16
/* Calls of one run; what the tables of caller and callee are made for. */
#define MAX_CALLS 400000
/* RTP ports of each side. The numbers start anew after so many calls. */
#define MEDIA_PORTS 8000

struct plan {
    /* The system under test. */
    struct endpoint target;
    /* Calls leave from these in turn. */
    struct endpoint callers[MAX_ENDPOINTS];
    int caller_count;
    /* Calls are answered here. */
    struct endpoint callees[MAX_ENDPOINTS];
    int callee_count;
    /* Digits before the seven that number the call: call 12 of prefix +1555 dials +15550000012. */
    const char *prefix;
    double calls_per_second;
    uint32_t calls;
    uint32_t hold_ms;
    uint32_t ring_ms;
    /* The final answer to an INVITE that counts as success. */
    int expected_status;
    /* The run ends after this, whatever is left. */
    double limit_seconds;
    /* Calls are held and ended as lines on stdin say. */
    bool takes_commands;
    /* Each call gets an RTP port of its own on each side, at these addresses. */
    const char *caller_media, *callee_media;
    int media_port;
    /* Where each negotiated stream goes, in the format of rtpgen. May be NULL. */
    FILE *map;
};

extern struct plan plan;

/* One line of the map: from where one side sends RTP, and where to. */
void map_stream(const char *local_host, int local_port, const char *sdp);

#endif
