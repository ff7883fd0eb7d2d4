# SPDX-License-Identifier: Apache-2.0
"""What tests/bench/run and tests/bench/instructions are made of."""
