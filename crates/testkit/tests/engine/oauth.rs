//! OAuth, against an issuer in the process: each way to a token, each answer of the RFCs, and what comes of tokens that die.

use crate::wire::{self, USER};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use mailhaul_engine::clock::Clock;
use mailhaul_engine::config::{Credentials, Secret, Trust};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::open;
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::{Dialer, Http};
use mailhaul_engine::oauth::{
    Client, ClientProof, How, Issuer as Known, OAuth, Person, ServiceAccount, SigningKey, Store, Talk,
};
use mailhaul_sandbox::{Profile, Sandbox};
use mailhaul_testkit::issuer::{BASE, CLIENT, Instead, Issuer, IssuerTls, PUBLIC_CLIENT, SECRET};
use mailhaul_testkit::web::{Authority, Valid};
use serde_json::json;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// What a browser does with the address it is shown.
type Browser = fn(&Issuer, &str) -> String;

/// Somebody with a browser; or nobody.
struct Someone {
    issuer: Issuer,
    browser: Option<Browser>,
    seen: Mutex<Vec<String>>,
    page: Arc<Mutex<String>>,
    /// What else comes to the port of this machine before the answer, and what it is told.
    strangers: Vec<&'static str>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Person for Someone {
    fn is_there(&self) -> bool {
        self.browser.is_some()
    }

    fn visit(&self, address: &str) {
        let back = self.browser.unwrap()(&self.issuer, address);
        let (page, strangers, told) = (self.page.clone(), self.strangers.clone(), self.told.clone());
        tokio::spawn(async move {
            let (authority, target) = back.strip_prefix("http://").unwrap().split_once('/').unwrap();
            // One that asks for nothing, and one for an icon: neither is the answer.
            let _silent = tokio::net::TcpStream::connect(authority).await.unwrap();
            assert!(fetched(authority, "favicon.ico").await.contains("404"));
            for stranger in strangers {
                let answer = fetched(authority, stranger).await;
                told.lock().unwrap().push(answer.lines().next().unwrap_or_default().to_owned());
            }
            *page.lock().unwrap() = fetched(authority, target).await;
        });
    }

    fn enter(&self, address: &str, code: &str) {
        self.seen.lock().unwrap().push(format!("{address} {code}"));
    }
}

