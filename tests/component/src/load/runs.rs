//! Runs that outlive their connections: read on where they were cut, left alone, or asked
//! for twice.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::chats::run_of;
use super::client::{Client, Heard, head, hear};
use super::judge::{self, Broken, Ended, Judged, ensure};
use super::words::{Conversation, Tool};
use super::{ABANDONED, Visit, lock};

/// How often a connection is cut.
const CUTS: usize = 3;

/// A run that is being resumed with less than a 200.
enum Again {
    /// Here it is.
    Stream(Response),
    /// There is no more.
    Nothing,
    /// A store in trouble has lost it.
    Lost,
}

impl Visit<'_> {
    /// Asks for what `run` says after frame `after`.
    async fn again(&self, run: &str, after: u64) -> Judged<Again> {
        let path = format!("/api/chat-stream/{run}");
        let request = self.request(Method::GET, &path);
        let request = request.header("last-event-id", after);
        let Some(response) = head(request, Client::Stays).await? else {
            return Ok(Again::Lost);
        };
        self.status(response.status().as_u16());
        match response.status().as_u16() {
            200 => Ok(Again::Stream(response)),
            204 => Ok(Again::Nothing),
            _ => {
                self.is_explained(&judge::refused(response).await?)?;
                Ok(Again::Lost)
            }
        }
    }

    /// Reads on until there is no more: all frames, or `None` where a store in trouble has
    /// lost the run.
    async fn read_on(&self, run: &str, heard: Heard) -> Judged<Option<Heard>> {
        let mut is_all = heard.is_all;
        let mut text = heard.frames();
        let mut cuts = 0;
        while !is_all {
            let response = match self.again(run, newest(&text)).await? {
                Again::Stream(response) => response,
                Again::Nothing => break,
                Again::Lost => return Ok(None),
            };
            let is_cut = cuts < CUTS && self.chance.percent(40);
            cuts += 1;
            let client = match is_cut {
                true => Client::InAFrame(1 + self.chance.below(2_000)),
                false => Client::Stays,
            };
            let more = hear(response, client).await?;
            is_all = more.is_all;
            text += &more.frames();
        }
        self.tally()
            .count("resumed", format!("after {cuts} more connections"));
        Ok(Some(Heard { text, is_all: true }))
    }

    /// All of a run, from its beginning; `None` where a store in trouble has lost it.
    async fn read_all_again(&self, run: &str) -> Judged<Option<Heard>> {
        match self.again(run, 0).await? {
            Again::Stream(response) => hear(response, Client::Stays).await.map(Some),
            Again::Nothing => Err(Broken(format!("nothing is known of {run}"))),
            Again::Lost => Ok(None),
        }
    }
}

/// The number of the newest frame.
fn newest(frames: &str) -> u64 {
    let mut lines = frames.lines();
    let id = lines.rfind(|line| line.starts_with("id: "));
    id.and_then(|line| line[4..].parse().ok()).unwrap_or(0)
}

/// A run whose client reads on where it was cut, or never comes back.
pub(super) async fn resumed(visit: &Visit<'_>) -> Judged {
    let comes_back = visit.chance.percent(65);
    let is_long = visit.client.is_killed() && !comes_back;
    let mut conversation = match is_long {
        true => Conversation::long(visit.number, &visit.chance),
        false => Conversation::new(visit.number, Tool::Nothing, visit.goes_wrong, &visit.chance),
    };
    visit.converse(&mut conversation);
    let body = json!({"message": format!("hello {}", visit.number), "resume": true});
    // Whoever does not know the run's name cannot come back.
    let Some(response) = visit.answered(visit.prompt(&body), ABANDONED).await? else {
        return Ok(());
    };
    let (run, heard) = visit.heard(response).await?;
    if !heard.is_all && !comes_back {
        return is_abandoned(visit, &run, &heard, &conversation).await;
    }
    let Some(all) = visit.read_on(&run, heard).await? else {
        return Ok(());
    };
    let ended = visit.judged(&run, &all, &conversation.turns)?;
    visit.is_whole(&ended, &all)?;
    let Some(again) = visit.read_all_again(&run).await? else {
        return Ok(());
    };
    visit.goes_on(&again, &all)?;
    let is_same = again.frames().len() == all.frames().len();
    ensure!(
        is_same || visit.load.is_in_trouble(),
        "read again there is more: {}",
        again.text
    );
    Ok(())
}

