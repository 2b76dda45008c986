//! Runs the real engine in a world until it ends: source and target over IMAP and pipes, the memory journal, one
//! thread, a paused clock.

use mailhaul_engine::clock::Clock;
use mailhaul_engine::config::{
    Endpoint, FixedPassword, ImapAccount, LoginOptions, Security, Settings, Trust,
};
use mailhaul_engine::error::{Error, Question};
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::memory::MemoryStore;
use mailhaul_engine::journal::{AccountPair, Existing as Answer, Journal as _};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::probe::Probe;
use mailhaul_engine::run::{Migration, RunEnd};
use mailhaul_sandbox::{Fault, Profile, Sandbox};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::facts::{Facts, Runs, gather};
use super::pipe::Way;
use super::record::Recorder;
use super::truth::{munged, stamped};
use super::world::{End, Existing, Planted, World};

/// Whose mail it is, on both servers.
pub(super) const USER: &str = "ann";
const PASSWORD: &str = "secret of ann";
/// Runs while things go wrong, at most; after that the world is calm.
const TROUBLED_RUNS_MAX: usize = 8;
/// Calm runs after which everything must be done.
const CALM_RUNS_MAX: usize = 4;
/// Simulated time that one run may take.
const RUN_TIME_MAX: Duration = Duration::from_secs(12 * 3600);
/// Steps that one run may take: one that turns in circles takes no time.
const STEPS_MAX: u64 = 5_000;
/// The wall clock of all simulations begins here (seconds since 1970).
const WALL_BEGINS: u64 = 1_800_000_000;

/// How one run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It came to its end; mailboxes it left, and questions.
    Done(Vec<String>),
    /// It stopped with these words.
    Failed(String),
    /// The client was stopped dead.
    Stopped,
    /// It did not end within the time and the steps that a run may take.
    Endless,
}

struct Stage {
    source: Sandbox,
    target: Sandbox,
    ways: [Way; 2],
    store: MemoryStore,
    recorder: Recorder,
    settings: Settings,
    began: Instant,
    /// Steps of the last run.
    steps: Arc<AtomicU64>,
    in_flight: InFlight,
}

/// The most octets of messages that the old server had given in a run and the new one had not taken yet.
#[derive(Clone, Default)]
struct InFlight(Arc<AtomicU64>);

impl InFlight {
    /// What looks at both servers at every step of a run that begins now.
    fn meter(&self, source: &Sandbox, target: &Sandbox) -> impl Fn() + Send + Sync + use<> {
        let (given, taken) = (source.octets_passed().0, target.octets_passed().1);
        let (most, source, target) = (self.0.clone(), source.clone(), target.clone());
        move || {
            let now = (source.octets_passed().0 - given).saturating_sub(target.octets_passed().1 - taken);
            most.fetch_max(now, Ordering::SeqCst);
        }
    }
}

/// Runs a world to its end; what then can be known.
///
/// # Errors
/// In words, when the simulation itself cannot go on: that is a finding as well.
pub(super) fn run(world: &World, folder: &Path) -> Result<Facts, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut stage = Stage::set(world, folder);
        let runs = stage.play(world).await?;
        let died = stage.died();
        let facts =
            gather(world, &stage.source, &stage.target, died, &stage.store, &stage.recorder, runs, folder);
        let in_flight_max = stage.in_flight.0.load(Ordering::SeqCst);
        Ok(Facts { in_flight_max, ..facts.await? })
    })
}

