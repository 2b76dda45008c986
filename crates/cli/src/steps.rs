//! The five steps, without a face: what is asked is the business of the guided terminal and of the local page; here it is
//! remembered, looked at, logged in with and carried out. Every answer is written down, but no secret is: those are in memory.

pub mod answers;
pub mod beside;
pub mod kept;
pub mod look;
pub mod words;

use crate::account::Account;
use crate::args::{CommonArgs, StepsArgs};
use crate::command::{Keep, Ready, opener, ready_in};
use crate::error::Failure;
use crate::find::{self, Asked, Place, Proposed};
use crate::secrets::Ask;
use crate::signing_key;
use answers::{Answer, Answers, Choice, SignIn};
use kept::{Kept, Others, Unkept};
use mailhaul_engine::config::{Agreed, Credentials, FixedPassword};
use mailhaul_engine::error::EndError;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{Journal, RunId, State};
use mailhaul_engine::oauth::Person;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The old account, and the new one: `from` and `to`, as the options call them.
pub const SIDES: [&str; 2] = ["from", "to"];

/// The way to a moved mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Both addresses are given, and both servers are known.
    Requirements,
    /// The old account lets us in.
    Old,
    /// So does the new one.
    New,
    /// It is decided what moves.
    Choose,
    /// It moves, and is compared.
    Move,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Requirements, Self::Old, Self::New, Self::Choose, Self::Move];

    /// 1 to 5.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|step| *step == self).map_or(0, |at| at + 1)
    }

    /// The one after it; the last one is its own.
    pub fn after(self) -> Self {
        Self::ALL.into_iter().find(|step| *step > self).unwrap_or(self)
    }

    /// The one before it; the first one has none.
    pub fn before(self) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|step| *step < self)
    }
}

/// One move being prepared. A copy of it asks servers while the page goes on with the original; nothing that waits for a server changes it.
#[derive(Clone)]
pub struct Steps {
    /// What was said beside the answers.
    further: Vec<String>,
    kept: Kept,
    answers: Answers,
    /// Where an account let us in, by what.
    let_in: [Option<Arc<dyn Credentials>>; 2],
}

/// What was found out about one side, to be shown before anybody agrees to it.
pub struct Looked {
    answer: Answer,
    /// The server and the user, and how they were found.
    pub proposed: Proposed,
}

/// An account that let us in.
pub struct LetIn {
    account: Account,
    credentials: Arc<dyn Credentials>,
}

/// Why an account does not let us in.
pub enum NotLetIn {
    /// What its server, or the way to it, said.
    End(EndError),
    /// Something before that.
    Failure(Failure),
}

impl From<Failure> for NotLetIn {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Steps {
    /// With what has no pair of accounts yet: nothing, or addresses that somebody typed and left.
    ///
    /// # Errors
    /// There is no folder for it, or that is closed.
    pub fn open(args: &StepsArgs) -> Result<Self, Failure> {
        let (kept, answers) = Kept::unfinished()?;
        Ok(Self { further: args.options(), kept, answers, let_in: [None, None] })
    }

    /// Goes on with a move that was begun, by the name of its file.
    ///
    /// # Errors
    /// Another window is at work on it; it cannot be read.
    pub fn go_on(&mut self, name: &str) -> Result<(), Failure> {
        if self.kept.is_of(name) {
            return Ok(());
        }
        let kept = Kept::of(name)?;
        if !kept.exists() {
            return Err(Failure::usage("what was answered about this move is gone"));
        }
        (self.answers, self.let_in) = (kept.read()?, [None, None]);
        self.kept = kept;
        Ok(())
    }

    /// Other accounts. What was answered about these is kept, as are journals, reports and mail.
    pub fn begin_anew(&mut self) -> Result<(), Failure> {
        self.let_in = [None, None];
        if self.kept.is_unfinished() {
            self.answers = Answers::default();
            return self.write_down();
        }
        (self.kept, self.answers) = Kept::unfinished()?;
        Ok(())
    }

    /// Moves beside this one.
    pub async fn others(&self) -> Others {
        let mut others = kept::all().await;
        others.begun.retain(|begun| !self.kept.is_of(&begun.name));
        others.done.retain(|begun| !self.kept.is_of(&begun.name));
        others
    }

    /// Why nothing of what is answered is written down; `None` where it is.
    pub fn unkept(&self) -> Option<Unkept> {
        self.kept.unkept()
    }

