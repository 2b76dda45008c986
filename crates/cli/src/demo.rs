//! `mailhaul demo`.

use crate::args::DemoArgs;
use crate::error::Failure;

pub async fn run(_: &DemoArgs) -> Result<u8, Failure> {
    Err(Failure::usage("not yet"))
}
