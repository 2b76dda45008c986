//! Pure: the five steps as the page has them, what is waited for in them, and what follows from what came of it.

use super::errand::{About, Errand, Outcome};
use super::pages::{self, path};
use super::texts::{self, Problem};
use crate::error::Failure;
use crate::steps::answers::{AlreadyThere, Answer, Choice, is_part_of};
use crate::steps::look::{holds_mail, is_blocked};
use crate::steps::{Looked, NotLetIn, SIDES, Step, Steps, words};
use mailhaul_engine::check::Checked;
use mailhaul_engine::error::EndError;
use mailhaul_engine::plan::Plan;
use std::sync::Arc;

/// The five steps, and what was found out in them.
pub struct Desk {
    /// The answers, and who let us in.
    pub steps: Steps,
    /// What was typed last, by side.
    pub typed: [Answer; 2],
    /// What was found for it, until somebody agrees to it.
    pub looked: Option<[Looked; 2]>,
    /// The certificate that nobody vouches for, as it was shown, by side.
    pub shown: [Option<[u8; 32]>; 2],
    /// What the look at both accounts gave.
    pub seen: Seen,
    /// What went wrong, for the page of this step, until something else is done there.
    pub problem: Option<(Step, Problem)>,
    /// What is waited for. As long as it is, nothing else here changes.
    pub errand: Option<Arc<Errand>>,
    /// Where what came of the last one is shown.
    pub led_to: &'static str,
}

/// What the look at both accounts gave.
pub enum Seen {
    /// They were not looked at yet.
    NotYet,
    /// It failed, or was given up: somebody has to ask for it again.
    Nothing,
    /// This.
    All(Box<Checked>),
}

impl Seen {
    /// What was seen, if anything was.
    pub fn all(&self) -> Option<&Checked> {
        if let Self::All(checked) = self { Some(checked) } else { None }
    }

    fn plan(&self) -> Option<&Plan> {
        Some(&self.all()?.moving.as_ref()?.plan)
    }
}

/// What was chosen of a page, before it is known that nothing else comes of it.
pub struct Chosen {
    choice: Choice,
    /// The plan that the page showed.
    shown: Plan,
    /// It leads to another plan, so that both accounts have to be looked at again.
    pub moves_otherwise: bool,
}

/// What somebody ticked and typed in step 4.
pub struct Ticked {
    /// What the page stood for.
    pub plan: String,
    /// The numbers of the ticked boxes.
    pub moves: Vec<usize>,
    /// What becomes of mail that is there already; none where nothing was said.
    pub already_there: Option<AlreadyThere>,
    /// The list of what will not move was read.
    pub is_agreed: bool,
    /// The mailbox for everything.
    pub into: Option<String>,
    /// What cannot go as it is is repaired.
    pub repair: bool,
}

impl Desk {
    /// Nothing was found out yet.
    pub fn new(steps: Steps) -> Self {
        let typed = steps.typed();
        Self {
            steps,
            typed,
            looked: None,
            shown: [None, None],
            seen: Seen::NotYet,
            problem: None,
            errand: None,
            led_to: "./",
        }
    }

    /// Other accounts, or those of the move of this name, which was begun. What was found out about these is forgotten; their answers
    /// are kept.
    pub fn turn_to(&mut self, begun: Option<&str>) -> Result<(), Failure> {
        self.give_up();
        match begun {
            Some(name) => self.steps.go_on(name)?,
            None => self.steps.begin_anew()?,
        }
        *self = Self::new(self.steps.clone());
        Ok(())
    }

    /// What went wrong at this step last.
    pub fn problem_at(&self, step: Step) -> Option<&Problem> {
        self.problem.as_ref().filter(|(at, _)| *at == step).map(|(_, problem)| problem)
    }

