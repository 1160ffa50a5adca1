// SPDX-License-Identifier: BSD-2-Clause

//! The behaviours in depth with async-nats: most have a server of their own,
//! with a proxy in front of it.

use crate::common::{ask, ensure, flush, main_url, next, nobody, sync, until};
use crate::common::{Conn, Result, CONNECTIONS, TIMEOUT};
use crate::report;
use async_nats::client::PublishErrorKind;
use async_nats::service::{self, error, Info, PingResponse, ServiceExt, Stats};
use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event};
use async_nats::{HeaderMap, Message, ServerError, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const USER: &str = "alice";
const PASSWORD: &str = "s3cr3t pass";
const TOKEN: &str = "t0ken";
const SOON: Duration = Duration::from_millis(100);

/// The addresses of an extra server.
struct Server {
    url: String,
    ipv6: String,
    proxy: String,
}

fn server(conf: &str) -> Result<Server> {
    let answer = ask(&format!("server {conf}"))?;
    let words: Vec<_> = answer.split(' ').map(String::from).collect();
    ensure!(words.len() == 4, "no server {conf}: {answer}");
    Ok(Server { url: words[0].clone(), ipv6: words[1].clone(), proxy: words[3].clone() })
}

impl Server {
    async fn open(&self) -> Result<Conn> {
        self.with(ConnectOptions::new()).await
    }

    async fn with(&self, options: ConnectOptions) -> Result<Conn> {
        Ok(Conn::open(&self.url, options).await?)
    }

    async fn proxied(&self) -> Result<Conn> {
        Ok(Conn::open(&self.proxy, ConnectOptions::new()).await?)
    }

    async fn several(&self, count: usize) -> Result<Vec<Conn>> {
        several(&self.url, count).await
    }

    /// Nobody is let in with these options.
    async fn refused(&self, options: ConnectOptions) -> Result {
        match Conn::open(&self.url, options).await {
            Ok(_) => Err("let in".into()),
            Err(error) => {
                let kind = error.kind();
                ensure!(kind == ConnectErrorKind::AuthorizationViolation, "refused: {error}");
                Ok(())
            }
        }
    }
}

async fn several(url: &str, count: usize) -> Result<Vec<Conn>> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(Conn::open(url, ConnectOptions::new()).await?);
    }
    Ok(found)
}

/// Those of the main server.
async fn main_clients(count: usize) -> Result<Vec<Conn>> {
    several(&main_url()?, count).await
}

/// How often a text is in the server's log, at least.
fn logged(count: usize, text: &str) -> Result {
    let found: usize = ask(&format!("logged {count} {text}"))?.parse()?;
    ensure!(found >= count, "{text} is {found} times in the log");
    Ok(())
}

/// It works, and nothing has happened to it.
async fn calm(conn: &Conn) -> Result {
    sync(conn).await?;
    let events = conn.events();
    ensure!(events.iter().all(|event| *event == Event::Connected), "it saw {events:?}");
    ensure!(events.len() <= 1, "it has reconnected");
    Ok(())
}

fn server_error(text: &str) -> Event {
    Event::ServerError(ServerError::Other(text.to_string()))
}

/// Waits until something has happened to it that often.
async fn seen(conn: &Conn, event: &Event, count: usize) -> Result {
    let wait = until("such event", || conn.count(event) >= count).await;
    let events = conn.events();
    let last = &events[events.len().saturating_sub(10)..];
    ensure!(wait.is_ok(), "no {event:?} x {count}, last {last:?}");
    Ok(())
}

async fn came_back(conn: &Conn) -> Result {
    seen(conn, &Event::Disconnected, 1).await?;
    seen(conn, &Event::Connected, 2).await
}

/// These come next.
async fn payloads(sub: &mut Subscriber, want: &[String]) -> Result {
    for text in want {
        let message = next(sub).await?;
        ensure!(message.payload == *text.as_bytes(), "{message:?} instead of {text}");
    }
    Ok(())
}

