//! The allocator that Ringhold ships with, for all alike, with what goes through it counted. Two atomic additions an
//! allocation are in the times of those who allocate.

use cap::Cap;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

/// Bytes that something took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Still allocated when it was done.
    pub(crate) kept: usize,
    /// Allocated meanwhile, all in all.
    pub(crate) allocated: usize,
}

/// What comes of this, and the memory that it took.
pub(crate) fn of<T>(make: impl FnOnce() -> T) -> (T, Memory) {
    let (before, allocated_before) = (ALLOCATOR.allocated(), ALLOCATOR.total_allocated());
    let made = make();
    let kept = ALLOCATOR.allocated().saturating_sub(before);
    (made, Memory { kept, allocated: ALLOCATOR.total_allocated() - allocated_before })
}
