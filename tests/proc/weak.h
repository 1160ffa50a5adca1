/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tsan.sh, in front of one source file: its release stores, or its acquire
 * loads, order nothing any more.
 */
#include <stdatomic.h>

#ifdef WEAK_RELEASE
#define memory_order_release memory_order_relaxed
#endif
#ifdef WEAK_ACQUIRE
#define memory_order_acquire memory_order_relaxed
#endif