/// Nobody reads it: it ends, and says so to who comes late.
async fn is_abandoned(
    visit: &Visit<'_>,
    run: &str,
    heard: &Heard,
    conversation: &Conversation,
) -> Judged {
    visit.gone(ABANDONED);
    if !heard.text.contains("\"content\"") {
        // The model has perhaps not been asked yet: to look now would be to read it.
        return Ok(());
    }
    let anthropic = visit.load.upstreams.anthropic();
    let ended = anthropic.wait_for_end_of(&visit.trace, ABANDONED).await;
    ensure!(ended.is_ok(), "the run of a client that has gone goes on");
    let Some(late) = visit.read_all_again(run).await? else {
        return Ok(());
    };
    let ended = visit.judged(run, &late, &conversation.turns)?;
    let is_end = matches!(
        &ended,
        Ended::Whole | Ended::Failed(_) | Ended::Incomplete(_)
    );
    ensure!(is_end, "a run that nobody read has no end: {}", late.text);
    visit.goes_on(&late, heard)
}

/// One prompt twice, with one Idempotency-Key: one run.
pub(super) async fn replayed(visit: &Visit<'_>) -> Judged {
    let key = format!("proof-{}-{}-{}", visit.load.seed, visit.number, visit.trace);
    let body = json!({"message": format!("hello {}", visit.number)});
    let mut conversation =
        Conversation::new(visit.number, Tool::Nothing, visit.goes_wrong, &visit.chance);
    let scripts = conversation.scripts.clone();
    visit.converse(&mut conversation);
    visit.count_client();
    let prompt = visit.prompt(&body).header("idempotency-key", &key);
    let first = match head(prompt, visit.client).await? {
        Some(response) if response.status() == 200 => {
            visit.status(200);
            let run = run_of(&response)?;
            Some((run, hear(response, visit.client).await?))
        }
        Some(response) => {
            visit.status(response.status().as_u16());
            return visit.is_explained(&judge::refused(response).await?);
        }
        None => None,
    };
    let second = Visit {
        load: visit.load,
        number: visit.number,
        chance: super::Chance::new(!visit.load.seed, visit.number),
        client: Client::Stays,
        goes_wrong: visit.goes_wrong,
        trace: visit.chance.trace(),
    };
    match first {
        Some(_) if !visit.load.is_in_trouble() => {
            lock(&visit.load.silent).push(second.trace.clone());
        }
        // It may be that the first has never come, or that the store knows nothing of it.
        _ => {
            let mut same = Conversation {
                scripts,
                ..Conversation::default()
            };
            second.converse(&mut same);
        }
    }
    let Some((run, again)) = second.replay(&body, &key).await? else {
        return Ok(());
    };
    let ended = second.judged(&run, &again, &conversation.turns)?;
    second.is_whole(&ended, &again)?;
    if let Some((first, heard)) = first
        && (run == first || !visit.load.is_in_trouble())
    {
        ensure!(run == first, "one key has two runs: {first} and {run}");
        second.goes_on(&again, &heard)?;
    }
    second.another_body_is_refused(&key).await
}

impl Visit<'_> {
    /// Sends a prompt again until there is a stream; `None` where a store in trouble has
    /// lost the run.
    async fn replay(&self, body: &Value, key: &str) -> Judged<Option<(String, Heard)>> {
        // What a store has lost of a key it holds on to: a second run is worse.
        let trouble = self.load.is_in_trouble();
        for _ in 0..if trouble { 1 } else { 10 } {
            let prompt = self.prompt(body).header("idempotency-key", key);
            let Some(response) = head(prompt, self.client).await? else {
                return Ok(None);
            };
            let status = response.status().as_u16();
            self.status(status);
            if status == 200 {
                let run = run_of(&response)?;
                let heard = hear(response, self.client).await?;
                return Ok(Some((run, heard)));
            }
            let refused = judge::refused(response).await?;
            if refused.code != "key_pending" || trouble {
                self.is_explained(&refused)?;
                return Ok(None);
            }
        }
        Err(Broken("a key is pending for ever".into()))
    }

    /// What was read `again` is what was heard before, and what comes after it; nothing
    /// where a store in trouble has lost it.
    fn goes_on(&self, again: &Heard, before: &Heard) -> Judged {
        let (again, before) = (again.frames(), before.frames());
        let is_lost = self.load.is_in_trouble() && again.contains("\"run_lost\"");
        ensure!(
            is_lost || again.starts_with(&before),
            "{again} does not go on {before}"
        );
        Ok(())
    }

    async fn another_body_is_refused(&self, key: &str) -> Judged {
        let body = json!({"message": "another one"});
        let prompt = self.prompt(&body).header("idempotency-key", key);
        let Some(response) = head(prompt, self.client).await? else {
            return Ok(());
        };
        self.status(response.status().as_u16());
        if response.status() == 200 && self.load.is_in_trouble() {
            // The store knows nothing of the key.
            self.gone(ABANDONED);
            return Ok(());
        }
        let refused = judge::refused(response).await?;
        match (refused.status, refused.code.as_str()) {
            (422, "key_reused") => Ok(()),
            _ => self.is_explained(&refused),
        }
    }
}
