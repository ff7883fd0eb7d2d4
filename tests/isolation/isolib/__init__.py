# SPDX-License-Identifier: Apache-2.0
"""What the isolation suite is made of: programs of offenders, their outcomes, the bystander."""
