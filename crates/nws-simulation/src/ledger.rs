//! Where each value is, as far as anybody outside of the server can know.

use std::collections::BTreeMap;

use bytes::Bytes;
use nws_proto::{Descriptor, Index, Item, Language, LeaseId, VariableId};
use nws_testkit::Dice;

use crate::{Tally, Wrong};

/// Of this workspace nothing is ever deleted.
pub(crate) const KEPT: &str = "kept";
/// It belongs to whom it belongs to, and is deleted at times.
pub(crate) const VOLATILE: &str = "volatile";
/// A longer value than this may go to the server's disk as it comes.
pub(crate) const SPILLED_BYTES: usize = 1 << 20;
/// The variables of `kept`. Of the last one a store replaces what is there.
pub(crate) const VARIABLES: [&str; 5] = ["fifo", "lifo", "multi", "results", "single"];
pub(crate) const RESULTS: usize = 3;
const SINGLE: usize = 4;

/// Which value: what its bytes begin with.
pub(crate) type ValueId = u64;

/// What is known of one value.
#[derive(Clone, Debug, Default)]
struct Story {
    /// The place in [`VARIABLES`]; `None`: it is in `volatile`.
    variable: Option<usize>,
    bytes: usize,
    /// The request that stores it has left its client whole.
    sent: bool,
    /// The server said that it is stored.
    stored: bool,
    /// The server said that it is not.
    refused: bool,
    /// Where it was whenever it was seen.
    place: Option<(VariableId, Index)>,
    /// How many took it for good: the kernel had its last byte.
    delivered: u32,
    /// Somebody said that it has arrived, and was not answered.
    maybe_delivered: bool,
    finished: u32,
    /// How often it was there in the end.
    left: u32,
    /// What would have been stored in its stead, where nobody knows whether that happened.
    results: Vec<ValueId>,
}

/// How a value was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It stayed where it was.
    Found,
    /// By lease.
    Leased,
    /// For good.
    Taken,
    /// After the run.
    Left,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    stories: BTreeMap<ValueId, Story>,
    leases: BTreeMap<LeaseId, ValueId>,
    last: ValueId,
    sizes: Sizes,
}

/// How long values are, as a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sizes {
    #[default]
    Small,
    /// Longer than what a narrow link takes at a time.
    Medium,
    /// Some of them are longer than what one connection is sent in a turn.
    Large,
}

/// The bytes of a value: its id, and as much more as it is long.
fn content(id: ValueId, bytes: usize) -> Bytes {
    let mut content = id.to_le_bytes().to_vec();
    content.resize(bytes, id as u8);
    content.into()
}

pub(crate) const DESCRIPTOR: Descriptor = Descriptor::bytes(Language::Python);

impl Ledger {
    pub(crate) fn new(sizes: Sizes) -> Self {
        Self { sizes, ..Self::default() }
    }

    /// A value that nobody has stored yet.
    pub(crate) fn make(&mut self, variable: Option<usize>, dice: &mut Dice) -> (ValueId, Item<Bytes>) {
        self.last += 1;
        let bytes = match dice.below(80) {
            0 => 66_000 + dice.below(60_000),
            1..3 => 4000 + dice.below(3000),
            3..40 if self.sizes == Sizes::Medium => 200 + dice.below(2000),
            3..10 if self.sizes == Sizes::Large => SPILLED_BYTES + dice.below(500_000),
            10..40 if self.sizes == Sizes::Large => 300_000 + dice.below(300_000),
            _ => 8 + dice.below(40),
        };
        self.stories.insert(self.last, Story { variable, bytes, ..Story::default() });
        (self.last, Item { descriptor: DESCRIPTOR, value: content(self.last, bytes) })
    }

    fn story(&mut self, id: ValueId) -> &mut Story {
        self.stories.get_mut(&id).expect("only ids that were made are passed on")
    }

    /// The request that stores it is on its way whole.
    pub(crate) fn sent(&mut self, id: ValueId) {
        self.story(id).sent = true;
    }

    pub(crate) fn stored(&mut self, id: ValueId) {
        self.story(id).stored = true;
    }

    pub(crate) fn refused(&mut self, id: ValueId) {
        self.story(id).refused = true;
    }