async fn sizes(sub: &mut Subscriber, want: &[usize]) -> Result {
    for size in want {
        let got = next(sub).await?.payload.len();
        ensure!(got == *size, "{got} bytes instead of {size}");
    }
    Ok(())
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

fn zeros(size: usize) -> Bytes {
    vec![0; size].into()
}

async fn publish_all(client: &Client, subject: &str, texts: &[String]) -> Result {
    for text in texts {
        client.publish(subject.to_string(), text.clone().into()).await?;
    }
    Ok(())
}

/// Each publishes once and gets all of it.
async fn meet(clients: &[Conn]) -> Result {
    let mut subs = Vec::new();
    for client in clients {
        subs.push(client.subscribe("meet").await?);
    }
    flush(clients).await?;
    for (n, client) in clients.iter().enumerate() {
        client.publish("meet", n.to_string().into()).await?;
    }
    for mut sub in subs {
        let mut got = HashSet::new();
        for _ in clients {
            got.insert(next(&mut sub).await?.payload);
        }
        ensure!(got.len() == clients.len(), "only {got:?}");
    }
    Ok(())
}

// ------------------------------------------------------------ connect options

async fn credentials() -> Result {
    let options = |user: &str, password: &str| {
        ConnectOptions::with_user_and_password(user.to_string(), password.to_string())
    };
    let token = |token: &str| ConnectOptions::with_token(token.to_string());
    let s = server("user")?;
    let clients = [s.with(options(USER, PASSWORD)).await?, s.with(options(USER, PASSWORD)).await?];
    ensure!(clients[0].server_info().auth_required, "no auth_required");
    meet(&clients).await?;
    s.refused(ConnectOptions::new()).await?;
    s.refused(token(TOKEN)).await?;
    s.refused(options(USER, "s3cr3t")).await?;
    s.refused(options("Alice", PASSWORD)).await?;
    calm(&clients[0]).await?;
    let s = server("token")?;
    meet(&[s.with(token(TOKEN)).await?, s.with(token(TOKEN)).await?]).await?;
    s.refused(ConnectOptions::new()).await?;
    s.refused(token("t0ke")).await?;
    s.refused(options(TOKEN, "")).await
}

/// What it publishes goes to others, also within a queue group.
async fn no_echo(quiet: &Conn, other: &Conn) -> Result {
    let mut subs = Vec::new();
    for client in [quiet, other] {
        subs.push(client.subscribe("echo").await?);
        subs.push(client.queue_subscribe("echo", "group".into()).await?);
        sync(client).await?;
    }
    let said = vec!["quiet".to_string(); 20];
    publish_all(quiet, "echo", &said).await?;
    sync(quiet).await?;
    other.publish("echo", "other".into()).await?;
    payloads(&mut subs[0], &["other".to_string()]).await?;
    payloads(&mut subs[2], &said).await?;
    payloads(&mut subs[3], &said).await
}

async fn options() -> Result {
    let s = server("trace")?;
    let other = s.with(ConnectOptions::new().name("the \"name\" ü")).await?;
    logged(1, r#""name":"the \"name\" ü""#)?;
    no_echo(&s.with(ConnectOptions::new().no_echo()).await?, &other).await?;
    if s.ipv6 != "-" {
        let six = Conn::open(&s.ipv6, ConnectOptions::new()).await?;
        let ip = six.server_info().client_ip;
        ensure!(ip == "::1", "client_ip {ip}");
        calm(&six).await?;
    }
    calm(&other).await
}

/// This library insists on headers.
async fn without_headers() -> Result {
    let s = server("noheaders")?;
    match Conn::open(&s.url, ConnectOptions::new()).await {
        Ok(_) => Err("let in without headers".into()),
        Err(error) => {
            let text = error.to_string();
            ensure!(text.contains("no responders requires headers support"), "refused: {text}");
            Ok(())
        }
    }
}

async fn connect_options() -> Result {
    credentials().await?;
    options().await?;
    without_headers().await
}

// -------------------------------------------------------------- server errors

/// This library reports what the server says, and never gives up by itself.
async fn violations() -> Result {
    const VIOLATION: &str = "Permissions Violation for";
    let s = server("limits")?;
    let client = s.open().await?;
    client.publish("_GR_.x", Bytes::new()).await?;
    seen(&client, &server_error(&format!("{VIOLATION} Publish to \"_GR_.x\"")), 1).await?;
    for reply in ["_R_.x", "$JS.ACK.x"] {
        client.publish_with_reply("a", reply, Bytes::new()).await?;
        let text = format!("{VIOLATION} Publish with Reply of \"{reply}\"");
        seen(&client, &server_error(&text), 1).await?;
    }
    let sub = client.queue_subscribe("foo", "_sys_".into()).await?;
    let text = format!("{VIOLATION} Subscription to \"foo\" using queue \"_sys_\"");
    seen(&client, &server_error(&text), 1).await?;
    drop(sub);
    sync(&client).await?;
    ensure!(client.events().len() == 5, "{:?}", client.events());
    Ok(())
}

async fn too_many() -> Result {
    let s = server("limits")?;
    let mut clients = s.several(3).await?;
    for _ in 0..30 {
        match Conn::open(&s.url, ConnectOptions::new()).await {
            Ok(_) => return Err("a fourth connection".into()),
            Err(error) => {
                let text = error.to_string();
                ensure!(text.contains("maximum connections exceeded"), "fourth: {text}");
            }
        }
    }
    let client = clients.pop().ok_or("none")?;
    let mut subs = Vec::new();
    for n in 0..5 {
        subs.push(client.subscribe(format!("limit.{n}")).await?);
    }
    let mut excess = client.subscribe("limit.5").await?;
    seen(&client, &server_error("maximum subscriptions exceeded"), 1).await?;
    client.publish("limit.5", Bytes::new()).await?;
    for (n, sub) in subs.iter_mut().enumerate() {
        client.publish(format!("limit.{n}"), n.to_string().into()).await?;
        payloads(sub, &[n.to_string()]).await?;
    }
    ensure!(timeout(Duration::ZERO, excess.next()).await.is_err(), "a sixth subscription");
    ensure!(client.count(&Event::Disconnected) == 0, "it was cut");
    clients.pop().ok_or("none")?.drain().await?;
    let end = Instant::now() + TIMEOUT;
    while let Err(error) = s.open().await {
        ensure!(Instant::now() < end, "no place is free: {error}");
    }
    Ok(())
}

/// A line that the server does not like; whether it closes then.
async fn said(s: &Server, line: &str, text: &str, closes: bool) -> Result {
    let client = s.proxied().await?;
    let mut sub = client.subscribe("said").await?;
    calm(&client).await?;
    ask(&format!("say {line}"))?;
    seen(&client, &server_error(text), 1).await?;
    if closes {
        came_back(&client).await?;
    }
    client.publish("said", "x".into()).await?;
    payloads(&mut sub, &["x".to_string()]).await?;
    let cuts = client.count(&Event::Disconnected);
    ensure!(cuts == usize::from(closes), "{text}: {cuts} times cut");
    Ok(())
}

async fn protocol_errors() -> Result {
    let s = server("trace")?;
    let long = format!("PUB foo {}", "x".repeat(5000));
    said(&s, "SUB foo..bar 99", "Invalid Subject", false).await?;
    said(&s, &long, "maximum control line exceeded", true).await?;
    said(&s, "PUB foo 99999999", "Maximum Payload Violation", true).await?;
    said(&s, "SUBSCRIBE foo", "Unknown Protocol Operation", true).await
}

/// The library keeps trying with the old one, until it is good again.
async fn new_password() -> Result {
    let options = |password: &str| {
        ConnectOptions::with_user_and_password(USER.to_string(), password.to_string())
    };
    let s = server("user")?;
    let client = s.with(options(PASSWORD)).await?;
    ask("reload user2")?;
    seen(&client, &Event::ServerError(ServerError::AuthorizationViolation), 1).await?;
    seen(&client, &Event::Disconnected, 1).await?;
    let denied = Event::ClientError(ClientError::Other("authorization violation".to_string()));
    seen(&client, &denied, 2).await?;
    calm(&s.with(options("other")).await?).await?;
    ask("reload user")?;
    seen(&client, &Event::Connected, 2).await?;
    sync(&client).await
}

/// One whose PONGs do not arrive is told, and connects again.
async fn stale() -> Result {
    let s = server("pings")?;
    // a CONNECT that goes astray is tried again soon
    let options = ConnectOptions::new().connection_timeout(Duration::from_millis(500));
    let client = Conn::open(&s.proxy, options).await?;
    let mut sub = client.subscribe("stale").await?;
    calm(&client).await?;
    ask("mute")?;
    seen(&client, &server_error("Stale Connection"), 1).await?;
    ask("heal")?;
    came_back(&client).await?;
    client.publish("stale", "x".into()).await?;
    payloads(&mut sub, &["x".to_string()]).await
}

async fn server_errors() -> Result {
    violations().await?;
    too_many().await?;
    protocol_errors().await?;
    new_password().await?;
    stale().await
}

// ---------------------------------------------------------------- max_payload

async fn limit_is(client: &Client, limit: usize) -> Result {
    let found = client.server_info().max_payload;
    ensure!(found == limit, "max_payload {found} instead of {limit}");
    match client.publish("max", zeros(limit + 1)).await {
        Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {}
        other => return Err(format!("{} bytes: {other:?}", limit + 1).into()),
    }
    Ok(client.publish("max", zeros(limit)).await?)
}

/// INFO tells the limit, once; what is in force is the server's.
async fn max_payload() -> Result {
    const HEADER: usize = "NATS/1.0\r\nA: b\r\n\r\n".len();
    let s = server("small")?;
    let first = s.open().await?;
    let mut sub = first.subscribe("max").await?;
    sync(&first).await?;
    limit_is(&first, 1000).await?;
    let mut headers = HeaderMap::new();
    headers.insert("A", "b");
    let over = first.publish_with_headers("max", headers.clone(), zeros(1001 - HEADER)).await;
    ensure!(over.is_err(), "1001 bytes with the header");
    first.publish_with_headers("max", headers, zeros(1000 - HEADER)).await?;
    sizes(&mut sub, &[1000, 1000 - HEADER]).await?;
    calm(&first).await?;
    ask("reload larger")?;
    let second = s.open().await?;
    limit_is(&first, 1000).await?;
    sizes(&mut sub, &[1000]).await?;
    limit_is(&second, 5000).await?;
    sizes(&mut sub, &[5000]).await?;
    ask("reload smaller")?;
    first.publish("max", zeros(500)).await?;
    sizes(&mut sub, &[500]).await?;
    calm(&second).await?;
    second.publish("max", zeros(501)).await?;
    seen(&second, &server_error("Maximum Payload Violation"), 1).await?;
    came_back(&second).await?;
    sync(&second).await?;
    limit_is(&second, 500).await?;
    sizes(&mut sub, &[500]).await?;
    first.force_reconnect().await?;
    came_back(&first).await?;
    sync(&first).await?;
    limit_is(&first, 500).await?;
    sizes(&mut sub, &[500]).await
}

// ------------------------------------------------------------- slow consumers

/// What is beyond the capacity of a subscription is dropped by the library,
/// which says so.
async fn pending_limit() -> Result {
    let options = ConnectOptions::new().subscription_capacity(10);
    let client = Conn::open(&main_url()?, options).await?;
    let other = &main_clients(1).await?[0];
    let mut sub = client.subscribe("pending").await?;
    sync(&client).await?;
    publish_all(other, "pending", &numbers(100)).await?;
    sync(other).await?;
    let slow = || {
        let slow = |event: &&Event| matches!(event, Event::SlowConsumer(_));
        client.events().iter().filter(slow).count()
    };
    until("slow consumer", || slow() == 90).await?;
    payloads(&mut sub, &numbers(10)).await?;
    other.publish("pending", "last".into()).await?;
    payloads(&mut sub, &["last".to_string()]).await?;
    ensure!(client.count(&Event::Disconnected) == 0, "it was cut");
    Ok(())
}

/// The server cuts one that does not read; it comes back.
async fn slow_reader() -> Result {
    const SIZE: usize = 1 << 16;
    let s = server("slow")?;
    let slow = s.proxied().await?;
    let others = s.several(2).await?;
    let mut bulk = slow.subscribe("bulk").await?;
    let mut quick = others[1].subscribe("bulk").await?;
    sync(&slow).await?;
    sync(&others[1]).await?;
    ask("stall")?;
    for _ in 0..300 {
        others[0].publish("bulk", zeros(SIZE)).await?;
        sizes(&mut quick, &[SIZE]).await?;
    }
    logged(1, "Slow Consumer Detected")?;
    ask("heal")?;
    came_back(&slow).await?;
    sync(&slow).await?;
    others[0].publish("bulk", "again".into()).await?;
    loop {
        match next(&mut bulk).await?.payload.len() {
            SIZE => continue,
            5 => break,
            other => return Err(format!("{other} bytes").into()),
        }
    }
    calm(&others[0]).await?;
    calm(&others[1]).await
}

async fn slow_consumer() -> Result {
    pending_limit().await?;
    slow_reader().await
}

// ---------------------------------------------------------------------- pings

/// Its clients notice by their own PINGs and go to another worker, or to the
/// successor.  Whether all have noticed before the hanging worker was killed,
/// which they would notice too.
async fn deaf_server() -> Result<bool> {
    let s = server("hang")?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let options = ConnectOptions::new().ping_interval(Duration::from_millis(200));
        clients.push(s.with(options).await?);
    }
    let with = |event: &Event, count: usize| {
        clients.iter().filter(|client| client.count(event) >= count).count()
    };
    meet(&clients).await?;
    let cut: usize = ask("hang")?.parse()?;
    until("disconnects", || with(&Event::Disconnected, 1) == cut).await?;
    let killed = ask("logged 0 killed by signal")?;
    until("reconnects", || with(&Event::Connected, 2) == cut).await?;
    ensure!(with(&Event::Disconnected, 1) == cut, "too many were cut");
    meet(&clients).await?;
    Ok(killed == "0")
}

async fn server_pings() -> Result {
    let s = server("pings")?;
    let clients = s.several(3).await?;
    logged(9, "->> [PING]")?;
    logged(9, "<<- [PONG]")?;
    for client in &clients {
        calm(client).await?;
    }
    Ok(())
}

async fn ping_timeout() -> Result {
    // on a busy machine the first may come too late
    let mut in_time = deaf_server().await?;
    for _ in 0..2 {
        in_time = in_time || deaf_server().await?;
    }
    ensure!(in_time, "nobody notices by PING");
    server_pings().await
}

// ----------------------------------------------------------------- reconnects

/// What is published while there is no connection goes out when there is one
/// again, after the subscriptions.
async fn buffered() -> Result {
    let s = server("trace")?;
    let cut = s.proxied().await?;
    let other = s.open().await?;
    let mut own = cut.subscribe("buffered").await?;
    let mut far = other.subscribe("buffered").await?;
    let mut ten = cut.subscribe("ten").await?;
    ten.unsubscribe_after(10).await?;
    sync(&cut).await?;
    sync(&other).await?;
    publish_all(&other, "ten", &numbers(4)).await?;
    payloads(&mut ten, &numbers(4)).await?;
    ask("cut")?;
    seen(&cut, &Event::Disconnected, 1).await?;
    publish_all(&cut, "buffered", &numbers(1000)).await?;
    ask("heal")?;
    seen(&cut, &Event::Connected, 2).await?;
    payloads(&mut own, &numbers(1000)).await?;
    payloads(&mut far, &numbers(1000)).await?;
    publish_all(&other, "ten", &numbers(20)).await?;
    payloads(&mut ten, &numbers(6)).await?;
    let end = timeout(TIMEOUT, ten.next()).await?;
    ensure!(end.is_none(), "an eleventh");
    nobody(&other, "ten").await
}

/// The library does not keep more than it was told: publishers wait.
async fn buffer_full() -> Result {
    let s = server("plain")?;
    let client = s.with(ConnectOptions::new().client_capacity(20)).await?;
    let mut sub = client.subscribe("full").await?;
    sync(&client).await?;
    ask("down")?;
    seen(&client, &Event::Disconnected, 1).await?;
    let mut kept = 0;
    loop {
        let publish = client.publish("full", kept.to_string().into());
        match timeout(SOON, publish).await {
            Ok(done) => done?,
            Err(_) => break,
        }
        kept += 1;
    }
    ensure!(kept > 0 && kept <= 20, "{kept} messages kept");
    ask("up")?;
    client.publish("full", kept.to_string().into()).await?;
    payloads(&mut sub, &numbers(kept + 1)).await
}

async fn reconnect_buffered() -> Result {
    buffered().await?;
    buffer_full().await
}

// --------------------------------------------------------------------- drains

type Taken = Arc<Mutex<Vec<usize>>>;

/// Takes numbers until the subscription ends.
fn take(mut sub: Subscriber, into: &Taken) -> JoinHandle<()> {
    let into = into.clone();
    tokio::spawn(async move {
        while let Some(message) = sub.next().await {
            let text = std::str::from_utf8(&message.payload).unwrap_or("");
            into.lock().unwrap().push(text.parse().unwrap_or(usize::MAX));
        }
    })
}

/// Takes numbers until something is taken elsewhere, then drains.
fn take_and_drain(mut sub: Subscriber, into: &Taken, first: &Taken) -> JoinHandle<()> {
    let (into, first) = (into.clone(), first.clone());
    tokio::spawn(async move {
        while first.lock().unwrap().len() < 5000 {
            sleep(Duration::from_millis(1)).await;
        }
        sub.drain().await.ok();
        take(sub, &into).await.ok();
    })
}

/// One member of a group and a single subscriber leave while another
/// connection publishes as fast as it can: the group gets all messages, once.
async fn drain_members(s: &Server) -> Result {
    const AFTER: usize = 5000;
    const AHEAD: usize = 1000;
    // Nobody waits for the single one; this library drops what it has no room
    // for, by default beyond 65536 messages.
    const ROOM: usize = 1 << 20;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(s.with(ConnectOptions::new().subscription_capacity(ROOM)).await?);
    }
    let [publisher, stays, leaves, alone] = &clients[..] else {
        return Err("not four".into());
    };
    let (group, plain) = (Taken::default(), Taken::default());
    let member = stays.queue_subscribe("load", "group".into()).await?;
    let leaver = leaves.queue_subscribe("load", "group".into()).await?;
    let single = alone.subscribe("load").await?;
    flush(&clients).await?;
    // This library takes a drain for done when the UNSUB is written, and drops
    // what comes later; what has come is counted all the same.
    let came = || {
        let count = |c: &Conn| c.statistics().in_messages.load(Ordering::SeqCst);
        (count(stays) + count(leaves)) as usize
    };
    let before = came();
    let member = take(member, &group);
    let drains = [take_and_drain(leaver, &group, &group), take_and_drain(single, &plain, &group)];
    let (mut total, mut last) = (0, None);
    let end = Instant::now() + TIMEOUT;
    while last != Some(total) {
        ensure!(Instant::now() < end, "never drained");
        // one that always has something to read does nothing else
        if came() - before + AHEAD < total {
            sleep(Duration::from_micros(100)).await;
            continue;
        }
        publisher.publish("load", total.to_string().into()).await?;
        total += 1;
        if last.is_none() && drains.iter().all(JoinHandle::is_finished) {
            last = Some(total + AFTER);
        }
    }
    sync(publisher).await?;
    until("last message", || came() - before >= total).await?;
    ensure!(came() - before == total, "{} of {total}", came() - before);
    stays.drain().await?;
    timeout(TIMEOUT, member).await??;
    let all = group.lock().unwrap().clone();
    let different: HashSet<_> = all.iter().collect();
    ensure!(different.len() == all.len(), "one came twice");
    let plain = plain.lock().unwrap();
    ensure!(plain.iter().enumerate().all(|(n, got)| n == *got), "a gap before the drain");
    ensure!(!plain.is_empty() && plain.len() < total, "{} of {total}", plain.len());
    Ok(())
}

