/* SPDX-License-Identifier: Apache-2.0 */
/* A user and a password, kept as long as somebody needs them and then wiped. */
#ifndef HOST_PROXY_CREDENTIALS_H
#define HOST_PROXY_CREDENTIALS_H

#include "amqp/login.h"

struct credentials {
    struct amqp_login login; /* its spans lie behind */
    unsigned refs;
    uint8_t bytes[];
};

/* A copy with one reference; NULL: out of memory. */
struct credentials *credentials_create(const struct amqp_login *login);

struct credentials *credentials_ref(struct credentials *credentials);

/* The last one wipes and frees them. NULL is ignored. */
void credentials_unref(struct credentials *credentials);

/* Whether they are the very same; how long it takes tells nothing of the password but its length. */
bool credentials_equal(const struct credentials *a, const struct credentials *b);

#endif
