//! Pure: decides how the messages of one mailbox go to the target. Events in, actions out; no socket, clock,
//! journal or octet. The shell does what it says and reports back.
//!
//! At most two batches are open: one past its gate (`front`) and one uploaded behind it
//! (`back`), where the connection can do that. The gate of a batch opens when its upload stands at the
//! gate, its COMMIT is durable, and the batch before it in this mailbox has its answers (law 3). While anything
//! of the mailbox is in doubt, no gate opens (law 4).

use super::batch_size::BatchSize;
use crate::end::{Answer, NewUids, Verdict};
use crate::error::{Refusal, RefusalClass};
use crate::journal::{Form, ItemId, Ladder, Reason};
use crate::limits::Limits;
use crate::quirks::{self, Case, Doing, Pause, Remedy};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A message that is refused for trouble that should pass, with none stored since by which one could tell whether it is the
/// server's trouble or the message's, is tried so often.
const ALONE_TRIES: u32 = 7;
/// The last of these tries are so far apart: together, some twenty minutes.
const ALONE_WAIT: Duration = Duration::from_secs(300);

/// A batch of this process, before and after the journal numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchNo(pub u64);

/// A message whose octets are in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Which message.
    pub item: ItemId,
    /// Its length.
    pub octets: u64,
    /// It holds an LF without CR: it travels alone, and T1 may help.
    pub lone_lf: bool,
    /// It carries keywords: T2 may help.
    pub keywords: bool,
    /// It carries a date: T3 may help.
    pub date: bool,
    /// Its header has octets outside ASCII that can be encoded, and that was asked for: T4 may help.
    pub encodable: bool,
    /// Steps of the ladder taken.
    pub ladder: Ladder,
    /// Times it was refused on its own.
    pub refusals: u32,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message is in hand. Others may be arriving: a batch is formed of it once that is full, or with
    /// [`Event::BurstEnds`] or [`Event::NothingMoreSoon`], one of which follows.
    Ready(Ready),
    /// Nothing of the source has arrived for a moment.
    BurstEnds,
    /// No further message will come before what is in hand is sent: the source is done with this pass, or memory
    /// is all reserved.
    NothingMoreSoon,
    /// Messages come again after [`Event::NothingMoreSoon`].
    MoreComing,
    /// The upload of a batch stands at its gate.
    AtGate(BatchNo),
    /// The COMMIT of a batch is durable.
    Durable(BatchNo),
    /// The COMMIT of a batch failed or took too long: its gate stays shut.
    NotDurable(BatchNo),
    /// The server refused the batch before its gate: nothing of it is stored, the connection is usable.
    RefusedEarly(BatchNo, Refusal),
    /// The connection ended before the gate of this batch opened.
    LostEarly(BatchNo),
    /// Answers of a batch whose gate was opened, with the time from gate to answer.
    Answered(BatchNo, Vec<Answer>, Duration),
    /// A step of the ladder was taken on a message.
    Laddered(Ready),
    /// It is this mailbox's turn to send a batch at once: the answer to [`Action::AwaitTurn`]. A turn that is of no use now
    /// is lost.
    Turn,
    /// There is a connection to the target and nothing of the mailbox is in doubt.
    Clear,
    /// The caller wants to stop: no further batch.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Hand the batch to the connection, up to its gate.
    Stage(BatchNo, Vec<Ready>),
    /// A batch could be sent if the rate allows: report [`Event::Turn`] when it does.
    AwaitTurn,
    /// Make its intent durable.
    Commit(BatchNo, Form, Vec<ItemId>),
    /// Pass its point of no return.
    OpenGate(BatchNo),
    /// Close the connection without opening the gate; nothing of the batch is stored. Its COMMIT is void.
    Abandon(BatchNo),
    /// The server has these; the UIDs are unchecked.
    Stored(BatchNo, Vec<ItemId>, Option<NewUids>),
    /// The server refused these; their state is `refused` until they are sent again or given up.
    Refused(BatchNo, Vec<ItemId>),
    /// The connection was lost after the gate: these may be stored or not. Their octets are dropped.
    InDoubt(BatchNo, Vec<ItemId>),
    /// Nothing of these messages was sent; they are sent again.
    Unsent(BatchNo, Vec<ItemId>),
    /// Every message of the batch has an answer or is in doubt.
    Close(BatchNo),
    /// Take a step of the ladder on this message.
    Ladder(Ready, Ladder),
    /// This message will not be taken; a person must look.
    GiveUp(ItemId, Reason),
    /// That one was given up for a reason that nobody knows.
    Unexplained(Refusal),
    /// Connect again, resolve all doubt, then report [`Event::Clear`].
    Reconnect,
    /// Wait, then report [`Event::Clear`]: the server asked for it, or is in trouble.
    Wait(Pause, Refusal),
    /// Stop this mailbox; what is in hand goes back to `listed`.
    Hold(Refusal),
}

