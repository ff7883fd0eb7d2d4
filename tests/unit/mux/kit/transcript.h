/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reader made of a stream, written down in one way whatever the pieces it came in: control frames
 * encoded again, DATA joined to whole frames. For a stream of encoders' frames it is that stream.
 */
#ifndef KIT_TRANSCRIPT_H
#define KIT_TRANSCRIPT_H

#include "mux/frame.h"

struct kit_transcript {
    uint8_t *bytes; /* the caller's, with room for what is read and one header more */
    size_t len;
    struct {
        size_t at; /* of its header in bytes */
        uint32_t session;
        uint64_t offset;
        uint32_t len;
        bool open; /* more of this frame may come */
    } data;
};

void kit_transcript_init(struct kit_transcript *transcript, uint8_t *bytes);

/* A frame that `reader` has just given. */
void kit_transcript_add(struct kit_transcript *transcript, const struct mux_frame *frame,
                        const struct mux_reader *reader);

/* The stream stops here: a DATA frame under way is taken to end, too. */
void kit_transcript_end(struct kit_transcript *transcript);

#endif
