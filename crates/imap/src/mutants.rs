//! Switches that break one rule each. Compiled only with `--cfg mailhaul_mutants`, which nothing but
//! `.ci/mutants` sets: the simulation must notice each of them, or it would not notice the mistake either.

use std::sync::atomic::{AtomicU8, Ordering};

/// A rule broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// After a lost connection everything is sent again, whatever is found.
    BlindResend = 1,
    /// The gate of a group stands before its last message instead of its first.
    GroupGateLast,
    /// "Not stored" is concluded at once.
    NoSettle,
    /// One message at the target may be claimed twice.
    SharedClaims,
    /// COMMIT is written after the gate was opened.
    LateCommit,
    /// Octets of the right number are not compared.
    TrustSize,
    /// What the source does not give is gone.
    AbsenceIsGone,
    /// Digests are not compared.
    NoDigest,
}

static ON: AtomicU8 = AtomicU8::new(0);

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BlindResend,
        Self::GroupGateLast,
        Self::NoSettle,
        Self::SharedClaims,
        Self::LateCommit,
        Self::TrustSize,
        Self::AbsenceIsGone,
        Self::NoDigest,
    ];

    /// Switches this one on and all others off; `None` for none.
    pub fn switch(on: Option<Self>) {
        ON.store(on.map_or(0, |m| m as u8), Ordering::SeqCst);
    }

    /// True while this one is on.
    pub fn is_on(self) -> bool {
        ON.load(Ordering::SeqCst) == self as u8
    }
}
