//! Families of servers as the sandbox simulates them: the sample account moves in and out, an audit that shares no code with the
//! engine holds report and manifest against both servers, and the next run sends nothing. A profile that we wrote proves the
//! engine and not the server (docs/servers.md).

use crate::wire::{PASSWORD, USER, World, facts, opener, overheard};
use mailhaul_engine::journal::Journal as _;
use mailhaul_engine::limits::Limits;
use mailhaul_sandbox::{Profile, Sandbox, demo};
use mailhaul_testkit::account::Account;
use mailhaul_testkit::audit::{Holding, Papers, Tally, audit};
use mailhaul_testkit::mutf7;
use mailhaul_testkit::wire::Endpoint;

/// A profile, the family that is recognised, and whether it puts messages together anew.
struct Case {
    name: &'static str,
    profile: fn() -> Profile,
    family: Option<&'static str>,
    rewrites: bool,
}

const fn case(
    name: &'static str,
    profile: fn() -> Profile,
    family: Option<&'static str>,
    rewrites: bool,
) -> Case {
    Case { name, profile, family, rewrites }
}

const CASES: [Case; 9] = [
    case("Gmail", Profile::gmail, Some("Gmail"), false),
    case("Exchange", Profile::exchange, Some("Exchange"), true),
    case("Microsoft 365", Profile::microsoft_365, Some("Microsoft 365"), true),
    case("Yahoo", Profile::yahoo, Some("Yahoo"), false),
    case("Courier", Profile::courier, Some("Courier"), false),
    case("Domino", Profile::domino, Some("HCL Domino"), true),
    case("Proton Mail Bridge", Profile::proton, Some("Proton Mail Bridge"), true),
    case("IMAP4rev1 alone", Profile::login_alone, None, false),
    case("IMAP4rev2 alone", Profile::revision_2, None, false),
];

/// Puts the sample account into a server of any profile: its names in the server's own form, its roles where it has them.
fn fill(server: &Sandbox, profile: &Profile) {
    let there = server.snapshot(USER);
    for mailbox in demo::source().snapshot(demo::USER) {
        let levels: Vec<&str> = mailbox.name.split('.').skip(1).collect();
        let with_role =
            mailbox.role.as_ref().and_then(|role| there.iter().find(|m| m.role.as_ref() == Some(role)));
        let name = match (levels.is_empty(), with_role) {
            (true, _) => "INBOX".to_owned(),
            (false, Some(mailbox)) => mailbox.name.clone(),
            (false, None) => {
                let d = char::from(profile.delimiter).to_string();
                let own = |level: &&str| match profile.rev2 {
                    true => mutf7::decode(level).unwrap(),
                    false => (*level).to_owned(),
                };
                profile.prefix.to_owned() + &levels.iter().map(own).collect::<Vec<_>>().join(&d)
            }
        };
        server.create(USER, &name, mailbox.role.as_deref(), mailbox.subscribed);
        for message in mailbox.messages {
            server
                .deliver(USER, &name, message.octets, &message.flags.join(" "), &message.internal_date)
                .unwrap();
        }
    }
}

/// Mailboxes of Gmail that show mail which lies in others.
const VIEWS: [&str; 3] = ["[Gmail]/All Mail", "[Gmail]/Starred", "[Gmail]/Important"];

async fn read(server: &Sandbox) -> Holding {
    let listening = server.listen_loopback().await.unwrap();
    let account = Account {
        endpoint: Endpoint::clear(listening.address),
        user: USER.into(),
        password: PASSWORD.into(),
    };
    tokio::task::spawn_blocking(move || Holding::read(&account).unwrap()).await.unwrap()
}

/// Moves the sample account from one profile to the other, audits it, and moves once more: nothing is sent.
async fn moved(what: &str, source: Profile, target: Profile) -> Tally {
    let mut world = World::between(source.clone(), target);
    world.limits = Limits::default();
    world.accepts = true;
    fill(&world.source, &source);
    let (old, before) = (read(&world.source).await, read(&world.target).await);
    assert_eq!(world.migrate().await.left, [], "{what}");
    let (papers, after) = (papers(&world).await, read(&world.target).await);
    let without_views = |holding: &Holding| {
        let mut holding = holding.clone();
        holding.mailboxes.retain(|name, _| !VIEWS.contains(&name.as_str()));
        holding
    };
    let audited = audit(&old, &without_views(&before), &without_views(&after), &papers);
    assert_eq!(audited.findings, Vec::<String>::new(), "{what}");
    assert!(read(&world.source).await == old, "{what}: the source changed");
    let (way, said) = overheard(&world.target);
    world.target_dialer = Some(way);
    world.migrate().await;
    let said = String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
    for verb in [" APPEND ", " CREATE ", " STORE ", " COPY "] {
        assert!(!said.contains(verb), "{what}: the second run says{verb}");
    }
    assert!(said.contains(" LIST "), "{what}: the second run was overheard");
    assert!(read(&world.target).await == after, "{what}: the second run changed the target");
    println!("{what}: {:?}", audited.tally);
    audited.tally
}

async fn papers(world: &World) -> Papers {
    let folder = tempfile::tempdir().unwrap();
    let journal = world.migration().journal;
    let run = journal.runs(1).await.unwrap().pop().map(|run| run.id);
    mailhaul_engine::report::write(&journal, &facts(run), folder.path()).await.unwrap();
    journal.release().await.unwrap();
    Papers::read(folder.path()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_account_moves_into_each_simulated_family_and_the_accounting_holds() {
    let all: u64 = demo::source().snapshot(demo::USER).iter().map(|m| m.messages.len() as u64).sum();
    for case in CASES {
        let tally = moved(&format!("to {}", case.name), Profile::default(), (case.profile)()).await;
        assert_eq!(tally.messages, all, "{}", case.name);
        assert_eq!(tally.semantic > 0, case.rewrites, "{}: {tally:?}", case.name);
        assert_eq!(
            tally.exact + tally.line_ends + tally.semantic + tally.merged,
            all,
            "{}: {tally:?}",
            case.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_account_moves_out_of_each_simulated_family_and_the_accounting_holds() {
    for case in CASES {
        let tally = moved(&format!("from {}", case.name), (case.profile)(), Profile::default()).await;
        let left_out = tally.left_out + tally.unlisted;
        assert_eq!(tally.exact + left_out, tally.messages, "{}: {tally:?}", case.name);
        assert_eq!(left_out > 0, case.name == "Gmail", "{}: {tally:?}", case.name);
    }
}

#[tokio::test]
async fn each_simulated_family_is_recognised_by_what_its_profile_says() {
    for case in CASES {
        let server = Sandbox::new((case.profile)());
        server.add_user(USER, PASSWORD);
        let session =
            mailhaul_engine::imap_session::open(&opener(&server, &Limits::default(), &[])).await.unwrap();
        assert_eq!(session.abilities().family, case.family, "{}", case.name);
    }
}