/// What it has published goes out before it closes.
async fn drain_publisher(s: &Server) -> Result {
    let other = s.open().await?;
    let leaves = s.open().await?;
    let mut sub = other.subscribe("drained").await?;
    sync(&other).await?;
    publish_all(&leaves, "drained", &numbers(5000)).await?;
    leaves.flush().await?;
    leaves.drain().await?;
    payloads(&mut sub, &numbers(5000)).await?;
    seen(&leaves, &Event::Closed, 1).await
}

async fn drain_under_load() -> Result {
    let s = server("plain")?;
    for _ in 0..3 {
        drain_members(&s).await?;
        drain_publisher(&s).await?;
    }
    Ok(())
}

// -------------------------------------------------------------- subscriptions

const LIMIT: usize = 10000;

async fn many(client: &Conn, other: &Client, count: usize) -> Result {
    let mut subs = Vec::new();
    for n in 0..count {
        subs.push(client.subscribe(format!("many.{n}")).await?);
    }
    if count < LIMIT {
        sync(client).await?;
    } else {
        // the barrier would have a subscription of its own, one too many
        let _excess = client.subscribe("many.excess").await?;
        seen(client, &server_error("maximum subscriptions exceeded"), 1).await?;
    }
    for n in 0..count {
        other.publish(format!("many.{n}"), n.to_string().into()).await?;
    }
    for (n, sub) in subs.iter_mut().enumerate() {
        payloads(sub, &[n.to_string()]).await?;
    }
    for sub in &mut subs {
        sub.unsubscribe().await?;
    }
    sync(client).await?;
    for n in (0..count).step_by(97) {
        nobody(other, &format!("many.{n}")).await?;
    }
    ensure!(client.count(&Event::Disconnected) == 0, "it was cut");
    Ok(())
}