    /// Gives answers that cannot be read another name: where they are then.
    ///
    /// # Errors
    /// They could not be.
    pub fn set_aside(&mut self, name: &str) -> Result<PathBuf, Failure> {
        let aside = kept::set_aside(name)?;
        if self.kept.is_free(name) {
            // What was answered meanwhile is written down from now on.
            self.write_down()?;
        }
        Ok(aside)
    }

    /// A run begins: the move is not at its end.
    pub fn run_begins(&mut self) -> Result<(), Failure> {
        if self.answers.report.take().is_some() { self.write_down() } else { Ok(()) }
    }

    /// A run ended, with its report in this folder. `at_its_end`: the run, if it left nothing to be moved.
    pub fn run_ended(&mut self, at_its_end: Option<RunId>, report: &Path) -> Result<(), Failure> {
        self.answers.report = None;
        if let Some(run) = at_its_end {
            self.answers.came_to_its_end(run, report);
        }
        self.consent_is_kept()?;
        self.write_down()
    }

    /// What was answered so far.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// What was typed of both accounts last, whether or not its servers are known.
    pub fn typed(&self) -> [Answer; 2] {
        let agreed = || [self.answers.from.clone(), self.answers.to.clone()];
        self.answers.typed.clone().unwrap_or_else(agreed)
    }

    /// A person typed this: it is kept, whatever comes of it.
    pub fn type_in(&mut self, typed: [Answer; 2]) -> Result<(), Failure> {
        let is_agreed = typed == [self.answers.from.clone(), self.answers.to.clone()];
        self.answers.typed = Some(typed).filter(|_| !is_agreed);
        self.write_down()
    }

    /// The first step that is not done.
    pub fn step(&self) -> Step {
        let [old, new] = &self.let_in;
        if self.answers.from.accounts.is_empty() || self.answers.to.accounts.is_empty() {
            Step::Requirements
        } else if old.is_none() {
            Step::Old
        } else if new.is_none() {
            Step::New
        } else if !self.answers.choice.made {
            Step::Choose
        } else {
            Step::Move
        }
    }

    /// True where this account has let us in.
    pub fn is_in(&self, side: &str) -> bool {
        self.let_in[usize::from(side == "to")].is_some()
    }

    /// Finds the servers of both accounts, as far as they are not named and not known from an earlier run. Nobody logs in.
    ///
    /// # Errors
    /// What was typed cannot be meant, by side; or both are the same account.
    pub async fn look_for(&self, typed: [Answer; 2]) -> Result<[Result<Looked, Failure>; 2], Failure> {
        let [from, to] = typed;
        let both = Answers { from, to, ..Answers::default() };
        let args = both.args(&self.further)?;
        let asked = Asked::of(&args.place)?;
        if asked.journal.exists()
            && let Ok(place) = find::known_place(&args.place).await
        {
            let known =
                |answer: Answer, account| Ok(Looked { answer, proposed: Proposed { account, found: None } });
            return Ok([known(both.from, place.from), known(both.to, place.to)]);
        }
        let (from, to) = tokio::join!(
            find::propose("from", &asked.from, &args, &args.from_fingerprint),
            find::propose("to", &asked.to, &args, &args.to_fingerprint)
        );
        if let (Ok(from), Ok(to)) = (&from, &to)
            && from.account == to.account
        {
            return Err(find::same_account(true));
        }
        let looked = |answer, proposed| Ok(Looked { answer, proposed: proposed? });
        Ok([looked(both.from, from), looked(both.to, to)])
    }

    /// A person agreed to what was found. If a move of this pair was begun before, its answers hold.
    pub fn agree(&mut self, looked: [Looked; 2]) -> Result<(), Failure> {
        let here = self.answers.clone();
        let is_same = SIDES.into_iter().zip(&looked).all(|(side, looked)| looked.is_of(here.side(side)));
        let (before, left) = if is_same { (here.clone(), None) } else { self.take_up(&looked)? };
        let mut answers = Answers::default();
        for (side, looked) in SIDES.into_iter().zip(looked) {
            let known = [&before, &here].map(|answers| answers.side(side));
            let known = known.into_iter().find(|before| looked.is_of(before)).cloned();
            // A certificate was vouched for at the server that showed it.
            let accounts = looked.accounts();
            *answers.side_mut(side) =
                known.unwrap_or(Answer { accounts, fingerprint: None, ..looked.answer });
        }
        if before.from.accounts == answers.from.accounts && before.to.accounts == answers.to.accounts {
            answers.choice = before.choice;
        }
        self.answers = answers;
        self.write_down()?;
        // Only now: what it holds is written down elsewhere.
        left.inspect(Kept::remove_unfinished);
        Ok(())
    }

