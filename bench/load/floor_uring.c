#define _GNU_SOURCE
#include "net.h"

#include "floor.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Powers of two. As many buffers as packets may wait between two turns. */
#define BUFFERS 4096u
#define ENTRIES 4096u
#define BUFFER_GROUP 0

static struct io_uring ring;
static struct io_uring_buf_ring *free_buffers;
static unsigned char (*buffers)[PACKET_BYTES];

static void fail(const char *what, int error)
{
    fprintf(stderr, "io_uring, %s: %s\n", what, strerror(-error));
    exit(3);
}

static void give_back(unsigned short buffer)
{
    io_uring_buf_ring_add(free_buffers, buffers[buffer], PACKET_BYTES, buffer, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(free_buffers, 1);
}

static struct io_uring_sqe *next_entry(void)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (!entry) {
        io_uring_submit(&ring);
        entry = io_uring_get_sqe(&ring);
    }
    entry->user_data = 0;
    return entry;
}

static void open_ring(const struct relay *relay)
{
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                         .cq_entries = 4 * ENTRIES};
    int error = io_uring_queue_init_params(ENTRIES, &ring, &parameters);
    if (error)
        fail("making the ring", error);
    int *files = calloc((size_t)relay->side_count, sizeof *files);
    for (int i = 0; i < relay->side_count; i++)
        files[i] = relay->sides[i].fd;
    error = io_uring_register_files(&ring, files, (unsigned)relay->side_count);
    if (error)
        fail("registering the sockets", error);
    free(files);

    buffers = aligned_alloc(4096, (size_t)BUFFERS * PACKET_BYTES);
    free_buffers = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)free_buffers, .ring_entries = BUFFERS, .bgid = BUFFER_GROUP};
    error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error)
        fail("registering the buffers", error);
    io_uring_buf_ring_init(free_buffers);
    for (unsigned i = 0; i < BUFFERS; i++)
        give_back((unsigned short)i);
}

/* What an entry was for is in its user data: the side, and for a send the buffer. */
static uint64_t receive_of(int side)
{
    return (uint64_t)side << 32;
}

static uint64_t send_of(int side, unsigned short buffer)
{
    return (uint64_t)side << 32 | 1u << 16 | buffer;
}

static void start_receiving(int side)
{
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_recv_multishot(entry, side, NULL, 0, 0);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    entry->buf_group = BUFFER_GROUP;
    entry->user_data = receive_of(side);
}

static void handle(struct relay *relay, const struct io_uring_cqe *event)
{
    int side = (int)(event->user_data >> 32);
    if (event->user_data & 1u << 16) {
        relay->relayed += event->res > 0;
        give_back((unsigned short)event->user_data);
        return;
    }
    if (event->res > 0) {
        unsigned short buffer = (unsigned short)(event->flags >> IORING_CQE_BUFFER_SHIFT);
        struct io_uring_sqe *entry = next_entry();
        io_uring_prep_send(entry, side ^ 1, buffers[buffer], (size_t)event->res, MSG_DONTWAIT);
        entry->flags |= IOSQE_FIXED_FILE;
        entry->user_data = send_of(side, buffer);
    }
    /* It ends when there was no buffer, and on errors such as a peer that is not there yet. */
    if (!(event->flags & IORING_CQE_F_MORE))
        start_receiving(side);
}

void relay_by_uring(struct relay *relay)
{
    open_ring(relay);
    for (int i = 0; i < relay->side_count; i++)
        start_receiving(i);
    while (!is_over) {
        struct io_uring_cqe *first;
        struct __kernel_timespec wait = {.tv_nsec = 100000000};
        int error = io_uring_submit_and_wait_timeout(&ring, &first, 1, &wait, NULL);
        if (error < 0 && error != -ETIME && error != -EINTR)
            fail("waiting", error);
        struct io_uring_cqe *event;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, event) {
            handle(relay, event);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}
