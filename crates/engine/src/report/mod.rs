//! The report: functions of the journal alone.

mod exceptions;

pub use exceptions::{exception_path, save_exception};
