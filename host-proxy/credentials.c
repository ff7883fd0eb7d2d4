/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/credentials.h"

#include <stdlib.h>
#include <string.h>

static struct amqp_span copy(uint8_t *to, struct amqp_span from)
{
    if (from.len > 0)
        memcpy(to, from.data, from.len);
    return (struct amqp_span){.data = to, .len = from.len};
}

struct credentials *credentials_create(const struct amqp_login *login)
{
    struct credentials *credentials = malloc(sizeof(*credentials) + login->user.len + login->password.len);

    if (credentials == NULL)
        return NULL;
    credentials->refs = 1;
    credentials->login.user = copy(credentials->bytes, login->user);
    credentials->login.password = copy(credentials->bytes + login->user.len, login->password);
    return credentials;
}

struct credentials *credentials_ref(struct credentials *credentials)
{
    credentials->refs++;
    return credentials;
}

void credentials_unref(struct credentials *credentials)
{
    if (credentials == NULL || --credentials->refs > 0)
        return;
    explicit_bzero(credentials->bytes, credentials->login.user.len + credentials->login.password.len);
    free(credentials);
}

/* Bytes that differ, without stopping at the first. */
static bool same_bytes(struct amqp_span a, struct amqp_span b)
{
    volatile uint8_t difference = 0;

    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        difference |= a.data[i] ^ b.data[i];
    return difference == 0;
}

bool credentials_equal(const struct credentials *a, const struct credentials *b)
{
    return same_bytes(a->login.user, b->login.user) && same_bytes(a->login.password, b->login.password);
}
