/* SPDX-License-Identifier: Apache-2.0 */
/* A statically linked program, for vmci-run to refuse. */
int main(void)
{
    return 0;
}
