/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_TEXT_H
#define AMQP_TEXT_H

/* Text that came from anywhere, made fit for a reply text that every client library can decode. */

#include <stddef.h>

#define AMQP_SHORT_STRING_MAX 255

/*
 * Copies the NUL-terminated `text` to dst[0, size), size >= 1, and terminates it: whole UTF-8 characters
 * only, as many as fit; each byte that is not part of a valid character (RFC 3629) and each control character
 * becomes '?'. Returns the length without the NUL.
 */
size_t amqp_text_copy(char *dst, size_t size, const char *text);

#endif
