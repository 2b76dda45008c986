use super::*;

fn checks(weight: &[Weight]) -> Checked {
    let side = || Checks {
        account: "imaps://ann@old.example:993".into(),
        abilities: None,
        connections: None,
        alone: None,
    };
    let remark = |weight: &Weight| Remark::new(*weight, None, "x".into(), "");
    let remarks = weight.iter().map(remark).collect();
    Checked { source: side(), target: side(), moving: None, probed: None, remarks }
}

#[test]
fn the_heaviest_remark_gives_the_verdict_and_the_exit_code_of_docs_cli() {
    use Weight::{Blocks, Decide, Worth};
    for (weights, verdict, code) in [
        (&[][..], Verdict::Ready, 0),
        (&[Worth], Verdict::ReadyWithRemarks, 0),
        (&[Worth, Decide], Verdict::NotReady, 2),
        (&[Decide, Blocks(14)], Verdict::NotReady, 14),
        (&[Blocks(13), Blocks(12), Decide], Verdict::NotReady, 12),
        (&[Blocks(12), Blocks(1)], Verdict::NotReady, 1),
    ] {
        let checked = checks(weights);
        assert_eq!((checked.verdict(), checked.exit_code()), (verdict, code), "{weights:?}");
    }
}

#[test]
fn a_certificate_that_ends_soon_is_spoken_of_and_another_is_not() {
    let of = |not_after| {
        let certificate = crate::net::Certificate { subject: "a".into(), issuer: "b".into(), not_after };
        let abilities = Abilities { certificate: Some(certificate), ..Abilities::default() };
        let side =
            Checks { account: String::new(), abilities: Some(abilities), connections: None, alone: None };
        let none = Checks { account: String::new(), abilities: None, connections: None, alone: None };
        judge(&side, &none, None, None, 1_000_000)
    };
    let day = 86_400;
    assert_eq!(of(1_000_000 + 14 * day), []);
    let remarks = of(1_000_000 + 14 * day - 1);
    assert!(remarks[0].what.contains("ends in 13 days"), "{remarks:?}");
    assert_eq!(remarks[0].side, Some(SideName::Source));
}

#[test]
fn rights_of_rfc_2086_stand_for_several_of_rfc_4314() {
    let older = Rights::new("lrswipcda");
    assert!("lrswikxte".chars().all(|right| older.has(right)));
    let newer = Rights::new("lrswi");
    assert!("kxte".chars().all(|right| !newer.has(right)));
}

#[test]
fn a_remark_has_words_for_whoever_types_no_options() {
    let new = Some(SideName::Target);
    let room = Remark::new(Weight::Worth, new, "it is small".into(), "ask for more; or move a part: --since");
    assert_eq!(room.lines(), ["Remark: new account: it is small", "  ask for more; or move a part: --since"]);
    assert_eq!(room.plain.what, "Your new mailbox: it is small.");
    assert_eq!(room.plain.next.as_deref(), Some("Ask for more; or move a part."));
    let view = "“old --mail” may show mail that lies in other folders, too; it is copied like any other; --exclude leaves it out";
    let view = Remark::new(Weight::Worth, None, view.into(), "");
    assert!(view.what.contains("--exclude") && !view.plain.what.contains("--exclude"), "{view:?}");
    assert!(view.plain.what.starts_with("“old --mail” may show"), "{view:?}");
    let locked = judge::of_plan("“Work” could not be opened and is tried again: NO [INUSE] locked");
    assert_eq!(locked.plain.what, "“Work” could not be opened and is tried again.");
    assert_eq!(locked.plain.details, ["NO [INUSE] locked"]);
}

#[test]
fn a_server_that_decided_who_is_in_is_spoken_of_with_the_name_that_was_given() {
    let of = |preauthenticated| {
        let abilities = Abilities { preauthenticated, user: "ann".into(), ..Abilities::default() };
        let side =
            Checks { account: String::new(), abilities: Some(abilities), connections: None, alone: None };
        let none = Checks { account: String::new(), abilities: None, connections: None, alone: None };
        judge(&none, &side, None, None, 0)
    };
    assert_eq!(of(false), []);
    let [remark] = of(true).try_into().unwrap();
    assert!(remark.what.contains("before we said who we are") && remark.what.contains("ann"), "{remark:?}");
    assert_eq!((remark.weight, remark.side), (Weight::Worth, Some(SideName::Target)));
}