impl Stage {
    fn set(world: &World, folder: &Path) -> Self {
        let compress = world.tuning.compress;
        let profile = |profile: &Profile| Profile { compress, ..profile.clone() };
        let source = server(&profile(&world.source_profile), &world.source);
        let munges = world.tuning.munges.then_some(munged as fn(u32, &[u8]) -> Vec<u8>);
        let rewrites = world.tuning.rewrites.then_some(stamped as fn(u32, &[u8]) -> Vec<u8>).or(munges);
        let target = server(&Profile { rewrites, ..profile(&world.target_profile) }, &world.target);
        world.source_plan.iter().for_each(|p| source.plan(p.clone()));
        world.target_plan.iter().for_each(|p| target.plan(p.clone()));
        let cuts = |end| world.cuts.iter().filter(|c| c.end == end).copied().collect();
        let ways = [Way::new(source.clone(), cuts(End::Source)), Way::new(target.clone(), cuts(End::Target))];
        Self {
            source,
            target,
            ways,
            store: MemoryStore::new(),
            recorder: Recorder::default(),
            settings: settings(world, folder),
            began: Instant::now(),
            steps: Arc::default(),
            in_flight: InFlight::default(),
        }
    }

    fn died(&self) -> Vec<super::world::Cut> {
        self.ways.iter().flat_map(Way::died).collect()
    }

    /// Runs until the plan is spent and everything is done, then once more.
    async fn play(&mut self, world: &World) -> Result<Runs, String> {
        let mut runs = Runs::default();
        let mut stops = world.stops.iter().copied();
        self.store.set_durable_times(world.durable_times.iter().copied());
        for _ in 0..TROUBLED_RUNS_MAX {
            let stop = stops.next().unwrap_or(0);
            let ran = self.once(world, stop).await?;
            let over = matches!(&ran, Ran::Done(left) if left.is_empty()) && stops.len() == 0;
            let endless = ran == Ran::Endless;
            runs.all.push(ran);
            if endless {
                return Ok(runs);
            }
            if over {
                break;
            }
        }
        self.store.set_durable_times([]);
        self.source.calm();
        self.target.calm();
        self.ways.iter().for_each(Way::calm);
        self.late_commits().await;
        for _ in 0..CALM_RUNS_MAX {
            let appended = appends(&self.target);
            let ran = self.once(world, 0).await?;
            let done = matches!(&ran, Ran::Done(left) if left.is_empty());
            let endless = ran == Ran::Endless;
            runs.all.push(ran);
            runs.calm += 1;
            if endless {
                break;
            }
            if done && appends(&self.target) == appended {
                runs.ended = true;
                break;
            }
        }
        Ok(runs)
    }

    /// What the servers store late is stored: it is a part of what went wrong.
    async fn late_commits(&self) {
        let after = self.target.struck().into_iter().filter_map(|struck| match struck.fault {
            Fault::LateStore(after) => Some(after),
            _ => None,
        });
        tokio::time::sleep(after.max().unwrap_or_default()).await;
    }

    /// One run of the migration, stopped dead at step `stop` unless that is 0.
    async fn once(&mut self, world: &World, stop: u64) -> Result<Ran, String> {
        let pair = AccountPair { source: "imap://ann@old".into(), target: "imap://ann@new".into() };
        let journal = self.store.open(&pair).map_err(|e| e.to_string())?;
        let (probe, stopped, step) =
            stopper(&self.steps, stop, self.in_flight.meter(&self.source, &self.target));
        self.recorder.watch(&self.store, &journal, step);
        let ends = [&self.ways[0], &self.ways[1]]
            .map(|way| opener(way, &self.settings.limits, world.tuning.compress));
        let [source, target] = ends;
        let mut migration =
            Migration::new(ImapSource(source), ImapTarget(target), journal, self.settings.clone());
        migration.probe = probe;
        migration.clock = clock(self.began);
        let ran = tokio::select! {
            biased;
            () = stopped.notified() => {
                // In every other case what was already written still arrives and is worked on.
                if stop.is_multiple_of(2) { tokio::time::sleep(Duration::from_millis(50)).await; }
                if self.steps.load(Ordering::SeqCst) >= STEPS_MAX { Ran::Endless } else { Ran::Stopped }
            }
            ended = tokio::time::timeout(RUN_TIME_MAX, migration.migrate()) => match ended {
                Ok(Ok(end)) => Ran::Done(left(&end)),
                Ok(Err(error)) => self.answer(world, error),
                Err(_) => Ran::Endless,
            },
        };
        self.store.set_hook(None);
        if matches!(ran, Ran::Stopped | Ran::Endless) {
            drop(migration);
            // What was not synced is forgotten.
            self.store.crash();
        } else {
            migration.journal.release().await.map_err(|e| e.to_string())?;
        }
        Ok(ran)
    }