#[derive(Debug)]
struct Batch {
    no: BatchNo,
    items: Vec<Ready>,
    at_gate: bool,
    durable: bool,
    open: bool,
}

/// Where a brain stands that sends no faster than a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is no rate.
    NotNeeded,
    /// Not asked for.
    Without,
    /// Asked for.
    Awaited,
    /// One batch may go.
    Ours,
}

/// The brain of one mailbox pair.
#[derive(Debug)]
pub struct Brain {
    limits: Limits,
    form: Form,
    /// What is refused for its octets goes with its header encoded (T4), or inside a cover message (T8).
    repair: bool,
    overlap: bool,
    turn: Turn,
    /// Parts of refused batches and laddered messages, each to be sent as it is, before anything else.
    forced: VecDeque<Vec<Ready>>,
    ready: VecDeque<Ready>,
    /// The first of `ready` that are known to go together, and their octets.
    run: (usize, u64),
    /// Messages that may be the trouble themselves, tried again when nothing else is left; and how many messages had been
    /// stored when each was first refused alone.
    aside: VecDeque<Ready>,
    troubled: HashMap<ItemId, u64>,
    /// Messages stored.
    stored: u64,
    /// Refusals that may pass, since something was stored.
    trouble: u32,
    front: Option<Batch>,
    back: Option<Batch>,
    /// Messages that the shell is changing.
    laddering: usize,
    nothing_more_soon: bool,
    clear: bool,
    /// [`Action::Wait`] was given since the last [`Event::Clear`].
    waiting_as_asked: bool,
    held: bool,
    next_no: u64,
    batch_size: BatchSize,
}

impl Brain {
    /// A brain for a connection that sends batches in `form`; `overlap` allows the second slot.
    pub fn new(limits: Limits, form: Form, overlap: bool) -> Self {
        let messages_max = match form {
            Form::Multi => limits.batch_messages_max,
            Form::Group => limits.batch_messages_max.min(limits.group_messages_max),
        };
        Self {
            repair: false,
            batch_size: BatchSize::new(messages_max, limits.commit_time_goal),
            limits,
            form,
            overlap,
            turn: Turn::NotNeeded,
            forced: VecDeque::new(),
            ready: VecDeque::new(),
            run: (0, 0),
            aside: VecDeque::new(),
            troubled: HashMap::new(),
            stored: 0,
            trouble: 0,
            front: None,
            back: None,
            laddering: 0,
            nothing_more_soon: false,
            clear: true,
            waiting_as_asked: false,
            held: false,
            next_no: 0,
        }
    }

    /// The first batch has so many messages, where that is more and allowed: what another mailbox of this target came to.
    #[must_use]
    pub fn beginning_with(self, messages: usize) -> Self {
        Self { batch_size: self.batch_size.beginning_with(messages), ..self }
    }

    /// How many messages the next batch may have.
    pub fn batch_messages(&self) -> usize {
        self.batch_size.messages()
    }

    /// What is refused for its octets goes with its header encoded, or inside a cover message (`--repair`).
    #[must_use]
    pub fn repairing(self, repair: bool) -> Self {
        Self { repair, ..self }
    }

    /// The same, forming each batch only when it is its turn ([`Action::AwaitTurn`]).
    #[must_use]
    pub fn in_turns(self) -> Self {
        Self { turn: Turn::Without, ..self }
    }

