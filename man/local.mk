# Manual pages.