/// As many as one connection may have, all of them served; when all are gone,
/// there is room for others.
async fn many_subscriptions() -> Result {
    let s = server("subs")?;
    let clients = s.several(2).await?;
    many(&clients[0], &clients[1], LIMIT).await?;
    many(&clients[0], &clients[1], 100).await?;
    calm(&clients[1]).await
}

// ------------------------------------------------------------------- requests

/// Asks once and takes answers until these are all, or until none comes for so
/// long.
async fn replies(
    client: &Client,
    subject: &str,
    wait: Duration,
    done: impl Fn(&[Message]) -> bool,
) -> Result<Vec<Message>> {
    let inbox = client.new_inbox();
    let mut sub = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(subject.to_string(), inbox, Bytes::new()).await?;
    let mut got = Vec::new();
    while let Ok(Some(message)) = timeout(wait, sub.next()).await {
        got.push(message);
        if done(&got) {
            break;
        }
    }
    Ok(got)
}

fn texts(messages: &[Message]) -> Vec<String> {
    let text = |message: &Message| String::from_utf8_lossy(&message.payload).to_string();
    messages.iter().map(text).collect()
}

async fn ask_many(client: &Client) -> Result {
    // this library has no function for it
    let got = replies(client, "many", TIMEOUT, |got| got.len() == 5).await?;
    ensure!(got.len() == 5, "{} by count", got.len());
    let mut got = texts(&replies(client, "many", SOON, |_| false).await?);
    got.sort();
    ensure!(got == numbers(CONNECTIONS), "by time: {got:?}");
    let end = |got: &[Message]| got[got.len() - 1].payload.is_empty();
    let got = texts(&replies(client, "stream", TIMEOUT, end).await?);
    ensure!(got.len() == 51 && got[..50] == numbers(50), "sentinel: {got:?}");
    let got = replies(client, "nobody.there", TIMEOUT, |_| true).await?;
    let status = got.first().and_then(|message| message.status);
    ensure!(got.len() == 1 && status == Some(StatusCode::NO_RESPONDERS), "nobody: {got:?}");
    Ok(())
}

