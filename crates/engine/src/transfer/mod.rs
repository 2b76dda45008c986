//! Copying one mailbox: the brain decides, the shell does.

pub mod spool;
