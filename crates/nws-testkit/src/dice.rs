//! Where the choices of a run come from.

/// Choices that a seed or an input of a fuzzer makes.
///
/// ```
/// use nws_testkit::Dice;
///
/// let (mut one, mut same) = (Dice::seeded(7), Dice::seeded(7));
/// assert_eq!(one.below(1000), same.below(1000));
/// assert_eq!(Dice::of(&[5, 1]).below(4), 1, "one byte, modulo 4");
/// ```
#[derive(Clone, Debug)]
pub struct Dice(Source);

#[derive(Clone, Debug)]
enum Source {
    /// SplitMix64.
    Seed(u64),
    Bytes {
        bytes: Vec<u8>,
        at: usize,
    },
}

impl Dice {
    /// Choices without end, all of which follow from the seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// Each choice takes as few bytes as it needs, so that a fuzzer that changes a byte changes a
    /// choice. When they are spent every choice is 0.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Source::Bytes { bytes: bytes.to_vec(), at: 0 })
    }

    /// Whether there are no more bytes.
    pub fn is_spent(&self) -> bool {
        matches!(&self.0, Source::Bytes { bytes, at } if *at >= bytes.len())
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        match &mut self.0 {
            Source::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                mixed(*state)
            }
            Source::Bytes { .. } => mixed(self.bytes(2)),
        }
    }

    /// A number below this; 0 where there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        let number = match &self.0 {
            Source::Seed(_) => self.roll(),
            Source::Bytes { .. } if limit == 1 => 0,
            Source::Bytes { .. } => self.bytes(1 + (limit - 1).ilog2() / 8),
        };
        (number % limit) as usize
    }

    /// Yes, once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these, if there are any.
    pub fn any<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }

    fn bytes(&mut self, count: u32) -> u64 {
        let Source::Bytes { bytes, at } = &mut self.0 else { return 0 };
        (0..count).fold(0, |number, _| {
            let byte = bytes.get(*at).copied().unwrap_or(0);
            *at += 1;
            number << 8 | u64::from(byte)
        })
    }
}

fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
