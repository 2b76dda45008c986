//! The sources that are asked over https. No password is ever given, and what was sent elsewhere is believed less.

use super::address::Address;
use super::{Answer, Candidate, Outcome, Source, Trust, autoconfig, autodiscover};
use crate::net::{Http, Page};

/// Status codes of pages that want a login first.
const WANTS_LOGIN: [u16; 2] = [401, 403];

/// One place of Mozilla's autoconfig.
pub(super) async fn autoconfig(http: &Http, address: &Address, source: Source, url: String) -> Answer {
    let outcome = match http.page(&url).await {
        Ok(page) => of_page(address, &page, |trust| autoconfig::read(address, &page.body, source, trust)),
        Err(why) => Outcome::Silent(why),
    };
    Answer { source, asked: host_of(&url), outcome }
}

/// Autodiscover: the XML form, and where that names nothing, the JSON form.
pub(super) async fn autodiscover(http: &Http, address: &Address) -> Answer {
    let url = autodiscover::url(address);
    let body = autodiscover::question(address);
    let mut outcome = match http.ask_page(&url, &body).await {
        Ok(page) => of_page(address, &page, |trust| autodiscover::read(address, &page.body, trust)),
        Err(why) => Outcome::Silent(why),
    };
    if matches!(outcome, Outcome::Nothing(_))
        && let Ok(page) = http.page(&autodiscover::json_url(address)).await
        && page.status == 200
        && let Some(found) = autodiscover::read_json(address, &page.body, trust(address, &page))
    {
        outcome = Outcome::Found(vec![found]);
    }
    Answer { source: Source::Autodiscover, asked: host_of(&url), outcome }
}

fn of_page(
    address: &Address,
    page: &Page,
    read: impl FnOnce(Trust) -> Result<Vec<Candidate>, String>,
) -> Outcome {
    match page.status {
        200 => match read(trust(address, page)) {
            Ok(found) => Outcome::Found(found),
            Err(why) => Outcome::Nothing(format!("{}: {why}", page.host)),
        },
        404 | 410 => Outcome::Nothing("there is no such page".into()),
        status if WANTS_LOGIN.contains(&status) => {
            Outcome::Nothing("it wants a password before it answers; none is given".into())
        }
        status => Outcome::Nothing(format!("it answers with status {status}")),
    }
}

/// A host of the domain itself speaks for it; one that it was sent to speaks for itself.
fn trust(address: &Address, page: &Page) -> Trust {
    if address.is_at_home(&page.host) { Trust::Domain } else { Trust::Elsewhere }
}

fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}
