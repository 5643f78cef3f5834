/* UDP sockets on loopback, and the two clocks of the generators. */
#ifndef NET_H
#define NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* An address of 127.0.0.0/8 with its port, and the same as text for SIP and SDP. */
struct endpoint {
    struct sockaddr_in address;
    char host[16];
    int port;
};

/* Reads "127.0.0.2:5090". Ends the program with a message when the text is something else: load goes nowhere but loopback. */
struct endpoint endpoint_of(const char *text);

/* Reads a list of endpoints with commas between them; returns how many. Ends the program when there are more than `max`. */
int endpoints_of(const char *text, struct endpoint *endpoints, int max);

/* A bound non-blocking UDP socket with a receive buffer of `buffer_bytes`. Ends the program when it cannot be had. */
int udp_socket(const struct endpoint *local, int buffer_bytes);

/* Has the kernel note on each datagram when it came (SO_TIMESTAMPNS). */
void udp_stamp_arrivals(int fd);

/* When the kernel received what `message` holds, in ns of the wall clock; 0 when it does not say. */
uint64_t udp_arrival_ns(struct msghdr *message);

/* The monotonic clock in µs: for pacing and timers. */
uint64_t clock_us(void);

/* The wall clock in ns: it is the one of the kernel's arrival stamps. */
uint64_t wall_ns(void);

/* CPU time of this process so far, user and system, in µs. */
double cpu_us(void);

#endif
