//! The renewal of Spotify's tokens, over two hosts that share a store. Each
//! refresh token is good once here.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use spinlane_component_tests::browser::Browser;
use spinlane_component_tests::chat::Chat;
use spinlane_component_tests::redis::Redis;
use spinlane_component_tests::{Dj, PATIENCE, settled, with_upstreams};
use spinlane_host::Host;
use spinlane_upstreams::Fault;
use spinlane_upstreams::anthropic::Script;
use spinlane_upstreams::catalogue::OWN_PLAYLIST;

/// Two hosts with one user's session, by its token.
struct Two {
    dj: Dj,
    other: Host,
    token: String,
    _redis: Redis,
}

impl Two {
    /// `None` where there is no Redis.
    async fn start() -> Option<Self> {
        let redis = Redis::start().await?;
        let dj = Dj::start_public_on(&redis.url, &[]).await;
        let other = with_upstreams(&dj.upstreams)
            .store(&redis.url)
            .start()
            .await;
        dj.upstreams.tokens().rotate(true);
        let token = Browser::new(&dj).log_in().await;
        Some(Self {
            dj,
            other: other.expect("the host starts"),
            token,
            _redis: redis,
        })
    }

    fn hosts(&self) -> [&Host; 2] {
        [&self.dj.host, &self.other]
    }

    /// A run in which the model reads a playlist of the user's.
    async fn chat(&self, host: &Host) -> Chat {
        let prompt = json!({"message": "What is in it?", "playlistId": OWN_PLAYLIST});
        let request = Client::new().post(host.url("/api/chat-stream/message"));
        let request = request.bearer_auth(&self.token).json(&prompt);
        Chat::read(request.send().await.expect("an answer"))
    }

    /// What the tools of a run have come to.
    async fn read(&self, host: &Host) -> Value {
        let frames = self.chat(host).await.rest().await;
        let ended = frames.iter().find(|frame| frame.kind == "tool_end");
        ended.expect("a tool").data.clone()
    }

    /// The model asks for the playlist, whichever run's turn it is.
    fn script(&self) {
        let anthropic = self.dj.upstreams.anthropic();
        anthropic.reset();
        let read = json!({"playlistId": OWN_PLAYLIST});
        anthropic.script(Script::tools().use_tool("get_playlist_tracks", read));
    }

    async fn is_connected(&self, host: &Host) -> bool {
        let request = Client::new().get(host.url("/api/auth/session"));
        let answer = request.bearer_auth(&self.token).send().await;
        answer.expect("an answer").status() == 200
    }

    fn renewals(&self) -> u64 {
        self.dj.upstreams.spotify_accounts().counts().started
    }
}

/// Several runs of one session find at once that its access token has ended.
#[tokio::test(flavor = "multi_thread")]
async fn runs_on_two_hosts_renew_once_and_nobody_is_logged_out() {
    let Some(two) = Two::start().await else {
        return;
    };
    let accounts = two.dj.upstreams.spotify_accounts();
    for round in 0..5 {
        accounts.latency(Duration::from_millis(50 + 10 * round));
        two.script();
        two.dj.upstreams.tokens().expire_all();
        let before = two.renewals();
        let hosts = two.hosts();
        let runs = (0..4).map(|run| two.read(hosts[run % 2]));
        for ended in join_all(runs).await {
            assert_ne!(ended["error"], true, "round {round}: {ended}");
        }
        assert_eq!(two.renewals() - before, 1, "round {round}");
        for host in hosts {
            settled(host).await;
            assert!(two.is_connected(host).await, "round {round}");
        }
    }
}

/// What Spotify has replaced is kept, although the run that wanted it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_is_kept_although_its_client_has_gone() {
    let Some(two) = Two::start().await else {
        return;
    };
    let accounts = two.dj.upstreams.spotify_accounts();
    two.script();
    two.dj.upstreams.tokens().expire_all();
    accounts.push(Fault::delay(Duration::from_millis(1_200)));
    let before = two.renewals();
    let chat = two.chat(&two.dj.host).await;
    let begun = accounts.wait_for(PATIENCE, |counts| counts.open == 1).await;
    begun.expect("the renewal begins");
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(chat);
    settled(&two.dj.host).await;
    assert_eq!(accounts.counts().cancelled, 0);
    // The other host has what was got.
    two.script();
    let ended = two.read(&two.other).await;
    assert_ne!(ended["error"], true, "{ended}");
    assert_eq!(two.renewals() - before, 1);
}

/// Whoever logs out is, while another host's renewal is being written to a slow
/// store.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_is_not_undone_by_a_renewal_under_way() {
    let Some(two) = Two::start().await else {
        return;
    };
    let accounts = two.dj.upstreams.spotify_accounts();
    two.script();
    two.dj.upstreams.tokens().expire_all();
    accounts.push(Fault::delay(Duration::from_millis(500)));
    let mut chat = two.chat(&two.dj.host).await;
    let begun = accounts.wait_for(PATIENCE, |counts| counts.open == 1).await;
    begun.expect("the renewal begins");
    // It is granted, and each call that keeps it takes its time.
    two.dj.host.store().delay(Some(Duration::from_millis(600)));
    let granted = accounts.wait_for(PATIENCE, |counts| counts.open == 0).await;
    granted.expect("the renewal is granted");
    let request = Client::new().post(two.other.url("/api/auth/logout"));
    let left = request.bearer_auth(&two.token).send().await;
    assert_eq!(left.expect("an answer").status(), 204);
    chat.rest().await;
    two.dj.host.store().delay(None);
    for host in two.hosts() {
        settled(host).await;
        assert!(!two.is_connected(host).await);
    }
}

/// A host that dies in a renewal holds the others back for a while only.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_whose_host_has_died_is_made_by_another() {
    let Some(two) = Two::start().await else {
        return;
    };
    let accounts = two.dj.upstreams.spotify_accounts();
    two.script();
    two.dj.upstreams.tokens().expire_all();
    accounts.push(Fault::hang());
    let chat = two.chat(&two.other).await;
    let begun = accounts.wait_for(PATIENCE, |counts| counts.open == 1).await;
    begun.expect("the renewal begins");
    let Two {
        dj,
        other,
        token,
        _redis,
    } = two;
    drop((other, chat));
    let begun = std::time::Instant::now();
    let host = &dj.host;
    loop {
        let anthropic = dj.upstreams.anthropic();
        anthropic.reset();
        let read = json!({"playlistId": OWN_PLAYLIST});
        anthropic.push(Script::tools().use_tool("get_playlist_tracks", read));
        anthropic.script(Script::text(["Done."]));
        let prompt = json!({"message": "What is in it?", "playlistId": OWN_PLAYLIST});
        let request = Client::new().post(host.url("/api/chat-stream/message"));
        let request = request.bearer_auth(&token).json(&prompt);
        let frames = Chat::read(request.send().await.expect("an answer"))
            .rest()
            .await;
        let ended = frames.iter().find(|frame| frame.kind == "tool_end");
        if ended.expect("a tool").data["error"] != true {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{frames:?}");
    }
    println!("made after {:?}", begun.elapsed());
}