async fn fetched(authority: &str, target: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(authority).await.unwrap();
    stream.write_all(format!("GET /{target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[derive(Default)]
struct Kept(Mutex<Option<String>>);

impl Store for Kept {
    fn load(&self) -> Result<Option<Zeroizing<String>>, String> {
        Ok(self.0.lock().unwrap().clone().map(Zeroizing::new))
    }

    fn save(&self, refresh: Option<&str>) -> Result<(), String> {
        *self.0.lock().unwrap() = refresh.map(str::to_owned);
        Ok(())
    }
}

/// An account, its issuer, and whoever logs in.
struct World {
    issuer: Issuer,
    person: Arc<Someone>,
    kept: Arc<Kept>,
    account: OAuth,
}

fn http(issuer: &Issuer) -> Http {
    let issuer = issuer.clone();
    Http::clear_on_loopback(Dialer::InProcess(Arc::new(move || {
        let (ours, theirs) = tokio::io::duplex(wire::PIPE_OCTETS);
        let issuer = issuer.clone();
        tokio::spawn(async move { issuer.serve(theirs).await });
        ours
    })))
}

fn known() -> Known {
    Known {
        name: "the test's issuer".into(),
        authorization: Some(format!("{BASE}/authorize")),
        device: Some(format!("{BASE}/device")),
        token: format!("{BASE}/token"),
        parameters: &[],
        redirect_host: "127.0.0.1",
    }
}

fn world(how: How, proof: ClientProof, browser: Option<Browser>) -> World {
    with_strangers(how, proof, browser, &[])
}

fn with_strangers(
    how: How,
    proof: ClientProof,
    browser: Option<Browser>,
    strangers: &[&'static str],
) -> World {
    let issuer = Issuer::default();
    let way = (http(&issuer), known());
    reached(issuer, way, how, proof, browser, strangers)
}

/// An account whose issuer is reached and known like this.
fn reached(
    issuer: Issuer,
    (http, known): (Http, Known),
    how: How,
    proof: ClientProof,
    browser: Option<Browser>,
    strangers: &[&'static str],
) -> World {
    let id = if matches!(proof, ClientProof::Nothing) { PUBLIC_CLIENT } else { CLIENT };
    let talk = Talk {
        http,
        issuer: known,
        client: Client { id: id.into(), proof },
        scope: "mail offline".into(),
        clock: Clock::default(),
    };
    let (seen, page) = (Mutex::default(), Arc::default());
    let (strangers, told) = (strangers.to_vec(), Arc::default());
    let person = Arc::new(Someone { issuer: issuer.clone(), browser, seen, page, strangers, told });
    let kept = Arc::new(Kept::default());
    let account = OAuth::new(talk, how, USER, person.clone(), kept.clone());
    World { issuer, person, kept, account }
}

fn consents(issuer: &Issuer, address: &str) -> String {
    assert!(address.contains("login_hint=ann") && address.contains("scope=mail%20offline"), "{address}");
    issuer.consent(address)
}

impl World {
    async fn token(&self) -> String {
        let Secret::Token(token) = self.account.secret().await.unwrap() else { panic!("no token") };
        token.to_string()
    }

    /// The words for a person, in which no secret may be.
    async fn failure(&self) -> String {
        let words = self.account.secret().await.err().unwrap();
        for secret in ["plum-8843", "sloe-2907", SECRET, "device-1", "code-0"] {
            assert!(!words.contains(secret), "{words}");
        }
        words
    }

    fn grants(&self) -> Vec<String> {
        let tokens = self.issuer.asked().into_iter().filter(|a| a.path == "/token");
        tokens.map(|a| a.form["grant_type"].rsplit(':').next().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_person_logs_in_with_a_browser_once_and_the_refresh_token_is_kept() {
    let world = world(How::Browser, ClientProof::Nothing, Some(consents));
    let token = world.token().await;
    assert_eq!(world.token().await, token, "one token serves many logins");
    assert_eq!(world.grants(), ["authorization_code"]);
    assert_eq!(world.kept.0.lock().unwrap().as_deref(), Some("refresh-1-sloe-2907"));
    for _ in 0..1000 {
        if world.person.page.lock().unwrap().contains("Done") {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the browser was told nothing: {}", world.person.page.lock().unwrap());
}

#[tokio::test]
async fn what_a_browser_brings_back_is_believed_only_if_it_is_the_answer() {
    let cases: [(Browser, &str, usize); 2] = [
        (|i, a| i.consent(a).replace("code=", "error=access_denied&x="), "access_denied", 0),
        (|i, a| i.consent(a).replace("code=code-0", "code=guessed"), "invalid_grant", 1),
    ];
    for (browser, words, asked) in cases {
        let world = world(How::Browser, ClientProof::Nothing, Some(browser));
        assert!(world.failure().await.contains(words), "{words}");
        assert_eq!(world.grants().len(), asked, "{words}");
        assert_eq!(*world.kept.0.lock().unwrap(), None);
    }
}

#[tokio::test]
async fn what_comes_with_a_wrong_state_or_none_is_not_taken_and_the_answer_after_it_is() {
    let strangers =
        ["?state=forged&code=guessed", "?code=guessed", "?state=&error=access_denied", "?state&code=guessed"];
    let world = with_strangers(How::Browser, ClientProof::Nothing, Some(consents), &strangers);
    world.token().await;
    let asked = world.issuer.asked();
    assert_eq!(asked.iter().map(|a| a.form["code"].as_str()).collect::<Vec<_>>(), ["code-0"]);
    assert_eq!(*world.person.told.lock().unwrap(), ["HTTP/1.1 404 Not Found"; 4]);
}

#[tokio::test]
async fn a_code_that_was_used_already_gives_no_second_token() {
    let first_code_again: Browser = |issuer, address| {
        let back = issuer.consent(address);
        let (before, _) = back.split_once("code=").unwrap();
        format!("{before}code=code-0")
    };
    let world = world(How::Browser, ClientProof::Nothing, Some(first_code_again));
    let token = world.token().await;
    world.account.refused(&Secret::Token(token.into())).await;
    world.issuer.set_refresh(None);
    assert!(world.failure().await.contains("invalid_grant"));
    assert_eq!(world.grants(), ["authorization_code", "refresh_token", "authorization_code"]);
    assert_eq!(*world.kept.0.lock().unwrap(), None);
}

#[tokio::test]
async fn an_assertion_for_another_audience_is_refused_and_told_with_the_issuers_words() {
    let file = json!({ "client_email": "mover@x.example", "private_key": KEY.0 });
    let account = ServiceAccount::parse(file.to_string().as_bytes()).unwrap();
    let certificate = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap().cert.pem();
    let key = SigningKey::with_certificate(KEY.0.as_bytes(), certificate.as_bytes()).unwrap();
    for (how, proof, words) in [
        (How::ServiceAccount(account), ClientProof::Nothing, "invalid_grant"),
        (How::Application, ClientProof::Certificate(Arc::new(key)), "invalid_client"),
    ] {
        let world = world(how, proof, None);
        world.issuer.set_key(&KEY.1);
        world.issuer.set_audience("https://elsewhere.example/token");
        assert!(world.failure().await.contains(words), "{words}");
        world.issuer.set_audience(&known().token);
        world.token().await;
    }
}

#[tokio::test]
async fn without_anybody_there_nothing_is_waited_for() {
    for how in [How::Browser, How::Device] {
        let world = world(how, ClientProof::Nothing, None);
        assert!(world.failure().await.contains("no terminal"));
        assert_eq!(world.issuer.asked().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_on_another_device_is_asked_for_as_slowly_as_the_issuer_wants() {
    let world = world(How::Device, ClientProof::Nothing, Some(consents));
    world.issuer.instead(Instead::Body(
        json!({ "device_code": "device-1", "user_code": "WDJB-MJHT", "verification_uri": "https://x/activate",
                "interval": 7, "expires_in": 300 })
        .to_string(),
    ));
    for code in ["authorization_pending", "slow_down", "authorization_pending"] {
        world.issuer.instead(Instead::Error(code, ""));
    }
    world.issuer.instead(Instead::Status(503));
    assert!(world.token().await.starts_with("access-1"));
    assert_eq!(*world.person.seen.lock().unwrap(), ["https://x/activate WDJB-MJHT"]);
    let asked = world.issuer.asked();
    let waits: Vec<_> = asked.windows(2).map(|w| (w[1].at - w[0].at).as_secs()).collect();
    assert_eq!(waits, [7, 7, 12, 12, 17], "slow_down counts for all that follow, trouble as well");
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_denied_or_not_entered_in_time_is_told_so() {
    for (code, words) in [("access_denied", "said no"), ("expired_token", "not entered in time")] {
        let world = world(How::Device, ClientProof::Nothing, Some(consents));
        world.issuer.instead(Instead::Error("authorization_pending", ""));
        world.failure().await;
        let again = world.issuer.asked().len();
        assert_eq!(again, 1, "an error of the first question ends it");
        world.issuer.instead(Instead::Body(
            json!({ "device_code": "device-1", "user_code": "U", "verification_uri": "https://x", "expires_in": 60 })
                .to_string(),
        ));
        world.issuer.instead(Instead::Error(code, ""));
        assert!(world.failure().await.contains(words), "{code}");
    }
    let world = world(How::Device, ClientProof::Nothing, Some(consents));
    world.issuer.instead(Instead::Body(
        json!({ "device_code": "device-1", "user_code": "U", "verification_uri": "https://x", "expires_in": 12 })
            .to_string(),
    ));
    (0..9).for_each(|_| world.issuer.instead(Instead::Error("authorization_pending", "")));
    assert!(world.failure().await.contains("within the time"));
    assert_eq!(world.grants().len(), 2, "at 5 and at 10 seconds");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_dies_and_a_new_refresh_token_is_kept() {
    let world = world(How::Browser, ClientProof::Nothing, None);
    world.issuer.rotate();
    world.issuer.set_refresh(Some("first"));
    *world.kept.0.lock().unwrap() = Some("first".into());
    world.issuer.tokens_live(60);
    let first = world.token().await;
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(world.token().await, first);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_ne!(world.token().await, first);
    assert_eq!(world.grants(), ["refresh_token", "refresh_token"]);
    assert_eq!(world.kept.0.lock().unwrap().as_deref(), Some("refresh-2-sloe-2907"));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_is_asked_again_and_not_for_ever() {
    let world = world(How::Application, ClientProof::Secret(Zeroizing::new(SECRET.into())), None);
    (0..3).for_each(|_| world.issuer.instead(Instead::Status(503)));
    world.token().await;
    assert_eq!(world.grants().len(), 4);
    let world = self::world(How::Application, ClientProof::Secret(Zeroizing::new(SECRET.into())), None);
    (0..20).for_each(|_| world.issuer.instead(Instead::Status(503)));
    assert!(world.failure().await.contains("status 503"));
    assert_eq!(world.grants().len(), 6);
}

#[tokio::test]
async fn a_withdrawn_refresh_token_is_forgotten_and_somebody_logs_in_again() {
    let world = world(How::Browser, ClientProof::Nothing, Some(consents));
    *world.kept.0.lock().unwrap() = Some("withdrawn".into());
    world.token().await;
    assert_eq!(world.grants(), ["refresh_token", "authorization_code"]);
    let nobody = self::world(How::Browser, ClientProof::Nothing, None);
    *nobody.kept.0.lock().unwrap() = Some("withdrawn".into());
    assert!(nobody.failure().await.contains("somebody has to log in"));
    assert_eq!(*nobody.kept.0.lock().unwrap(), None);
}

/// A key as PEM, and its public half in DER: one for all tests, since making one takes a second.
static KEY: LazyLock<(String, Vec<u8>)> = LazyLock::new(|| {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    (pem, public.as_ref().to_vec())
});

#[tokio::test]
async fn an_application_proves_itself_by_its_secret_or_its_certificate() {
    let good = world(How::Application, ClientProof::Secret(Zeroizing::new(SECRET.into())), None);
    good.token().await;
    assert_eq!(*good.kept.0.lock().unwrap(), None, "there is nothing to keep");
    let bad = world(How::Application, ClientProof::Secret(Zeroizing::new("wrong".into())), None);
    assert!(bad.failure().await.contains("check the client id"));

    let certificate = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap().cert.pem();
    let key = SigningKey::with_certificate(KEY.0.as_bytes(), certificate.as_bytes()).unwrap();
    let world = world(How::Application, ClientProof::Certificate(Arc::new(key)), None);
    world.issuer.set_key(&KEY.1);
    world.token().await;
    let form = world.issuer.asked().remove(0).form;
    assert!(!form.contains_key("client_secret") && form["client_assertion"].len() > 300, "{form:?}");
    world.issuer.set_key(b"of somebody else");
    world.account.refused(&Secret::Token(world.token().await.into())).await;
    assert!(world.failure().await.contains("invalid_client"));
}

#[tokio::test]
async fn an_application_does_not_go_on_with_the_token_of_a_person() {
    let world = world(How::Application, ClientProof::Secret(Zeroizing::new(SECRET.into())), None);
    world.issuer.set_refresh(Some("of a person"));
    *world.kept.0.lock().unwrap() = Some("of a person".into());
    world.token().await;
    assert_eq!(world.grants(), ["client_credentials"]);
    assert_eq!(world.kept.0.lock().unwrap().as_deref(), Some("of a person"), "it stays that person's");
}

#[tokio::test]
async fn a_service_account_signs_for_each_user() {
    let file = json!({ "type": "service_account", "client_email": "mover@x.example", "private_key_id": "k1",
                       "private_key": KEY.0 });
    let account = ServiceAccount::parse(file.to_string().as_bytes()).unwrap();
    let world = world(How::ServiceAccount(account), ClientProof::Nothing, None);
    world.issuer.set_key(&KEY.1);
    world.token().await;
    assert_eq!(world.grants(), ["jwt-bearer"]);
    let assertion = world.issuer.asked()[0].form["assertion"].clone();
    let claims = BASE64URL.decode(assertion.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["scope"], &claims["sub"]), (&json!("mail offline"), &json!(USER)));
    world.account.refused(&Secret::Token(world.token().await.into())).await;
    world.issuer.instead(Instead::Error("unauthorized_client", "Client is unauthorized"));
    assert!(world.failure().await.contains("domain-wide delegation"));
    for file in ["", "{}", r#"{"client_email":"a","private_key":"medlar-5541-key"}"#] {
        let error = ServiceAccount::parse(file.as_bytes()).err().unwrap();
        assert!(!error.words().contains("medlar"), "{}", error.words());
    }
}

#[tokio::test]
async fn answers_that_no_issuer_should_give_are_refused() {
    for (body, words) in [
        ("<html>", "no JSON"),
        ("{}", "another kind"),
        (r#"{"token_type":"Bearer"}"#, "no token"),
        (r#"{"token_type":"MAC","access_token":"plum-8843"}"#, "another kind"),
        (r#"{"token_type":"Bearer","access_token":"plum-8843\r\nx"}"#, "no token"),
        (r#"{"error":"invalid_scope\u0000"}"#, "invalid_scope"),
    ] {
        let world = world(How::Application, ClientProof::Secret(Zeroizing::new(SECRET.into())), None);
        world.issuer.instead(Instead::Body(body.into()));
        let failure = world.failure().await;
        assert!(failure.contains(words) && !failure.contains('\0'), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_not_read() {
    let world = world(How::Application, ClientProof::Secret(Zeroizing::new(SECRET.into())), None);
    (0..6).for_each(|_| world.issuer.instead(Instead::Body("x".repeat(300 * 1024))));
    assert!(world.failure().await.contains("longer than allowed"));
}

#[tokio::test]
async fn an_issuer_is_found_by_its_metadata_and_believed_only_about_itself() {
    let metadata = |issuer: &str| {
        json!({ "issuer": issuer, "authorization_endpoint": format!("{BASE}/authorize"),
                "device_authorization_endpoint": format!("{BASE}/device"), "token_endpoint": format!("{BASE}/token") })
    };
    let url = format!("{BASE}/tenant");
    for place in
        ["/.well-known/oauth-authorization-server/tenant", "/tenant/.well-known/openid-configuration"]
    {
        let issuer = Issuer::default();
        issuer.publish(place, metadata(&url));
        let found = Known::discover(&http(&issuer), &url).await.unwrap();
        assert_eq!(found, Known { name: url.clone(), ..known() });
        let forged = Issuer::default();
        forged.publish(place, metadata("https://elsewhere.example"));
        let error = Known::discover(&http(&forged), &url).await.err().unwrap();
        assert!(error.to_string().contains("another issuer"), "{error}");
    }
    let error = Known::discover(&http(&Issuer::default()), &url).await.err().unwrap();
    assert!(error.to_string().contains("no metadata"), "{error}");
    let error = Known::discover(&http(&Issuer::default()), "http://login.example").await.err().unwrap();
    assert!(error.to_string().contains("https://"), "{error}");
}

/// A server that knows the tokens of an issuer, and an account at both.
fn at_a_server(world: World) -> (Sandbox, Issuer, mailhaul_engine::imap_session::Opener) {
    let server = Sandbox::new(Profile { mechanisms: vec!["OAUTHBEARER"], ..Profile::default() });
    server.add_user(USER, "no password");
    let knows = server.clone();
    world.issuer.on_token(move |token| knows.set_token(token, Some(USER)));
    let mut opener = wire::opener(&server, &Limits::default(), &[]);
    opener.account.credentials = Arc::new(world.account);
    (server, world.issuer, opener)
}

#[tokio::test]
async fn a_token_that_a_server_refuses_is_renewed_once_and_the_login_goes_on() {
    let (server, issuer, opener) = at_a_server(world(How::Browser, ClientProof::Nothing, Some(consents)));
    open(&opener).await.unwrap();
    server.set_token("access-1-plum-8843", None);
    open(&opener).await.unwrap();
    let counters = server.counters();
    assert_eq!((counters.logins, counters.refused_logins), (2, 1));
    // A server that refuses every token is not asked for ever, and the issuer neither.
    issuer.on_token(|_| {});
    server.set_token("access-2-plum-8843", None);
    let before = issuer.asked().len();
    let error = open(&opener).await.err().unwrap();
    assert!(matches!(error, EndError::LoginRefused { .. }), "{error}");
    assert_eq!((server.counters().refused_logins, issuer.asked().len() - before), (3, 1));
}

#[tokio::test]
async fn every_way_to_a_token_goes_over_https() {
    let authority = Authority::new().unwrap();
    let file = json!({ "client_email": "mover@x.example", "private_key": KEY.0 });
    let account = ServiceAccount::parse(file.to_string().as_bytes()).unwrap();
    let secret = ClientProof::Secret(Zeroizing::new(SECRET.into()));
    for (how, proof, browser) in [
        (How::Browser, ClientProof::Nothing, Some(consents as Browser)),
        (How::Device, ClientProof::Nothing, Some(consents as Browser)),
        (How::Application, secret, None),
        (How::ServiceAccount(account), ClientProof::Nothing, None),
    ] {
        let issuer = Issuer::default();
        issuer.set_key(&KEY.1);
        let (known, http, _at) = over_https(&issuer, &authority).await;
        let of_a_person = matches!(how, How::Browser | How::Device);
        if matches!(how, How::Device) {
            let codes = json!({ "device_code": "device-1", "user_code": "U", "verification_uri": known.token,
                "interval": 1, "expires_in": 60 });
            issuer.instead(Instead::Body(codes.to_string()));
        }
        let world = reached(issuer, (http, known), how, proof, browser, &[]);
        let first = world.token().await;
        world.account.refused(&Secret::Token(first.clone().into())).await;
        assert_ne!(world.token().await, first);
        assert_eq!(world.grants().contains(&"refresh_token".to_owned()), of_a_person, "{:?}", world.grants());
    }
}

/// The issuer behind TLS, found by its metadata.
async fn over_https(issuer: &Issuer, authority: &Authority) -> (Known, Http, IssuerTls) {
    let at = issuer.listen(authority.acceptor(&["localhost"], Valid::Now).unwrap()).await.unwrap();
    let url = format!("https://localhost:{}", at.address.port());
    issuer.publish_as(&url);
    let trust = Trust { ca_files: vec![authority.file()], ..Trust::default() };
    let http = Http::over(Dialer::Tcp, trust, Limits::default());
    (Known::discover(&http, &url).await.unwrap(), http, at)
}

#[tokio::test]
async fn an_issuer_that_nobody_vouches_for_is_asked_for_nothing() {
    let (issuer, authority) = (Issuer::default(), Authority::new().unwrap());
    let another = Authority::new().unwrap();
    let (known, _, _first) = over_https(&issuer, &authority).await;
    let (_, strict, _second) = over_https(&issuer, &another).await;
    let asked = issuer.asked().len();
    // The address of the first, and trust in the authority of the second alone.
    let way = (strict, known);
    let world = reached(issuer, way, How::Browser, ClientProof::Nothing, Some(consents), &[]);
    let words = world.failure().await;
    assert!(words.contains("cannot trust localhost") && words.contains("its certificate is not"), "{words}");
    assert_eq!(world.issuer.asked().len(), asked);
}