    /// The answers of this pair, which are those that are written down from now on; and the file that is left for them.
    fn take_up(&mut self, looked: &[Looked; 2]) -> Result<(Answers, Option<Kept>), Failure> {
        let [from, to] = looked.each_ref().map(|looked| looked.answer.clone());
        let args = Answers { from, to, ..Answers::default() }.args(&self.further)?;
        let journal = Asked::of(&args.place)?.journal;
        let name = journal.file_name().unwrap_or_default().to_string_lossy();
        if self.kept.is_of(&name) {
            self.let_in = [None, None];
            return Ok((self.answers.clone(), None));
        }
        let kept = Kept::of(&name)?;
        let before = kept.read()?;
        if !self.kept.is_unfinished() {
            // The move that is left is none of what was typed for this one.
            self.kept.write(&Answers { typed: None, ..self.answers.clone() })?;
        }
        self.let_in = [None, None];
        Ok((before, Some(std::mem::replace(&mut self.kept, kept))))
    }

    /// Logs in to one side by a password, or as [`SignIn`] says where there is none. Where two forms of the user name are
    /// possible, the second is tried after the first was refused, and `tell` hears of it. `person`: who logs in at an issuer.
    ///
    /// # Errors
    /// Why it did not let us in.
    pub async fn log_in(
        &self,
        side: &'static str,
        password: Option<Zeroizing<String>>,
        person: Arc<dyn Person>,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<LetIn, NotLetIn> {
        let args = self.answers.args(&self.further)?;
        let place = self.place(&args).await?;
        let accounts = self.answers.side(side).accounts();
        let Some(account) = accounts.first() else {
            return Err(Failure::usage("the account is not known yet").into());
        };
        let ask = match password {
            Some(password) => Ask::Given(Arc::new(FixedPassword::new(password.to_string()))),
            None => Ask::Of(person),
        };
        let mut opener = opener(&args, side, account, &place.tokens, ask)?;
        let users: Vec<String> = accounts.iter().map(|account| account.user.clone()).collect();
        find::log_in(&users, &mut opener, tell).await.map_err(NotLetIn::End)?;
        let account = Account { user: opener.account.user.clone(), ..account.clone() };
        Ok(LetIn { account, credentials: opener.account.credentials })
    }

    /// One side let us in: as whom is written down, by what is kept in memory.
    pub fn let_in(&mut self, side: &str, let_in: LetIn) -> Result<(), Failure> {
        self.answers.side_mut(side).accounts = vec![let_in.account.address()];
        self.let_in[usize::from(side == "to")] = Some(let_in.credentials);
        self.write_down()
    }

    /// How one side is logged in to. It has to let us in anew.
    pub fn sign_in_by(&mut self, side: &str, sign_in: SignIn) -> Result<(), Failure> {
        self.answers.side_mut(side).sign_in = sign_in;
        self.let_in[usize::from(side == "to")] = None;
        self.write_down()
    }

    /// A person vouches for the certificate that a server shows.
    pub fn vouch_for(&mut self, side: &str, fingerprint: &[u8; 32]) -> Result<(), Failure> {
        self.answers.side_mut(side).fingerprint = Some(words::hex(fingerprint));
        self.write_down()
    }

    /// What moves. Where that is something else than before, the move is not at its end.
    pub fn choose(&mut self, choice: Choice) -> Result<(), Failure> {
        if !choice.moves_as(&self.answers.choice) {
            self.answers.report = None;
        }
        self.answers.choice = choice;
        self.write_down()
    }

    /// What was chosen is to be looked at once more.
    pub fn choose_again(&mut self) -> Result<(), Failure> {
        let choice = &mut self.answers.choice;
        (choice.made, choice.accepted, choice.already_there, choice.repair) =
            (false, Vec::new(), None, false);
        self.write_down()
    }

    /// A run has kept what was said of repairs: the journal has it from now on, and `--no-repair` takes it back there.
    pub fn consent_is_kept(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.answers.choice.repair) { self.write_down() } else { Ok(()) }
    }

