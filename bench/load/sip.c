#define _GNU_SOURCE
#include "sip.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_named(struct span name, const char *full, char compact)
{
    if (name.length == 1 && compact)
        return (name.at[0] | 32) == compact;
    return name.length == (int)strlen(full) && !strncasecmp(name.at, full, (size_t)name.length);
}

static void read_first_line(const char *text, const char *end, struct sip_message *message)
{
    if (!strncmp(text, "SIP/2.0 ", 8)) {
        message->status = atoi(text + 8);
        return;
    }
    message->method = text[0];
    const char *scheme = memmem(text, (size_t)(end - text), "sip:", 4);
    const char *at = scheme ? memchr(scheme, '@', (size_t)(end - scheme)) : NULL;
    if (at)
        message->user = (struct span){scheme + 4, (int)(at - scheme - 4)};
}

static void read_header(struct span line, struct sip_message *message)
{
    const char *colon = memchr(line.at, ':', (size_t)line.length);
    if (!colon)
        return;
    struct span name = {line.at, (int)(colon - line.at)};
    while (name.length && name.at[name.length - 1] == ' ')
        name.length--;
    struct span value = {colon + 1, (int)(line.at + line.length - colon - 1)};
    while (value.length && *value.at == ' ')
        value.at++, value.length--;

    bool is_echoed = false;
    if (is_named(name, "Via", 'v') || is_named(name, "From", 'f')) {
        is_echoed = true;
    } else if (is_named(name, "Call-ID", 'i')) {
        message->call_id = value;
        is_echoed = true;
    } else if (is_named(name, "CSeq", 0)) {
        const char *space = memchr(value.at, ' ', (size_t)value.length);
        if (message->status && space)
            message->method = space[1];
        is_echoed = true;
    } else if (is_named(name, "Record-Route", 0)) {
        if (message->record_route_count < MAX_RECORD_ROUTES)
            message->record_routes[message->record_route_count++] = value;
        is_echoed = true;
    } else if (is_named(name, "To", 't')) {
        message->to = value;
        message->is_reinvite_or_later = memmem(value.at, (size_t)value.length, ";tag=", 5) != NULL;
    } else if (is_named(name, "Contact", 'm')) {
        message->contact = value;
    }
    if (is_echoed && message->echoed_count < MAX_ECHOED)
        message->echoed[message->echoed_count++] = line;
}

bool sip_read(const char *text, struct sip_message *message)
{
    memset(message, 0, sizeof *message);
    message->body = "";
    const char *end = strstr(text, "\r\n");
    if (!end)
        return false;
    read_first_line(text, end, message);
    const char *line = end + 2;
    while ((end = strstr(line, "\r\n")) && end != line) {
        read_header((struct span){line, (int)(end - line)}, message);
        line = end + 2;
    }
    if (end)
        message->body = end + 2;
    return message->to.at && message->call_id.at && message->method;
}

void sdp_audio(const char *body, char host[32], int *port)
{
    *port = 0;
    host[0] = 0;
    const char *connection = strstr(body, "c=IN IP4 "), *audio = strstr(body, "m=audio ");
    if (connection)
        sscanf(connection + 9, "%31[0-9.]", host);
    if (audio)
        *port = atoi(audio + 8);
}

void sip_add(struct sip_writer *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int room = (int)sizeof out->text - out->length;
    int added = vsnprintf(out->text + out->length, (size_t)room, format, arguments);
    va_end(arguments);
    if (added >= room) {
        fprintf(stderr, "a message is longer than %zu bytes\n", sizeof out->text);
        exit(2);
    }
    out->length += added;
}

void sip_add_echoed(struct sip_writer *out, const struct sip_message *request, const char *tag)
{
    for (int i = 0; i < request->echoed_count; i++)
        sip_add(out, "%.*s\r\n", request->echoed[i].length, request->echoed[i].at);
    sip_add(out, "To: %.*s", request->to.length, request->to.at);
    if (tag && !request->is_reinvite_or_later)
        sip_add(out, ";tag=%s", tag);
    sip_add(out, "\r\n");
}

void sip_add_sdp(struct sip_writer *out, const char *host, int port)
{
    struct sip_writer body = {.length = 0};
    sip_add(&body,
            "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 0 101\r\n"
            "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n",
            host, host, port);
    sip_add(out, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%.*s", body.length, body.length, body.text);
}