    /// Messages in hand that are not in an open batch.
    pub fn waiting(&self) -> usize {
        let forced: usize = self.forced.iter().map(Vec::len).sum();
        self.ready.len() + forced + self.aside.len() + self.laddering
    }

    /// True when no batch is open and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting() == 0 && self.front.is_none() && self.back.is_none()
    }

    /// Takes one event and says what to do, in order.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Ready(ready) => {
                self.ready.push_back(ready);
                if !self.next_run().1 {
                    return actions;
                }
            }
            Event::BurstEnds => {}
            Event::NothingMoreSoon => self.nothing_more_soon = true,
            Event::MoreComing => self.nothing_more_soon = false,
            Event::AtGate(no) => self.with(no, |b| b.at_gate = true),
            Event::Durable(no) => self.with(no, |b| b.durable = true),
            Event::NotDurable(no) => self.abandon_from(no, &mut actions),
            Event::RefusedEarly(no, refusal) => self.refused_early(no, &refusal, &mut actions),
            Event::LostEarly(no) => self.lost_early(no, &mut actions),
            Event::Answered(no, answers, took) => self.answered(no, answers, took, &mut actions),
            Event::Laddered(ready) => {
                self.laddering -= 1;
                self.forced.push_front(vec![ready]);
            }
            Event::Turn => self.turn = Turn::Ours,
            Event::Clear => (self.clear, self.waiting_as_asked) = (true, false),
            Event::Stop => self.held = true,
        }
        self.plan(&mut actions);
        if self.turn == Turn::Ours {
            self.turn = Turn::Without;
        }
        actions
    }

    /// Opens batches and gates as far as the rules allow.
    fn plan(&mut self, actions: &mut Vec<Action>) {
        if self.held {
            self.abandon_unopened(actions);
        } else if self.clear {
            if self.front.is_none() {
                self.front = self.next_batch(true, actions);
            }
            let may_overlap = self.overlap && self.front.as_ref().is_some_and(|f| f.open);
            if may_overlap && self.back.is_none() {
                self.back = self.next_batch(false, actions);
            }
            if let Some(front) = self.front.as_mut().filter(|f| f.at_gate && f.durable && !f.open) {
                front.open = true;
                actions.push(Action::OpenGate(front.no));
                // The other slot is free from here on.
                if self.overlap && self.back.is_none() {
                    self.back = self.next_batch(false, actions);
                }
            }
        }
    }

    /// Forms a batch. `urgent`: the target has nothing else to do, so any message is worth sending; else the
    /// batch must be worth its commit, or nothing more may be coming.
    fn next_batch(&mut self, urgent: bool, actions: &mut Vec<Action>) -> Option<Batch> {
        if self.nothing_more_soon && self.forced.is_empty() && self.ready.is_empty() {
            self.forced.extend(self.aside.pop_front().map(|ready| vec![ready]));
        }
        let (count, full) = if self.forced.is_empty() { self.next_run() } else { (1, true) };
        if count == 0 || !(full || urgent || self.nothing_more_soon) || !self.takes_turn(actions) {
            return None;
        }
        let items = self.forced.pop_front().unwrap_or_else(|| {
            self.run = (0, 0);
            self.ready.drain(..count).collect()
        });
        let no = BatchNo(self.next_no);
        self.next_no += 1;
        actions.push(Action::Stage(no, items.clone()));
        actions.push(Action::Commit(no, self.form_of(&items), items.iter().map(|r| r.item).collect()));
        let durable = false;
        #[cfg(mailhaul_mutants)]
        let durable = durable || crate::mutants::Mutant::LateCommit.is_on();
        Some(Batch { no, items, at_gate: false, durable, open: false })
    }

    /// True when a batch may be formed now; else a turn is asked for.
    fn takes_turn(&mut self, actions: &mut Vec<Action>) -> bool {
        match self.turn {
            Turn::NotNeeded => return true,
            Turn::Ours => {
                self.turn = Turn::Without;
                return true;
            }
            Turn::Awaited => {}
            Turn::Without => {
                self.turn = Turn::Awaited;
                actions.push(Action::AwaitTurn);
            }
        }
        false
    }

    fn form_of(&self, items: &[Ready]) -> Form {
        if items.len() == 1 { Form::Multi } else { self.form }
    }

    /// How many of the ready messages make up the next batch, and whether it is as large as batches get.
    fn next_run(&mut self) -> (usize, bool) {
        let messages_max = self.batch_messages();
        let alone =
            |r: &Ready| r.octets > self.limits.batch_octets_max || (r.lone_lf && self.form == Form::Multi);
        if self.run.0 > messages_max {
            self.run = (0, 0);
        }
        for (count, ready) in self.ready.iter().enumerate().skip(self.run.0) {
            if alone(ready) {
                return (count.max(1), true);
            }
            let octets = self.run.1 + ready.octets;
            if count == messages_max || (count > 0 && octets > self.limits.batch_octets_max) {
                return (count, true);
            }
            self.run = (count + 1, octets);
        }
        (self.ready.len(), false)
    }

    /// What a batch says of the size of the next ones; one whose answers were lost says nothing.
    fn learn(&mut self, messages: usize, answers: &[Answer], took: Duration) {
        let of = |verdict: fn(&Verdict) -> bool| -> usize {
            answers.iter().filter(|answer| verdict(&answer.verdict)).map(|answer| answer.messages).sum()
        };
        let stored = of(|verdict| matches!(verdict, Verdict::Stored(_)));
        let refused = of(|verdict| matches!(verdict, Verdict::Refused(_)));
        if stored + refused >= messages {
            self.batch_size.steer(messages, stored, took);
        }
    }

    fn answered(&mut self, no: BatchNo, answers: Vec<Answer>, took: Duration, actions: &mut Vec<Action>) {
        let Some(batch) = self.take(no) else { return };
        self.learn(batch.items.len(), &answers, took);
        let mut rest = batch.items.as_slice();
        let (mut lost, mut doubtful) = (false, Vec::new());
        let (mut refusals, mut unsent) = (Vec::new(), Vec::new());
        for answer in answers {
            let (these, others) = rest.split_at(answer.messages.min(rest.len()));
            rest = others;
            match answer.verdict {
                Verdict::Stored(uids) => {
                    self.stored += these.len() as u64;
                    self.trouble = 0;
                    actions.push(Action::Stored(no, ids(these), uids));
                }
                Verdict::Refused(refusal) => {
                    actions.push(Action::Refused(no, ids(these)));
                    refusals.push((these.to_vec(), refusal));
                }
                Verdict::Lost(_) => {
                    lost = true;
                    doubtful.extend(ids(these));
                }
                // Behind one in doubt it waits for what is found of that one: their order is kept.
                Verdict::Unsent(_) => match doubtful.is_empty() {
                    true => unsent.extend_from_slice(these),
                    false => doubtful.extend(ids(these)),
                },
            }
        }
        // Answers that never came are as lost as those that were cut off.
        doubtful.extend(ids(rest));
        lost |= !rest.is_empty();
        if !doubtful.is_empty() {
            actions.push(Action::InDoubt(no, doubtful));
        }
        if !unsent.is_empty() {
            lost = true;
            actions.push(Action::Unsent(no, ids(&unsent)));
        }
        actions.push(Action::Close(no));
        if lost {
            self.connection_gone(actions);
        } else if !refusals.is_empty() && self.back.is_some() {
            // The batch behind was uploaded in the belief that this one is stored: its gate stays shut, so that
            // the order of messages holds. It is certainly not stored.
            self.abandon_back(actions);
        }
        if !unsent.is_empty() {
            self.forced.push_front(unsent);
        }
        for (items, refusal) in refusals.into_iter().rev() {
            self.after_refusal(items, &refusal, actions);
        }
        self.promote();
    }

    /// Decides what becomes of refused messages ([`quirks::remedy`], integrity.md 3.3).
    fn after_refusal(&mut self, mut items: Vec<Ready>, refusal: &Refusal, actions: &mut Vec<Action>) {
        let alone = items.len() == 1;
        let of_message = items.first().filter(|_| alone && !of_account(refusal.class)).map(|r| r.refusals);
        let case = Case { doing: Doing::Append, tries: of_message.unwrap_or(self.trouble), alone };
        match quirks::remedy(refusal.class, case) {
            Remedy::Wait(pause) => {
                self.count_trouble(&mut items);
                self.forced.push_front(items);
                self.wait(pause, refusal, actions);
            }
            Remedy::Reconnect => {
                self.count_trouble(&mut items);
                self.forced.push_front(items);
                // What is past its gate must be answered first.
                match self.front.is_some() {
                    true => self.wait(Pause::BackOff, refusal, actions),
                    false => self.connection_gone(actions),
                }
            }
            Remedy::HoldAccount | Remedy::HoldMailbox | Remedy::Look => {
                self.forced.push_front(items);
                self.held = true;
                actions.push(Action::Hold(refusal.clone()));
            }
            Remedy::Bisect => {
                let second = items.split_off(items.len() / 2);
                self.forced.push_front(second);
                self.forced.push_front(items);
            }
            Remedy::Skip | Remedy::Ladder => {
                for ready in items {
                    self.alone_refused(ready, refusal, actions);
                }
            }
        }
    }

    /// A refusal that may pass: counted for the mailbox, and for a message that is alone.
    fn count_trouble(&mut self, items: &mut [Ready]) {
        self.trouble += 1;
        if let [ready] = items {
            ready.refusals += 1;
            self.troubled.entry(ready.item).or_insert(self.stored);
        }
    }

    fn wait(&mut self, pause: Pause, refusal: &Refusal, actions: &mut Vec<Action>) {
        self.clear = false;
        // Also where the connection goes with the batch behind: who asked for patience gets it.
        if !self.waiting_as_asked {
            self.waiting_as_asked = true;
            actions.push(Action::Wait(pause, refusal.clone()));
        }
    }

    /// A message refused on its own: the ladder, else an exception with the server's words.
    fn alone_refused(&mut self, mut ready: Ready, refusal: &Refusal, actions: &mut Vec<Action>) {
        ready.refusals += 1;
        let before = *self.troubled.entry(ready.item).or_insert(self.stored);
        if quirks::is_passing(refusal.class) && before == self.stored && ready.refusals < ALONE_TRIES {
            // Nothing was stored since: it may be the server, not the message.
            self.aside.push_back(ready);
            self.wait(Pause::Step(ALONE_WAIT), refusal, actions);
        } else if let Some(step) = next_step(&ready, refusal.class) {
            self.laddering += 1;
            actions.push(Action::Ladder(ready, step));
        } else if refusal.class == RefusalClass::Unknown && ready.refusals < self.limits.refusals_max {
            self.ready.push_back(ready);
        } else if self.repair && may_be_wrapped(&ready, refusal.class) {
            self.laddering += 1;
            let step = if ready.encodable { Ladder::ENCODED } else { Ladder::WRAPPED };
            actions.push(Action::Ladder(ready, step));
        } else {
            let kind = match refusal.class {
                RefusalClass::TooBig => "too_big",
                class if may_be_wrapped(&ready, class) => "refused",
                _ => "forbidden",
            };
            actions.push(Action::GiveUp(ready.item, Reason::new(kind, refusal.to_string())));
            if refusal.class == RefusalClass::Unknown {
                actions.push(Action::Unexplained(refusal.clone()));
            }
        }
    }

    fn refused_early(&mut self, no: BatchNo, refusal: &Refusal, actions: &mut Vec<Action>) {
        let Some(batch) = self.take(no) else { return };
        actions.push(Action::Refused(no, ids(&batch.items)));
        actions.push(Action::Close(no));
        self.after_refusal(batch.items, refusal, actions);
        self.promote();
    }

    /// The connection went before this gate opened. A batch in front of it that is past its gate reports its own
    /// loss with its answers; until then nothing is concluded about it.
    fn lost_early(&mut self, no: BatchNo, actions: &mut Vec<Action>) {
        let Some(batch) = self.take(no) else { return };
        actions.push(Action::Abandon(no));
        self.forced.push_front(batch.items);
        if self.front.is_none() {
            self.connection_gone(actions);
        }
    }

    /// A COMMIT failed: no gate opens on this connection any more.
    fn abandon_from(&mut self, no: BatchNo, actions: &mut Vec<Action>) {
        let Some(batch) = self.take(no) else { return };
        actions.push(Action::Abandon(no));
        self.forced.push_front(batch.items);
        self.promote();
        if self.front.is_none() {
            self.connection_gone(actions);
        }
    }

    /// No gate opens any more: what has not passed its gate never will. It goes once the batch in front is answered,
    /// because abandoning cuts the connection.
    fn abandon_unopened(&mut self, actions: &mut Vec<Action>) {
        if self.front.as_ref().is_none_or(|f| !f.open) {
            for batch in [self.front.take(), self.back.take()].into_iter().flatten() {
                actions.push(Action::Abandon(batch.no));
                self.forced.push_back(batch.items);
            }
        }
    }

    fn abandon_back(&mut self, actions: &mut Vec<Action>) {
        if let Some(back) = self.back.take() {
            actions.push(Action::Abandon(back.no));
            self.forced.push_front(back.items);
            self.connection_gone(actions);
        }
    }

    fn connection_gone(&mut self, actions: &mut Vec<Action>) {
        self.abandon_back_silently(actions);
        if self.clear {
            self.clear = false;
            actions.push(Action::Reconnect);
        }
    }

    fn abandon_back_silently(&mut self, actions: &mut Vec<Action>) {
        if let Some(back) = self.back.take() {
            actions.push(Action::Abandon(back.no));
            self.forced.push_front(back.items);
        }
    }

    fn take(&mut self, no: BatchNo) -> Option<Batch> {
        if self.front.as_ref().is_some_and(|b| b.no == no) {
            self.front.take()
        } else if self.back.as_ref().is_some_and(|b| b.no == no) {
            self.back.take()
        } else {
            None
        }
    }

    fn promote(&mut self) {
        if self.front.is_none() {
            self.front = self.back.take();
        }
    }

    fn with(&mut self, no: BatchNo, change: impl FnOnce(&mut Batch)) {
        if let Some(batch) = self.front.iter_mut().chain(self.back.iter_mut()).find(|b| b.no == no) {
            change(batch);
        }
    }
}

