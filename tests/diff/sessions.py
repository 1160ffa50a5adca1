# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that are played every time."""

from session import CLOSE, OPEN, Session  # noqa: F401

SESSIONS = []