    /// A person answers the question of a run for the next one.
    fn answer(&mut self, world: &World, error: Error) -> Ran {
        if matches!(error, Error::Question(Question::TargetHoldsMail { .. })) {
            self.settings.existing = Some(match world.tuning.existing {
                Existing::Adopt => Answer::Adopt,
                Existing::AppendAnyway => Answer::AppendAnyway,
            });
        }
        Ran::Failed(error.to_string())
    }
}

fn appends(server: &Sandbox) -> u64 {
    server.counters().commands.get("APPEND").copied().unwrap_or(0)
}

fn left(end: &RunEnd) -> Vec<String> {
    end.left.iter().map(|(_, why)| why.clone()).collect()
}

fn server(profile: &Profile, holds: &[Planted]) -> Sandbox {
    let server = Sandbox::new(profile.clone());
    server.add_user(USER, PASSWORD);
    for mailbox in holds {
        server.create(USER, mailbox.name, None, true);
        for letter in &mailbox.letters {
            server.deliver(USER, mailbox.name, letter.octets.clone(), &letter.flags, &letter.date);
        }
    }
    server
}

fn settings(world: &World, folder: &Path) -> Settings {
    let tuning = &world.tuning;
    let mut settings = Settings::new(folder);
    settings.connections = tuning.connections;
    settings.accept_will_not_move = true;
    settings.repair = tuning.repair;
    let limits = &mut settings.limits;
    limits.batch_messages_max = tuning.batch_messages;
    limits.group_messages_max = tuning.group_messages;
    limits.batch_octets_max = tuning.batch_octets;
    limits.fetch_range_messages_max = tuning.range_messages;
    limits.fetch_range_octets_max = tuning.range_octets;
    limits.body_in_memory_octets_max = tuning.in_memory_octets;
    limits.body_memory_octets = tuning.memory_octets;
    limits.journal_page_rows = tuning.page_rows;
    limits.listing_piece_messages = tuning.page_rows;
    (limits.settle_min, limits.settle_unmeasured) = tuning.settle;
    settings
}

fn opener(way: &Way, limits: &Limits, compress: bool) -> Opener {
    Opener {
        account: ImapAccount {
            endpoint: Endpoint { host: "sandbox.example".into(), port: 143, security: Security::Clear },
            user: USER.into(),
            auth_user: None,
            login: LoginOptions::default(),
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new(PASSWORD)),
        },
        limits: limits.clone(),
        dialer: way.dialer(),
        without: Vec::new(),
        compress,
    }
}

/// The wall goes with the paused clock, so that a seed always sees the same times.
fn clock(began: Instant) -> Clock {
    let wall = move || SystemTime::UNIX_EPOCH + Duration::from_secs(WALL_BEGINS) + began.elapsed();
    Clock::with_wall(Arc::new(wall))
}

/// Stops at step `at`, counting actions of the engine and writes of the journal alike.
fn stopper(
    steps: &Arc<AtomicU64>,
    at: u64,
    look: impl Fn() + Send + Sync + 'static,
) -> (Probe, Arc<Notify>, impl Fn() -> bool + Send + Sync + 'static) {
    steps.store(0, Ordering::SeqCst);
    let stopped = Arc::new(Notify::new());
    let step = {
        let (steps, stopped, look) = (steps.clone(), stopped.clone(), Arc::new(look));
        move || {
            look();
            let now = steps.fetch_add(1, Ordering::SeqCst) + 1;
            let stop = (at != 0 && now >= at) || now >= STEPS_MAX;
            if stop {
                stopped.notify_one();
            }
            // Dead means dead: nothing passes another step while the rest arrives.
            stop
        }
    };
    let probing = step.clone();
    (Probe::new(Arc::new(move |_| probing())), stopped, step)
}
