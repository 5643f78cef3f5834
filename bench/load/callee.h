/* The called side: 180, then 200 until the ACK comes. BYE and everything else gets a 200. */
#ifndef CALLEE_H
#define CALLEE_H

#include "sip.h"
#include "timers.h"

#include <netinet/in.h>
#include <stdint.h>

struct callee_counts {
    uint64_t invites, acks, byes, resent;
};

void callee_open(int sockets[], int *socket_count);
void callee_handle_message(const struct sip_message *message, int callee, const struct sockaddr_in *from);
void callee_handle_timer(struct timer timer, uint64_t now_us);
const struct callee_counts *callee_counts(void);

#endif
