# SPDX-License-Identifier: Apache-2.0
"""A virtual machine for tests: Debian's kernel, our programs, QEMU without hardware virtualisation."""
from .case import VmTest, kernel_image, main
from .chain import VmChain
from .machine import Failed, Machine