    /// Bytes that were sent as a value. The index is not known to clients without cookies.
    pub(crate) fn seen(
        &mut self,
        how: Seen,
        value: &[u8],
        place: Option<(VariableId, Index)>,
    ) -> Result<ValueId, Wrong> {
        let id = value.first_chunk().map_or(0, |id| u64::from_le_bytes(*id));
        let Some(story) = self.stories.get_mut(&id) else {
            return Err(format!("a value that nobody made: {:02x?}", &value[..value.len().min(20)]));
        };
        let wrong = |what: &str| Err(format!("value {id} {what}: {how:?} at {place:?}, {story:?}"));
        if value != content(id, story.bytes) {
            return wrong("is not what was stored");
        }
        if !story.sent || story.refused {
            return wrong("was never stored");
        }
        if story.place.is_some() && place.is_some() && story.place != place {
            return wrong("is not in its place");
        }
        story.place = story.place.or(place);
        match how {
            Seen::Found | Seen::Leased => {}
            Seen::Taken => story.delivered += 1,
            Seen::Left => story.left += 1,
        }
        if story.delivered + story.finished + story.left > 1 {
            return Err(format!("value {id} is in two places, the last {how:?}: {story:?}"));
        }
        Ok(id)
    }

    /// Who read a long value is about to say that it has arrived.
    pub(crate) fn may_take(&mut self, id: ValueId) {
        self.story(id).maybe_delivered = true;
    }

    /// The answer to that.
    pub(crate) fn take_answered(&mut self, how: Seen, id: ValueId, taken: bool) -> Result<(), Wrong> {
        let story = self.story(id);
        story.maybe_delivered = false;
        match how {
            Seen::Taken if taken => story.delivered += 1,
            Seen::Left if taken => story.left += 1,
            _ => {}
        }
        if story.delivered + story.finished + story.left > 1 {
            return Err(format!("value {id} is in two places, the last {how:?}: {story:?}"));
        }
        Ok(())
    }

    /// A lease of a value that was seen.
    pub(crate) fn leased(&mut self, lease: LeaseId, id: ValueId) {
        self.leases.insert(lease, id);
    }

    pub(crate) fn value_of(&self, lease: LeaseId) -> Option<ValueId> {
        self.leases.get(&lease).copied()
    }

    /// Somebody asked to put `result` in the place of a leased value, and was not answered yet.
    pub(crate) fn may_finish(&mut self, lease: LeaseId, result: ValueId) {
        if let Some(id) = self.value_of(lease) {
            self.story(id).results.push(result);
        }
    }

    /// The answer to that.
    pub(crate) fn finish_answered(&mut self, lease: LeaseId, result: ValueId, finished: bool) -> Result<(), Wrong> {
        let id = self.value_of(lease);
        if let Some(id) = id {
            self.story(id).results.retain(|other| *other != result);
        }
        if !finished {
            self.refused(result);
            return Ok(());
        }
        self.stored(result);
        let Some(id) = id else { return Ok(()) };
        let story = self.story(id);
        story.finished += 1;
        if story.delivered + story.finished > 1 {
            return Err(format!("value {id} is in two places, the last finished: {story:?}"));
        }
        Ok(())
    }

    /// After everything that is left was seen: everything that was acknowledged is in one place.
    pub(crate) fn reckon(&self, tally: &mut Tally) -> Result<(), Wrong> {
        for (id, story) in &self.stories {
            let times = story.delivered + story.finished + story.left;
            if let Some(result) = story.results.iter().find(|result| self.is_somewhere(**result)) {
                *tally.entry("finished without an answer").or_default() += 1;
                if times > 0 {
                    return Err(format!("value {id} is there as well as its result {result}: {story:?}"));
                }
                continue;
            }
            // In `single` and in `volatile` values may go.
            let counted = story.variable.is_some_and(|variable| variable != SINGLE);
            if times == 0 && story.maybe_delivered {
                *tally.entry("taken without an answer").or_default() += 1;
                continue;
            }
            if counted && story.stored && times == 0 {
                return Err(format!("value {id} is lost: {story:?}"));
            }
        }
        Ok(())
    }

    fn is_somewhere(&self, id: ValueId) -> bool {
        self.stories.get(&id).is_some_and(|story| story.stored || story.delivered + story.finished + story.left > 0)
    }
}
