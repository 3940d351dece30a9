/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Peers and devices.
 *
 * A peer is known by the kernel's own internal_id (never reused, small), a device by its address.  The
 * first packet put on a peer's queue claims a slot for the peer and its device; from then on the
 * id is found in a cache of one word an entry, so that a reader never sees half a change.
 */
#ifndef WGPROF_OBJECTS_H
#define WGPROF_OBJECTS_H

#include "contention.h"

#define CACHE 1024
#define CACHE_SLOT_BITS 16
#define CLAIM_TRIES 8
/* Ids that can be remembered, those of peers nobody asked for among them. */
#define KNOWN_IDS 16384

struct slot_cache {
	u64 entry[CACHE];		/* id << 16 | slot */
};

BPF_ARRAY(slot_cache, struct slot_cache, 1);
BPF_TABLE("hash", u64, u32, slot_by_id, KNOWN_IDS);
BPF_TABLE("hash", u32, u64, owner_of_slot, SLOTS);

/* A device's id; a kernel address without the bits that are the same in all, as the cache has no room for them. */
#define device_id(address) ((address) & ((1ULL << 48) - 1))

INLINE u32 slot_of(u64 id)
{
	/* Peers' numbers are small; devices' addresses differ in their higher bits alone. */
	u64 *cached = &memory_of(MEMORY_SLOT_CACHE, struct slot_cache)->entry[(id ^ id >> 12) & (CACHE - 1)];
	u64 entry = *cached;
	u32 *slot;

	if (entry >> CACHE_SLOT_BITS == id)
		return entry & 0xffff;
	slot = slot_by_id.lookup(&id);
	if (!slot)
		return SLOT_NONE;
	*cached = id << CACHE_SLOT_BITS | *slot;
	return *slot;
}

INLINE u32 slot_of_peer(u64 peer, bool typed)
{
	return slot_of(load64(peer, OFF_PEER_INTERNAL_ID, typed));
}

/*
 * A free slot for `id`, or SLOT_NONE.  Slots are claimed in order, and only one CPU can claim one,
 * since creating its entry is exclusive; top_slot is a hint that a race may leave behind.
 */
INLINE u32 claim_slot(u64 id)
{
	u32 slot, i, top;
	struct control *c = the_control();

	top = c->top_slot;
	for (i = 0; i < CLAIM_TRIES; i++) {
		slot = top + 1 + i;
		if (slot >= SLOTS)
			return SLOT_NONE;
		if (owner_of_slot.insert(&slot, &id))
			continue;
		if (!slot_by_id.insert(&id, &slot)) {
			if (slot > c->top_slot)
				c->top_slot = slot;
			return slot;
		}
		/* Another CPU was first with this id. */
		owner_of_slot.delete(&slot);
		return slot_of(id);
	}
	return SLOT_NONE;
}

INLINE bool is_wanted(struct object *object)
{
	u32 i;
	struct control *c = the_control();
	u64 *name = (u64 *)object->name;

	if (!c->filter_names)
		return true;
#pragma unroll
	for (i = 0; i < 8; i++) {
		u64 *wanted = (u64 *)c->names[i];

		if (i < c->filter_names && wanted[0] == name[0] && wanted[1] == name[1])
			return true;
	}
	return false;
}

INLINE u32 meet_device(u64 device)
{
	struct object *object;
	u32 slot = slot_of(device_id(device));
	u64 netdev;

	if (slot != SLOT_NONE)
		return slot;
	slot = claim_slot(device_id(device));
	object = object_at(slot);
	if (!slot || !object)
		return SLOT_NONE;
	netdev = read64(device + OFF_DEVICE_DEV);
	bpf_probe_read_kernel(object->name, NAME_SIZE, (void *)(netdev + OFF_NETDEV_NAME));
	object->ifindex = read32(netdev + OFF_NETDEV_IFINDEX);
	object->netns = read32(read64(netdev + OFF_NETDEV_NET) + OFF_NET_INUM);
	object->address = device;
	object->id = device_id(device);
	object->device = device;
	object->device_slot = slot;
	object->first_seen_ns = now_ns();
	know_locks(device, slot);
	object->kind = OBJECT_DEVICE;
	return slot;
}

/* The first packet of a peer: everything a reader needs to name it. */
INLINE u32 meet_peer(u64 peer, u64 id)
{
	u64 device = read64(peer + OFF_PEER_DEVICE);
	u32 device_slot = meet_device(device);
	struct object *object, *owner;
	u32 slot;

	owner = object_at(device_slot);
	/* Another CPU may be just about to describe the device: the next packet tries again. */
	if (!device_slot || !owner || owner->kind != OBJECT_DEVICE)
		return SLOT_NONE;
	if (!is_wanted(owner)) {
		slot = SLOT_IGNORED;
		slot_by_id.insert(&id, &slot);
		return slot;
	}
	slot = claim_slot(id);
	object = object_at(slot);
	if (!slot || !object)
		return SLOT_NONE;
	bpf_probe_read_kernel(object->public_key, KEY_SIZE, (void *)(peer + OFF_PEER_PUBLIC_KEY));
	bpf_probe_read_kernel(object->endpoint, ENDPOINT_SIZE, (void *)(peer + OFF_PEER_ENDPOINT));
	__builtin_memcpy(object->name, owner->name, NAME_SIZE);
	object->ifindex = owner->ifindex;
	object->netns = owner->netns;
	object->threaded = read64(peer + OFF_PEER_NAPI + OFF_NAPI_THREAD) != 0;
	object->address = peer;
	object->id = id;
	object->device = device;
	object->device_slot = device_slot;
	object->first_seen_ns = now_ns();
	object->kind = OBJECT_PEER;
	return slot;
}

#endif
