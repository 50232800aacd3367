//! How much may be on its way.

/// How much memory there may be of what is on its way to and from the disk, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Of one connection to the disk, before it is read from no more.
    pub(crate) connection_bytes: usize,
    /// Of all connections to the disk.
    pub(crate) writing_bytes: usize,
    /// Of all connections from the disk: beyond it each gets the least only.
    pub(crate) loading_bytes: usize,
}

impl Windows {
    /// The part of the memory for values that each way may take, within these bounds.
    const PART: u64 = 8;
    const LEAST_BYTES: u64 = 64 << 10;
    const CONNECTION_BYTES: u64 = 4 << 20;
    const WRITING_BYTES: u64 = 32 << 20;
    const LOADING_BYTES: u64 = 64 << 20;

    /// Where values may take so much memory.
    pub(super) fn of(values_bytes: u64) -> Self {
        let within = |most: u64| (values_bytes / Self::PART).clamp(Self::LEAST_BYTES, most) as usize;
        Self {
            connection_bytes: within(Self::CONNECTION_BYTES),
            writing_bytes: within(Self::WRITING_BYTES),
            loading_bytes: within(Self::LOADING_BYTES),
        }
    }

    /// What writing so many bytes takes of them: the job takes memory as well.
    pub(super) fn taken_by(bytes: usize) -> usize {
        const JOB_BYTES: usize = 512;
        bytes + JOB_BYTES
    }
}
