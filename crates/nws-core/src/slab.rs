//! Storage by key, and lists threaded through it, so that anything can be removed at once.

use alloc::vec::Vec;

use crate::segmented::Segmented;

/// Where something is in a [`Slab`]. A key of what was removed finds nothing, also when the slot
/// is used again. Keys are ordered as their items were inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// How many items the slab had ever had.
    generation: u32,
    slot: u32,
}

impl Key {
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_u64(number: u64) -> Self {
        Self { slot: number as u32, generation: (number >> 32) as u32 }
    }
}

struct Slot<T> {
    generation: u32,
    item: Option<T>,
}

pub(crate) struct Slab<T> {
    slots: Segmented<Slot<T>>,
    free: Vec<u32>,
    inserted: u32,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Segmented::new(), free: Vec::new(), inserted: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(self.slots.iter()).filter_map(|(slot, place)| {
            let key = Key { generation: place.generation, slot };
            Some((key, place.item.as_ref()?))
        })
    }

    pub(crate) fn insert(&mut self, item: T) -> Key {
        self.inserted = self.inserted.wrapping_add(1);
        let generation = self.inserted;
        let free = self.free.pop().and_then(|slot| Some((slot, self.slots.get_mut(slot as usize)?)));
        if let Some((slot, place)) = free {
            *place = Slot { generation, item: Some(item) };
            return Key { generation, slot };
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation, item: Some(item) });
        Key { generation, slot }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.slots.get_mut(key.slot as usize).filter(|place| place.generation == key.generation)?;
        let item = place.item.take()?;
        self.free.push(key.slot);
        Some(item)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.slot as usize).filter(|place| place.generation == key.generation)?.item.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.slot as usize).filter(|place| place.generation == key.generation)?.item.as_mut()
    }
}

/// A member's place in its chain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    previous: Option<Key>,
    next: Option<Key>,
}

/// What can be a member of a chain, of one at a time.
pub(crate) trait Linked {
    fn links(&self) -> &Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// A list of members of a slab in the order in which they were appended.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    first: Option<Key>,
    last: Option<Key>,
    len: u32,
}

impl Chain {
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<Key> {
        self.first
    }
}

impl<T: Linked> Slab<T> {
    pub(crate) fn append(&mut self, chain: &mut Chain, key: Key) {
        let previous = chain.last;
        let Some(item) = self.get_mut(key) else { return };
        *item.links_mut() = Links { previous, next: None };
        match previous.and_then(|previous| self.get_mut(previous)) {
            Some(previous) => previous.links_mut().next = Some(key),
            None => chain.first = Some(key),
        }
        chain.last = Some(key);
        chain.len += 1;
    }

    pub(crate) fn unlink(&mut self, chain: &mut Chain, key: Key) {
        let Some(item) = self.get_mut(key) else { return };
        let Links { previous, next } = core::mem::take(item.links_mut());
        match previous.and_then(|previous| self.get_mut(previous)) {
            Some(previous) => previous.links_mut().next = next,
            None => chain.first = next,
        }
        match next.and_then(|next| self.get_mut(next)) {
            Some(next) => next.links_mut().previous = previous,
            None => chain.last = previous,
        }
        chain.len -= 1;
    }

    /// The member after this one.
    pub(crate) fn after(&self, key: Key) -> Option<Key> {
        self.get(key)?.links().next
    }
}
