//! The documents in the program: the list, a page, a part of one, as text and as JSON; what is asked for wrongly.

use crate::accounts::{program, ran};

#[tokio::test]
async fn the_documents_are_listed_and_each_is_shown() {
    let list = ran(&mut program(&["docs"])).await.expect(0).stdout;
    for (name, title) in
        [("start-here", "Start here"), ("login", "Logging in"), ("from-gmail", "Moving from Gmail")]
    {
        assert!(list.lines().any(|line| line.trim().starts_with(name) && line.ends_with(title)), "{list}");
    }
    let widest = list.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 80, "{widest} columns: {list}");
    let names: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let shown = ran(&mut program(&["docs", name])).await.expect(0);
        assert!(shown.stdout.lines().nth(1).is_some_and(|line| line.starts_with("==")), "{shown:#?}");
        // A pipe gets plain text.
        assert!(!shown.stdout.contains('\u{1b}') && shown.stderr.is_empty(), "{shown:#?}");
    }
}

#[tokio::test]
async fn a_part_of_a_page_is_shown_by_its_heading_in_either_form() {
    let by_link = ran(&mut program(&["docs", "login", "a-client-id-of-google"])).await.expect(0).stdout;
    assert!(
        by_link.starts_with("A client id of Google\n")
            && by_link.contains("1. Open console.cloud.google.com")
    );
    assert!(!by_link.contains("entra.microsoft.com"), "the next part is another one: {by_link}");
    for words in [
        &["docs", "login", "A client id of Google"][..],
        &["docs", "login", "a", "client", "id", "of", "google"],
        &["docs", "docs/login.md#a-client-id-of-google"],
    ] {
        assert_eq!(ran(&mut program(words)).await.expect(0).stdout, by_link, "{words:?}");
    }
}

#[tokio::test]
async fn a_page_or_a_heading_that_is_not_there_is_exit_2_and_says_what_there_is() {
    ran(&mut program(&["docs", "nothing"]))
        .await
        .expect(2)
        .says("no page “nothing”")
        .says("`mailhaul docs` lists them");
    let unknown = ran(&mut program(&["docs", "login", "nothing"])).await.expect(2);
    unknown.says("no heading “nothing”").says("it has: logging-in, which-way");
    ran(&mut program(&["docs", "login", "a-client"]))
        .await
        .expect(2)
        .says("a-client-id-of-google, a-client-id-of-microsoft");
    let json = ran(&mut program(&["docs", "nothing", "--json"])).await.expect(2).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["exit"], 2);
}

#[tokio::test]
async fn programs_get_the_documents_as_json() {
    let of = async |arguments: &[&str]| {
        let said = ran(&mut program(arguments)).await.expect(0).stdout;
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    let all = of(&["docs", "--json"]).await;
    let login = all["pages"].as_array().unwrap().iter().find(|page| page["page"] == "login").unwrap();
    assert!(login["headings"].as_array().unwrap().iter().any(|heading| heading == "google"), "{login}");
    let part = of(&["docs", "login", "google", "--json"]).await;
    assert_eq!((part["page"].as_str(), part["heading"].as_str()), (Some("login"), Some("google")));
    assert!(part["markdown"].as_str().unwrap().starts_with("## Google\n"), "{part}");
}

/// Also where the terminal that it was started from is narrower.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_gets_80_columns() {
    let folder = tempfile::tempdir().unwrap();
    let script = "stty cols 40; \"$0\" \"$@\" > shown; echo done";
    let arguments = ["docs", "troubleshooting"].map(Into::into);
    let mut terminal = crate::pty::Terminal::below(&["sh", "-c", script], &arguments, folder.path());
    terminal.says("done");
    assert_eq!(terminal.ends().0, 0);
    let shown = std::fs::read_to_string(folder.path().join("shown")).unwrap();
    let widest = shown.lines().filter(|line| !line.starts_with(' ')).map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|widest| (70..=80).contains(&widest)), "{widest:?}: {shown}");
}
