/* SPDX-License-Identifier: Apache-2.0 */
/* Which hosts guest-proxy can be told of. */
#include "guest-proxy/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char faults[1024];

static void note(void *ctx, const char *where, const char *what)
{
    (void)ctx;
    snprintf(faults + strlen(faults), sizeof(faults) - strlen(faults), "%s: %s\n", where, what);
}

/* 0 or -EINVAL, and what was wrong in `faults`. `cid`: --cid's value, or NULL. */
static int load(const char *host, const char *cid)
{
    const char *argv[] = {"guest-proxy", "--host", host, "--cid", cid, NULL};
    struct guest_config config;
    int rc;

    faults[0] = '\0';
    rc = config_load(&guest_program, cid != NULL ? 5 : 3, (char *const *)argv, &config, note, NULL);
    if (rc == 0)
        config_free(&guest_program, &config);
    return rc;
}

static void assert_fault(const char *host, const char *text)
{
    assert_int_equal(load(host, NULL), -EINVAL);
    if (strncmp(faults, "--host: ", 8) != 0 || strstr(faults, text) == NULL)
        fail_msg("%sis not about --host: …%s…", faults, text);
}

static void test_vsock(void **state)
{
    (void)state;
    assert_int_equal(load("vsock:2:5672", NULL), 0);
    assert_fault("vsock:any:5672", "can only be listened on");
}

/* The kernel knows which machine this is; the embedded fabric must be told. */
static void test_embedded(void **state)
{
    (void)state;
    unsetenv("VMCI_CID");
    assert_fault("embedded:2:5672", "--cid, or VMCI_CID");
    assert_int_equal(load("embedded:2:5672", "101"), 0);
    setenv("VMCI_CID", "101", 1);
    assert_int_equal(load("embedded:2:5672", NULL), 0);
    unsetenv("VMCI_CID");
}

static void test_hybrid_is_for_hosts(void **state)
{
    (void)state;
    assert_fault("hybrid:/run/v.sock:5672", "a guest says vsock:CID:PORT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vsock),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_hybrid_is_for_hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
