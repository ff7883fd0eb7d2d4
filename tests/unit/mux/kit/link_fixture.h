/* SPDX-License-Identifier: Apache-2.0 */
/* A link whose attachments do just what a test tells them, and a peer that the test plays. */
#ifndef KIT_LINK_FIXTURE_H
#define KIT_LINK_FIXTURE_H

#include "tests/unit/mux/kit/peer.h"

#define NOW                      1000000u
#define LINK_FIXTURE_ATTACHMENTS 16u

struct test_attachment {
    struct mux_attachment attachment;
    struct link_fixture *fixture;
    unsigned to_say;     /* PING frames to be said */
    size_t to_send;      /* bytes of DATA to be sent */
    uint64_t sent;       /* offset of the next */
    bool leave;          /* removes itself with its last control frame */
    bool close_on_frame; /* closes the link when something comes */
    unsigned frames;     /* that came */
    uint8_t last_type;
    unsigned lost;
    enum mux_code lost_code;
};

struct link_fixture {
    struct mux_link_config config;
    struct mux_link link;
    struct kit_peer peer;
    struct mux_batch batch;  /* for tests that look at single batches */
    struct mux_chunk *chunk; /* DATA comes from here */
    struct test_attachment attachments[LINK_FIXTURE_ATTACHMENTS];
    unsigned opens; /* accepted: attachments[opens] takes the next */
    unsigned hellos;
    unsigned outputs;     /* calls of on_output */
    enum mux_code refuse; /* refuse every OPEN, with this */
    char goaway[64];
};

struct link_fixture *link_fixture_create(bool opener);
void link_fixture_destroy(struct link_fixture *f);

/* The peer says HELLO. */
void link_fixture_hello(struct link_fixture *f);

/* Opener: attachment `i` under the next number. */
void link_fixture_attach(struct link_fixture *f, unsigned i);

/* Attachment `i` has so many control frames to say; so many bytes to send. */
void link_fixture_say(struct link_fixture *f, unsigned i, unsigned frames);
void link_fixture_send(struct link_fixture *f, unsigned i, size_t bytes);

#endif