    /// Nothing is waited for any more; the answers stay. Returns where it was asked for.
    pub fn give_up(&mut self) -> &'static str {
        let Some(errand) = self.errand.take() else { return self.led_to };
        errand.over.cancel();
        if errand.about == About::Looking {
            self.seen = Seen::Nothing;
        }
        self.led_to = path(errand.about.step());
        self.led_to
    }

    /// Takes what an errand came to, unless it was given up.
    pub fn take(&mut self, errand: &Arc<Errand>, outcome: Outcome) {
        if self.errand.take_if(|now| Arc::ptr_eq(now, errand)).is_none() {
            return;
        }
        let step = errand.about.step();
        let took = match outcome {
            Outcome::Found(found) => (*found).map(|looked| self.looked = Some(looked)).map_err(Problem::from),
            Outcome::LetIn(side, let_in) => self.let_in(side, let_in),
            Outcome::Seen(seen, chosen) => self.have_seen(*seen, chosen.map(|chosen| *chosen)),
        };
        self.led_to = match took {
            Ok(()) if errand.about == About::Finding => "found",
            Ok(()) => path(self.steps.step()),
            Err(_) => path(step),
        };
        if let Err(problem) = took {
            self.problem = Some((step, problem));
        }
        errand.over.cancel();
    }

    fn let_in(
        &mut self,
        side: &'static str,
        let_in: Result<crate::steps::LetIn, NotLetIn>,
    ) -> Result<(), Problem> {
        match let_in {
            Ok(let_in) => {
                self.seen = Seen::NotYet;
                Ok(self.steps.let_in(side, let_in)?)
            }
            Err(NotLetIn::Failure(failure)) => Err(failure.into()),
            Err(NotLetIn::End(error)) => {
                if let EndError::Untrusted { shown, .. } = &error {
                    self.shown[usize::from(side == SIDES[1])] = *shown;
                }
                Err(error.plainly().into())
            }
        }
    }

    fn have_seen(&mut self, seen: Result<Checked, Failure>, chosen: Option<Chosen>) -> Result<(), Problem> {
        self.seen = Seen::Nothing;
        self.seen = Seen::All(Box::new(seen?));
        match chosen {
            Some(chosen) => self.settle(&chosen),
            None => Ok(()),
        }
    }

    /// What a page of step 4 was sent back with, if that page still says what is so. It is written down; it is made only by
    /// [`Desk::settle`].
    pub fn choose(&mut self, ticked: Ticked) -> Result<Chosen, Problem> {
        let before = self.steps.answers().choice.clone();
        let shown = self.seen.plan().filter(|plan| pages::choose::shown(plan, &before) == ticked.plan);
        let Some(shown) = shown.cloned() else {
            self.seen = Seen::NotYet;
            return Err(Problem::changed());
        };
        let boxes = pages::choose::boxes(&shown, &before);
        let left = boxes.iter().enumerate().filter(|(at, _)| !ticked.moves.contains(at));
        let leave_out: Vec<String> = left.map(|(_, name)| (*name).to_owned()).collect();
        if leave_out.len() == boxes.len() {
            return Err(Problem::new(texts::NOTHING_MOVES, texts::NOTHING_MOVES_NEXT));
        }
        let already_there = ticked.already_there.or(before.already_there);
        let accepted = if ticked.is_agreed { words::will_not_move(&shown) } else { Vec::new() };
        let into = ticked.into;
        let repair = ticked.repair;
        let choice =
            Choice { made: false, leave_out, into, already_there, accepted, repair, ..before.clone() };
        self.steps.choose(choice.clone())?;
        let moves_otherwise = (&choice.leave_out, &choice.into) != (&before.leave_out, &before.into);
        Ok(Chosen { choice, shown, moves_otherwise })
    }

    /// Makes the choice, if nothing about it is left open and nothing moves that the page did not show.
    pub fn settle(&mut self, chosen: &Chosen) -> Result<(), Problem> {
        let choice = &chosen.choice;
        if !self.seen.plan().is_none_or(|now| is_part_of(now, &chosen.shown)) {
            return Err(Problem::moves_otherwise());
        }
        let free = self.seen.all().filter(|checked| !is_blocked(checked));
        let Some(moving) = free.and_then(|checked| checked.moving.as_ref()) else {
            return Err(Problem::new(texts::IN_THE_WAY, texts::LOOK_AGAIN));
        };
        let lines = words::will_not_move(&moving.plan);
        if !lines.iter().all(|line| choice.accepted.contains(line)) {
            return Err(Problem::new(texts::WILL_NOT_MOVE_MISSING, texts::WILL_NOT_MOVE_MISSING_NEXT));
        }
        if holds_mail(&moving.plan) && choice.already_there.is_none() {
            return Err(Problem::new(texts::THERE_ALREADY_MISSING, texts::THERE_ALREADY_MISSING_NEXT));
        }
        let made = choice.clone().made_of(&moving.plan);
        Ok(self.steps.choose(made)?)
    }
}