/// Answers each request with these texts.
async fn respond(client: &Client, subject: &'static str, answers: Vec<String>) -> Result {
    let mut sub = client.subscribe(subject).await?;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(Message { reply: Some(inbox), .. }) = sub.next().await {
            for text in &answers {
                client.publish(inbox.clone(), text.clone().into()).await.ok();
            }
        }
    });
    Ok(())
}

async fn request_many() -> Result {
    let clients = main_clients(CONNECTIONS).await?;
    for (n, client) in clients.iter().enumerate() {
        respond(client, "many", vec![n.to_string()]).await?;
    }
    let mut stream = numbers(50);
    stream.push(String::new());
    respond(&clients[1], "stream", stream).await?;
    flush(&clients).await?;
    for client in &clients {
        ask_many(client).await?;
    }
    Ok(())
}

// ------------------------------------------------------------------- services

const INSTANCES: usize = 3;
const DOUBLED: usize = 200;

async fn add_service(client: &Client, place: usize) -> Result<service::Service> {
    let metadata = HashMap::from([("place".to_string(), place.to_string())]);
    let service = client
        .service_builder()
        .description("adds up")
        .metadata(metadata)
        .start("sums", "1.2.3")
        .await?;
    let group = service.group("sums");
    let mut double = group.endpoint("double").await?;
    tokio::spawn(async move {
        while let Some(request) = double.next().await {
            let reply = [&request.message.payload[..], &request.message.payload[..]].concat();
            request.respond(Ok(reply.into())).await.ok();
        }
    });
    let mut fail = group.endpoint("fail").await?;
    tokio::spawn(async move {
        while let Some(request) = fail.next().await {
            let error = error::Error { status: "cannot".to_string(), code: 400 };
            request.respond(Err(error)).await.ok();
        }
    });
    Ok(service)
}

