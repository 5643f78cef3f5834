/* The calling side: INVITE, ACK and BYE of each call with the timers of RFC 3261 for an unreliable transport. */
#ifndef CALLER_H
#define CALLER_H

#include "sip.h"
#include "timers.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct caller_counts {
    uint32_t begun, up, done, failed, given_up;
    uint32_t peak;
    uint64_t resent, requests_received;
};

void caller_open(int sockets[], int *socket_count);

/* Sends the INVITE of the next call. */
void caller_begin(void);

/* Sends the BYE of one call that is up; false when none is. */
bool caller_end_one(void);

void caller_handle_timer(struct timer timer, uint64_t now_us);
void caller_handle_message(const struct sip_message *message, int socket);

/* The INVITE of the call with this number has come out of the system under test. */
void caller_note_arrival(struct span number, uint64_t arrival_ns);

const struct caller_counts *caller_counts(void);

/* Prints the members of a JSON object: delays and status codes. */
void caller_report(FILE *out);

#endif
