//! Labels over several runs: what a run could not know or not do, and what changed at Gmail before the next one.

use super::{account, by_number, deliver, left_out, moved, shelves};
use mailhaul_engine::config::Selection;
use mailhaul_sandbox::Profile;

#[tokio::test(start_paused = true)]
async fn a_label_left_out_by_name_leaves_out_no_mail_that_another_label_would_have_brought() {
    let source = Profile { hidden: vec!["Work".into()], ..Profile::gmail() };
    let mut world = account(source, Profile::default());
    deliver(&world.source, "Family/Old", &[9]);
    deliver(&world.source, "Bills", &[9, 10]);
    deliver(&world.source, "Work", &[9]);
    // Not hidden, and it brings 11 by itself.
    deliver(&world.source, "Bills", &[11]);
    deliver(&world.source, "Shown", &[11]);
    world.selection = Selection { exclude: vec!["Bills".into(), "Family/*".into()], ..Selection::default() };
    moved(&world).await;
    let there = shelves(&world.target);
    assert_eq!(there["Archive"], [2, 5, 6, 9], "Work, which IMAP hides, would have brought 9");
    assert_eq!(there["Shown"], [11]);
    let mail = by_number(&world).await;
    assert_eq!((mail.there, mail.left_out), (11, 1), "10 has no label but those left out");
    assert_eq!(left_out(&world).await["exclude:Bills"], 1);
}
