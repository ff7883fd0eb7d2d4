# SPDX-License-Identifier: Apache-2.0
"""Breaks for sessions under load: see tests/fault/README.md."""
