/* As much of SIP as a generator needs. It reads what the system under test sends and is no judge of it. */
#ifndef SIP_H
#define SIP_H

#include <stdbool.h>

/* A part of a received text. */
struct span {
    const char *at;
    int length;
};

/* Lines of a request that its answer repeats. */
#define MAX_ECHOED 24
#define MAX_RECORD_ROUTES 8

struct sip_message {
    /* 0 for a request. */
    int status;
    /* The first letter of the method, from the first line of a request and from CSeq of a response. */
    char method;
    bool is_reinvite_or_later;
    /* User part of the Request-URI. */
    struct span user;
    struct span to, call_id, contact;
    /* Whole lines: Via, From, Call-ID, CSeq and Record-Route, in their order. */
    struct span echoed[MAX_ECHOED];
    int echoed_count;
    /* Values. */
    struct span record_routes[MAX_RECORD_ROUTES];
    int record_route_count;
    /* After the empty line; "" when there is none. */
    const char *body;
};

/* Reads a message that ends with a NUL byte. False when it is no SIP message with To and Call-ID. */
bool sip_read(const char *text, struct sip_message *message);

/* The address and port of the first audio line of an SDP body; port 0 when it has none. */
void sdp_audio(const char *body, char host[32], int *port);

/* A message in the making. */
struct sip_writer {
    char text[8192];
    int length;
};

void sip_add(struct sip_writer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The lines that an answer to `request` repeats, and To with `tag` unless it has one or `tag` is NULL. */
void sip_add_echoed(struct sip_writer *out, const struct sip_message *request, const char *tag);

/* Content-Type, Content-Length and an SDP body of G.711 µ-law and telephone events. */
void sip_add_sdp(struct sip_writer *out, const char *host, int port);

#endif
