//! Time, as the gate and the settle time need it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A wall clock.
pub type Wall = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Both clocks of a run: the runtime's monotonic one, which may stand still while the machine sleeps, and a wall
/// clock, which goes on but may be set.
#[derive(Clone)]
pub struct Clock {
    wall: Wall,
}

/// Now, by this machine's wall clock: for what only a person reads. Whatever decides has a [`Clock`].
pub fn wall_now() -> SystemTime {
    SystemTime::now()
}

impl Default for Clock {
    fn default() -> Self {
        Self { wall: Arc::new(wall_now) }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    mono: Instant,
    wall: SystemTime,
}

impl Clock {
    /// A clock with another wall, for tests.
    pub fn with_wall(wall: Wall) -> Self {
        Self { wall }
    }

    /// Now.
    pub fn now(&self) -> Stamp {
        Stamp { mono: Instant::now(), wall: (self.wall)() }
    }

    /// Now, by the wall.
    pub fn wall(&self) -> SystemTime {
        (self.wall)()
    }

    /// Time since `then`, counting sleep: the larger of what the two clocks say. For the gate, where too long is
    /// the safe error.
    pub fn at_most_since(&self, then: Stamp) -> Duration {
        let mono = then.mono.elapsed();
        let wall = self.wall().duration_since(then.wall).unwrap_or_default();
        mono.max(wall)
    }

    /// Time since `then`, by the monotonic clock alone. For the settle time, where too short is the safe error.
    pub fn at_least_since(&self, then: Stamp) -> Duration {
        then.mono.elapsed()
    }
}