/// Each connection asks it; one in ten requests is for an error.
async fn use_service(clients: &[Conn]) -> Result {
    for n in 0..DOUBLED {
        let client = &clients[n % clients.len()];
        let reply = client.request("sums.double", n.to_string().into()).await?;
        ensure!(reply.payload == format!("{n}{n}"), "reply {:?}", reply.payload);
        if n % 10 > 0 {
            continue;
        }
        let reply = client.request("sums.fail", Bytes::new()).await?;
        let headers = reply.headers.ok_or("no headers")?;
        let header = |name| headers.get(name).map(|value| value.as_str());
        ensure!(
            header(service::NATS_SERVICE_ERROR) == Some("cannot")
                && header(service::NATS_SERVICE_ERROR_CODE) == Some("400"),
            "error {headers:?}"
        );
    }
    Ok(())
}

/// Asks the services; so many have to answer.
async fn discover(client: &Client, subject: &str, count: usize) -> Result<Vec<Message>> {
    let got = replies(client, subject, TIMEOUT, |got| got.len() == count).await?;
    ensure!(got.len() == count, "{subject}: {} of {count}", got.len());
    Ok(got)
}

async fn discovery(client: &Client) -> Result {
    let mut places = HashSet::new();
    for message in discover(client, "$SRV.PING", INSTANCES).await? {
        let ping: PingResponse = serde_json::from_slice(&message.payload)?;
        let subject = format!("$SRV.INFO.sums.{}", ping.id);
        let message = &discover(client, &subject, 1).await?[0];
        let info: Info = serde_json::from_slice(&message.payload)?;
        let subjects: HashSet<_> = info.endpoints.iter().map(|e| e.subject.as_str()).collect();
        ensure!(
            info.description == "adds up"
                && subjects == HashSet::from(["sums.double", "sums.fail"]),
            "info {info:?}"
        );
        places.insert(info.metadata["place"].clone());
    }
    ensure!(places.len() == INSTANCES, "instances at {places:?}");
    let (mut requests, mut errors) = (0, 0);
    for message in discover(client, "$SRV.STATS.sums", INSTANCES).await? {
        let stats: Stats = serde_json::from_slice(&message.payload)?;
        for endpoint in stats.endpoints {
            if endpoint.subject == "sums.double" {
                ensure!(endpoint.requests > 0, "one instance got nothing");
                requests += endpoint.requests;
            } else {
                errors += endpoint.errors;
            }
        }
    }
    ensure!(requests == DOUBLED && errors == DOUBLED / 10, "{requests}, {errors} errors");
    Ok(())
}

