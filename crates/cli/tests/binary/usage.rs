//! What was typed wrongly is exit 2 with the right way, and the stable names are there.

use crate::accounts::{program, ran};

#[tokio::test]
async fn wrong_usage_is_exit_2_and_names_the_option() {
    for (arguments, words) in [
        (&["migrate"][..], "--from"),
        (&["migrate", "--from", "ann@old.example", "--to", "imaps://a@b"], "--from-server"),
        (&["migrate", "--from", "imaps://a@b", "--to", "imaps://a@b"], "same account"),
        (&["migrate", "--from", "imaps://a:pw@b", "--to", "imaps://a@c"], "password"),
        (&["migrate", "--from", "pop3://a@b", "--to", "imaps://a@c"], "imaps://"),
        (
            &["migrate", "--from", "imaps://a@b", "--to", "imaps://a@c", "--since", "yesterday"],
            "a day like 2020-01-31",
        ),
        (&["migrate", "--from", "imaps://a@b", "--to", "imaps://a@c", "--map", "x"], "SOURCE=TARGET"),
        (&["migrate", "--from", "imaps://a@b", "--to", "imaps://a@c", "--max-rate", "0"], "bytes per second"),
        (&["migrate", "--from", "imaps://a@b", "--to", "imaps://a@c", "--to-daily", "1M/s"], "bytes a day"),
        (&["check", "--from", "imaps://a@b", "--to", "imaps://a@c"], "MAILHAUL_FROM_PASSWORD"),
        (&["migrate", "--from", "imaps://a@b", "--to", "imaps://a@c", "--to-fingerprint", "12"], "SHA-256"),
        (&["nonsense"], "nonsense"),
        (&["migrate", "--adopt", "--append-anyway"], "cannot be used with"),
    ] {
        let ran = ran(&mut program(arguments)).await.expect(2);
        assert!(ran.stderr.contains(words), "{words:?} is missing in {ran:#?}");
        assert!(!ran.said().contains(":pw"), "{ran:#?}");
    }
}

#[tokio::test]
async fn the_stable_names_are_in_the_help() {
    let accounts = [
        "--from",
        "--to",
        "--from-server",
        "--to-server",
        "--from-user",
        "--to-user",
        "--from-auth-user",
        "--to-auth-user",
        "--from-password-file",
        "--to-password-file",
        "--from-auth-form",
        "--to-auth-form",
        "--from-mechanism",
        "--to-mechanism",
        "--from-certificate",
        "--to-key",
        "--from-oauth",
        "--to-oauth-client",
        "--from-oauth-flow",
        "--from-oauth-tenant",
        "--from-oauth-scope",
        "--from-oauth-secret-file",
        "--from-oauth-key-file",
        "--to-oauth-certificate-file",
        "--from-token-command",
        "--to-token-command",
        "--from-password-command",
        "--to-password-command",
        "--ca-file",
        "--from-fingerprint",
        "--to-fingerprint",
        "--danger-accept-invalid-certs",
        "--journal",
        "--report",
        "--mailbox",
        "--exclude",
        "--map",
        "--into",
        "--since",
        "--verify",
        "--connections",
        "--max-rate",
        "--adopt",
        "--append-anyway",
        "--retry",
        "--yes",
        "--json",
        "--progress",
        "--color",
        "--log",
    ];
    for verb in ["check", "plan", "migrate", "verify", "undo"] {
        let help = ran(&mut program(&[verb, "--help"])).await.expect(0).stdout;
        for name in accounts {
            assert!(
                help.contains(&format!("{name} ")) || help.contains(&format!("{name}\n")),
                "{verb} {name}"
            );
        }
    }
    for (verb, name) in [("verify", "--reread-source"), ("migrate", "--dry-run"), ("status", "--journal")] {
        assert!(ran(&mut program(&[verb, "--help"])).await.expect(0).stdout.contains(name), "{verb} {name}");
    }
}

#[tokio::test]
async fn the_usage_line_says_which_account_comes_first() {
    for verb in ["check", "plan", "migrate", "verify", "status", "report", "undo"] {
        let help = ran(&mut program(&[verb, "--help"])).await.expect(0);
        let usage = help.stdout.lines().find(|line| line.starts_with("Usage:")).unwrap().to_owned();
        assert_eq!(usage, format!("Usage: mailhaul {verb} [OPTIONS] [OLD] [NEW]"), "{help:#?}");
    }
    ran(&mut program(&["status", "ann@old.example"])).await.expect(2).says("NEW");
    let both = ["status", "ann@old.example", "ann@new.example", "--to", "bob@new.example"];
    ran(&mut program(&both)).await.expect(2).says("cannot be used with");
}
