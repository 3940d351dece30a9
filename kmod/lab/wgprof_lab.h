/* SPDX-License-Identifier: GPL-2.0 */
/* The lab's crypto dial: THE PACKETS ARE NOT ENCRYPTED.  See wgprof_lab.c. */
#ifndef WGPROF_LAB_H
#define WGPROF_LAB_H

#include <linux/types.h>

/* Expanded where version.h is known. */
#define WGPROF_LAB_VERSION WIREGUARD_VERSION "-lab-only"

int wgprof_lab_init(void);
bool wgprof_lab_cipher(void);

#endif