async fn services() -> Result {
    let clients = main_clients(CONNECTIONS).await?;
    let mut running = Vec::new();
    for (n, client) in clients[..INSTANCES].iter().enumerate() {
        running.push(add_service(client, n).await?);
    }
    flush(&clients).await?;
    use_service(&clients).await?;
    for client in &clients {
        discovery(client).await?;
    }
    for service in running {
        service.stop().await?;
    }
    // its subscriptions end some time later
    let end = Instant::now() + TIMEOUT;
    for subject in ["$SRV.PING", "$SRV.INFO.sums", "sums.double"] {
        loop {
            let request = async_nats::Request::new().timeout(Some(SOON));
            match clients[5].send_request(subject, request).await {
                Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => break,
                other => ensure!(Instant::now() < end, "{subject} after the end: {other:?}"),
            }
        }
    }
    Ok(())
}

// ----------------------------------------------------------------------- INFO

/// natsd sends INFO once, whatever changes later; what it says is the same in
/// all workers but for the client's number.
async fn async_info() -> Result {
    let s = server("trace")?;
    let clients = s.several(4).await?;
    ask("reload larger")?;
    meet(&clients).await?;
    let mut ids = HashSet::new();
    let mut same = clients[0].server_info();
    for client in &clients {
        calm(client).await?;
        let info = client.server_info();
        let found = ask(&format!("logged 1 cid:{} - ->> [INFO ", info.client_id))?;
        ensure!(found == "1", "{found} INFO lines");
        ensure!(
            info.max_payload == 1 << 20
                && info.client_ip == "127.0.0.1"
                && info.headers
                && info.proto == 1
                && info.connect_urls.is_empty(),
            "{info:?}"
        );
        ids.insert(info.client_id);
        same.client_id = info.client_id;
        ensure!(info == same, "{info:?} is not {same:?}");
    }
    ensure!(ids.len() == clients.len(), "client ids {ids:?}");
    Ok(())
}

/// All of them; which were good.
pub async fn all() -> Vec<bool> {
    vec![
        report("connect-options", connect_options().await),
        report("server-errors", server_errors().await),
        report("max-payload", max_payload().await),
        report("slow-consumer", slow_consumer().await),
        report("ping-timeout", ping_timeout().await),
        report("reconnect-buffered", reconnect_buffered().await),
        report("drain-under-load", drain_under_load().await),
        report("many-subscriptions", many_subscriptions().await),
        report("request-many", request_many().await),
        report("services", services().await),
        report("async-info", async_info().await),
    ]
}
