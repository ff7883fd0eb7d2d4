# SPDX-License-Identifier: Apache-2.0
"""Random AMQP programs that are the same for the same seed, and what was heard when they were played."""