    /// The migration, ready to be checked, planned or carried out. With [`Keep::Nothing`] its journal is made nowhere.
    pub async fn ready(&self, keep: Keep) -> Result<Ready, Failure> {
        self.ready_with(keep, &[]).await
    }

    /// The same, with options of `migrate` beside those of the answers, for this run alone.
    pub async fn ready_with(&self, keep: Keep, more: &[&str]) -> Result<Ready, Failure> {
        if keep == Keep::Journal {
            signing_key::check()?;
        }
        let more = more.iter().map(|option| (*option).to_owned());
        let further: Vec<String> = self.further.iter().cloned().chain(more).collect();
        let args = self.answers.args(&further)?;
        let place = self.place(&args).await?;
        let given = |credentials: &Option<Arc<dyn Credentials>>| match credentials {
            Some(credentials) => Ok(Ask::Given(credentials.clone())),
            None => Err(Failure::usage("an account has not let us in yet")),
        };
        let [old, new] = &self.let_in;
        let mut ready = ready_in(&args, place, [given(old)?, given(new)?], keep).await?;
        let (settings, choice) = (&mut ready.migration.settings, &self.answers.choice);
        settings.selection.without.clone_from(&choice.leave_out);
        settings.accepted.clone_from(&choice.accepted);
        // A look shows what is asked about; only a run keeps the consent.
        settings.consent =
            settings.consent.or(choice.repair.then_some(true).filter(|_| keep == Keep::Journal));
        // The run looks at both accounts itself: between step 4 and it, anything can have changed there.
        let choice = choice.clone();
        settings.agreed = Some(Agreed::to(move |plan| choice.fits(plan)));
        Ok(ready)
    }

    /// How many messages an earlier run of this move could not move; none where there was none.
    pub async fn left_over(&self) -> u64 {
        let asked = self.answers.args(&self.further).and_then(|args| Asked::of(&args.place));
        let journal = asked.ok().and_then(|asked| SqliteJournal::open_read_only(&asked.journal).ok());
        let counts = match journal {
            Some(journal) => journal.counts().await.unwrap_or_default(),
            None => Vec::new(),
        };
        counts.iter().filter(|count| count.state == State::Exception).map(|count| count.items).sum()
    }

    /// What was said beside the answers.
    pub fn further(&self) -> &[String] {
        &self.further
    }

    /// Both accounts, and where their migration is kept: what an earlier run pinned, or what was agreed to.
    async fn place(&self, args: &CommonArgs) -> Result<Place, Failure> {
        let asked = Asked::of(&args.place)?;
        if asked.journal.exists() {
            let place = find::known_place(&args.place).await?;
            for (side, account) in SIDES.into_iter().zip([&place.from, &place.to]) {
                // A password goes to nobody but whom it was typed for.
                if !self.answers.side(side).accounts().contains(account) {
                    let what = format!(
                        "this move began with another {} server: {} at {}",
                        words::which(side),
                        account.user,
                        find::server_url(&account.endpoint)
                    );
                    return Err(Failure::usage(what).hint("go back to the first step, and look at it there"));
                }
            }
            return Ok(place);
        }
        let account = |answer: &Answer| {
            let first = answer.accounts().into_iter().next();
            first.ok_or_else(|| Failure::usage("an account is not known yet"))
        };
        asked.place(account(&self.answers.from)?, account(&self.answers.to)?, [None, None])
    }

    fn write_down(&self) -> Result<(), Failure> {
        self.kept.write(&self.answers)
    }
}

impl Looked {
    /// True where this was answered about the same account: what let us in is one of the forms that were tried.
    fn is_of(&self, before: &Answer) -> bool {
        let accounts = self.accounts();
        before.written == self.answer.written
            && !before.accounts.is_empty()
            && before.accounts.iter().all(|account| accounts.contains(account))
    }

    /// The accounts to try: one for each form of the user name.
    fn accounts(&self) -> Vec<String> {
        let account = &self.proposed.account;
        let proposal = self.proposed.found.as_ref().and_then(|d| d.proposal.as_ref());
        let users = proposal.map_or(vec![account.user.clone()], |p| p.candidate.users.clone());
        users.into_iter().map(|user| Account { user, ..account.clone() }.address()).collect()
    }
}
