/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that has no vsock, or no transport for it: what is said then. The machine's test runs this program
 * before it loads the modules: `test_vm_absent no-module`, then `test_vm_absent no-transport`.
 */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct vmci_settings settings;

static void test_without_the_module(void **state)
{
    struct vmci_listener *listener;

    (void)state;
    assert_int_equal(inside_try_listen("vsock:any:5672", &settings, &listener), -EAFNOSUPPORT);
    assert_null(listener);
    assert_non_null(strstr(inside_err, "load the module vsock"));
    assert_int_equal(inside_connect("vsock:1:5672", &settings), -EAFNOSUPPORT);
    assert_non_null(strstr(inside_err, "load the module vsock"));
}

/* To listen is possible: a transport may come later. To connect is not. */
static void test_without_a_transport(void **state)
{
    struct vmci_listener *listener;

    (void)state;
    assert_int_equal(inside_try_listen("vsock:any:5672", &settings, &listener), 0);
    vmci_listener_close(listener);
    assert_int_equal(inside_connect("vsock:1:5672", &settings), -ENODEV);
    assert_non_null(strstr(inside_err, "no vsock transport on this machine"));
    assert_int_equal(inside_connect("vsock:2:5672", &settings), -ENODEV);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest no_module[] = {cmocka_unit_test(test_without_the_module)};
    const struct CMUnitTest no_transport[] = {cmocka_unit_test(test_without_a_transport)};

    inside_require();
    if (argc == 2 && strcmp(argv[1], "no-module") == 0)
        return cmocka_run_group_tests(no_module, NULL, NULL);
    if (argc == 2 && strcmp(argv[1], "no-transport") == 0)
        return cmocka_run_group_tests(no_transport, NULL, NULL);
    (void)fprintf(stderr, "usage: test_vm_absent no-module | no-transport\n");
    return 2;
}
