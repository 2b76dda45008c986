//! One of several addresses (RFC 8305, in a small form): families take turns, the next attempt begins a quarter of a second after
//! the last or as soon as that fails, and the first that connects wins. Addresses that drop packets hide no good one.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 8305, 5: Connection Attempt Delay.
const NEXT_BEGINS_AFTER: Duration = Duration::from_millis(250);

/// The first connection that is made; each attempt may take `limit`. In words why there is none.
pub(super) async fn first_of<T, F>(
    addresses: &[SocketAddr],
    limit: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, String>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = in_turns(addresses);
    let mut open = FuturesUnordered::new();
    let mut why = "it has no address".to_owned();
    loop {
        if let Some(address) = waiting.pop_front() {
            let attempt = tokio::time::timeout(limit, connect(address));
            open.push(async move { (address, attempt.await) });
        }
        let ended = if waiting.is_empty() {
            open.next().await
        } else {
            match tokio::time::timeout(NEXT_BEGINS_AFTER, open.next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            None => return Err(why),
            Some((_, Ok(Ok(made)))) => return Ok(made),
            Some((address, Ok(Err(error)))) => why = format!("{address}: {error}"),
            Some((address, Err(_))) => why = format!("{address}: no answer within {} s", limit.as_secs()),
        }
    }
}

/// The families in turns, that of the first address first; within a family as the name service gave them (RFC 8305, 4).
fn in_turns(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let first = addresses.first().map(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<SocketAddr>, VecDeque<SocketAddr>) =
        addresses.iter().copied().partition(|address| Some(address.is_ipv6()) == first);
    let mut turns = VecDeque::new();
    while !one.is_empty() || !other.is_empty() {
        turns.extend(one.pop_front());
        turns.extend(other.pop_front());
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(20);

    fn addresses(of: &[&str]) -> Vec<SocketAddr> {
        of.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What came of addresses of which those in `dead` never answer, those in `closed` refuse, and the rest are reached: which, how
    /// long it took, and when each was tried.
    async fn raced(
        of: &[&str],
        dead: &str,
        closed: &str,
    ) -> (Result<SocketAddr, String>, Duration, Vec<(SocketAddr, Duration)>) {
        let (began, tried) = (Instant::now(), Mutex::new(Vec::new()));
        let connect = |address: SocketAddr| {
            tried.lock().unwrap().push((address, began.elapsed()));
            let is_in = |list: &str| list.split(' ').any(|a| a == address.ip().to_string());
            let (is_dead, is_closed) = (is_in(dead), is_in(closed));
            async move {
                match (is_dead, is_closed) {
                    (true, _) => std::future::pending().await,
                    (_, true) => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                    _ => Ok(address),
                }
            }
        };
        let made = first_of(&addresses(of), LIMIT, connect).await;
        let took = began.elapsed();
        (made, took, tried.into_inner().unwrap())
    }

    const SIX: [&str; 4] = ["[2001:db8::1]:993", "[2001:db8::2]:993", "[2001:db8::3]:993", "192.0.2.1:993"];
    const DEAD: &str = "2001:db8::1 2001:db8::2 2001:db8::3";

    #[tokio::test(start_paused = true)]
    async fn dead_addresses_of_one_family_do_not_hide_a_good_one_of_the_other() {
        let (made, took, tried) = raced(&SIX, DEAD, "").await;
        assert_eq!(made.unwrap(), addresses(&["192.0.2.1:993"])[0]);
        assert_eq!((took, tried.len()), (NEXT_BEGINS_AFTER, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_lets_the_next_begin_at_once_and_a_good_first_address_is_the_only_one_tried() {
        let (made, took, _) = raced(&SIX, "", &format!("{DEAD} 192.0.2.1")).await;
        assert!(made.unwrap_err().contains("refused"));
        assert_eq!(took, Duration::ZERO);
        let (made, _, tried) = raced(&SIX, "", "").await;
        assert_eq!((made.unwrap(), tried.len()), (addresses(&SIX)[0], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_answers_the_attempts_end_after_the_limit_of_the_last() {
        let (made, took, tried) = raced(&SIX, &format!("{DEAD} 192.0.2.1"), "").await;
        assert!(made.unwrap_err().contains("no answer within 20 s"));
        assert_eq!(took, LIMIT + 3 * NEXT_BEGINS_AFTER);
        let when: Vec<_> = tried.iter().map(|(_, at)| *at).collect();
        assert_eq!(when, [0, 1, 2, 3].map(|n| n * NEXT_BEGINS_AFTER));
        let order: Vec<_> = tried.into_iter().map(|(address, _)| address).collect();
        assert_eq!(order, addresses(&[SIX[0], SIX[3], SIX[1], SIX[2]]));
        let (made, ..) = raced(&[], "", "").await;
        assert_eq!(made.unwrap_err(), "it has no address");
    }
}
