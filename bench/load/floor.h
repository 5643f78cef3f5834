/* The least that a relay in user space can do: what Tandem and rtpengine are measured against. */
#ifndef FLOOR_H
#define FLOOR_H

#include <stdbool.h>
#include <stdint.h>

/* The largest packet that is passed on. */
#define PACKET_BYTES 2048

/* One socket of the relay. Socket 2i and 2i + 1 are the two sides of a call. */
struct side {
    int fd;
    /* Where its packets are sent. */
    struct sockaddr_in peer;
};

struct relay {
    struct side *sides;
    int side_count;
    uint64_t relayed;
};

/* Set by SIGTERM. */
extern volatile bool is_over;

/* One thread, io_uring: multishot receive into a ring of buffers, sends submitted together, no call of the kernel a packet. */
void relay_by_uring(struct relay *relay);

#endif
