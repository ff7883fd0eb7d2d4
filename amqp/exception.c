/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/exception.h"
#include "amqp/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    uint16_t code;
    bool hard;
    const char *name;
} codes[] = {
    {AMQP_CODE_CONTENT_TOO_LARGE, false, "CONTENT_TOO_LARGE"},
    {AMQP_CODE_CONNECTION_FORCED, true, "CONNECTION_FORCED"},
    {AMQP_CODE_INVALID_PATH, true, "INVALID_PATH"},
    {AMQP_CODE_ACCESS_REFUSED, false, "ACCESS_REFUSED"},
    {AMQP_CODE_NOT_FOUND, false, "NOT_FOUND"},
    {AMQP_CODE_RESOURCE_LOCKED, false, "RESOURCE_LOCKED"},
    {AMQP_CODE_PRECONDITION_FAILED, false, "PRECONDITION_FAILED"},
    {AMQP_CODE_FRAME_ERROR, true, "FRAME_ERROR"},
    {AMQP_CODE_SYNTAX_ERROR, true, "SYNTAX_ERROR"},
    {AMQP_CODE_COMMAND_INVALID, true, "COMMAND_INVALID"},
    {AMQP_CODE_CHANNEL_ERROR, true, "CHANNEL_ERROR"},
    {AMQP_CODE_UNEXPECTED_FRAME, true, "UNEXPECTED_FRAME"},
    {AMQP_CODE_RESOURCE_ERROR, true, "RESOURCE_ERROR"},
    {AMQP_CODE_NOT_ALLOWED, true, "NOT_ALLOWED"},
    {AMQP_CODE_NOT_IMPLEMENTED, true, "NOT_IMPLEMENTED"},
    {AMQP_CODE_INTERNAL_ERROR, true, "INTERNAL_ERROR"},
};

enum { CODE_COUNT = sizeof(codes) / sizeof(codes[0]) };

bool amqp_code_is_hard(uint16_t code)
{
    for (int i = 0; i < CODE_COUNT; i++) {
        if (codes[i].code == code)
            return codes[i].hard;
    }
    return true;
}

const char *amqp_code_name(uint16_t code)
{
    for (int i = 0; i < CODE_COUNT; i++) {
        if (codes[i].code == code)
            return codes[i].name;
    }
    return "UNKNOWN";
}

/* What is too long ends in dots, as RabbitMQ does it. */
static void set_text(struct amqp_exception *e, const char *text)
{
    static const char dots[] = "...";
    const bool fits = strlen(text) < sizeof(e->text);
    const size_t used = amqp_text_copy(e->text, sizeof(e->text) - (fits ? 0 : sizeof(dots) - 1), text);
    if (!fits)
        memcpy(e->text + used, dots, sizeof(dots));
}

void amqp_exception_set(struct amqp_exception *e, enum amqp_scope scope, enum amqp_code code, uint32_t method,
                        const char *format, ...)
{
    char text[3 * sizeof(e->text)];
    const int used =
        snprintf(text, sizeof(text), "%s%s", amqp_code_name((uint16_t)code), format != NULL ? " - " : "");
    e->code = (uint16_t)code;
    e->scope = (uint8_t)scope;
    e->method = method;
    if (format != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
        va_end(arguments);
    }
    set_text(e, text);
}

const char *amqp_exception_cause(const struct amqp_exception *e)
{
    static const char forced[] = "CONNECTION_FORCED - ";
    const size_t len = sizeof(forced) - 1;
    return strncmp(e->text, forced, len) == 0 ? e->text + len : e->text;
}
