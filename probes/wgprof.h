/* SPDX-License-Identifier: GPL-2.0-only */
/* Everything; the loader appends the attachments it resolved. */
#include <linux/types.h>
#include <asm/ptrace.h>
#include "access.h"
#include "state.h"
#include "detail.h"
#include "contention.h"
#include "objects.h"
#include "queues.h"
#include "order.h"
#include "preempt.h"
#include "inline.h"
#include "transmit.h"
#include "receive.h"
#include "workers.h"
#include "clock.h"