/// The next step of the ladder that may help against a refusal of this class.
fn next_step(ready: &Ready, class: RefusalClass) -> Option<Ladder> {
    use RefusalClass as C;
    let untried = |step: Ladder, useful: bool| (useful && !ready.ladder.has(step)).then_some(step);
    let about_content = matches!(class, C::Content | C::Cannot | C::Syntax | C::Unknown);
    let about_keywords = matches!(class, C::Keyword | C::Cannot | C::Syntax | C::Unknown);
    let about_date = matches!(class, C::Date | C::Cannot | C::Syntax | C::Unknown);
    untried(Ladder::LINE_ENDS, about_content && ready.lone_lf)
        .or_else(|| untried(Ladder::NO_KEYWORDS, about_keywords && ready.keywords))
        .or_else(|| untried(Ladder::NO_DATE, about_date && ready.date))
}

/// T8, the last step: the octets are refused, and would not be inside a cover message.
fn may_be_wrapped(ready: &Ready, class: RefusalClass) -> bool {
    use RefusalClass as C;
    !ready.ladder.has(Ladder::WRAPPED) && matches!(class, C::Content | C::Cannot | C::Syntax | C::Unknown)
}

/// Trouble of the account or the mailbox: how often one message met it says nothing.
fn of_account(class: RefusalClass) -> bool {
    matches!(class, RefusalClass::InUse | RefusalClass::ThrottledOrFull)
}

fn ids(items: &[Ready]) -> Vec<ItemId> {
    items.iter().map(|r| r.item).collect()
}

#[cfg(test)]
#[path = "brain_tests.rs"]
mod tests;
