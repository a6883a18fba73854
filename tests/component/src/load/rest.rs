//! What is left behind: nothing, once all has ended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use spinlane_host::Host;
use spinlane_upstreams::{Call, Counts};

use super::client::{Client, head};
use super::judge::{Broken, Judged, ensure};
use super::{Departure, Load, lock};
use crate::OPERATOR;

/// Longer than anything takes that a request has begun: a run that is abandoned, three
/// attempts that hang, a lease.
const REST: Duration = Duration::from_secs(60);

/// How long after its period a counter may be there.
const GRACE: Duration = Duration::from_secs(120);

/// So long ago the last sweep may have been.
const SWEPT: Duration = Duration::from_secs(30);

impl Load<'_> {
    /// Waits until nothing moves any more in `host`, and looks at what is left, in it, its
    /// log, its store, and the upstreams. Its components' clock is so far `ahead`.
    ///
    /// # Errors
    /// What should not be.
    pub async fn is_at_rest(&self, host: &Host, ahead: Duration) -> Judged {
        let ended = host.wait_for_instances(REST, |instances| instances.live == 0);
        let instances = ended
            .await
            .map_err(|left| Broken(format!("instances are left: {left:?}")))?;
        ensure!(
            instances.trapped == 0,
            "an instance has trapped: {instances:?}"
        );
        self.upstreams_are_at_rest().await?;
        let held = self.lanes_held().await?;
        ensure!(held.is_empty(), "lanes are held that nobody uses: {held:?}");
        host.logs()
            .iter()
            .try_for_each(|line| self.may_be_logged(line))?;
        self.swept().await?;
        // The sweep's own instance cleans up behind itself.
        let ended = host.wait_for_instances(REST, |instances| instances.live == 0);
        let ended = ended.await.is_ok();
        ensure!(ended, "the sweep's instance is left");
        holds_only_what_lives(&host.store().dump(), now() + ahead)
    }

    /// A line of the log holds no secret, and tells of no defect.
    ///
    /// # Errors
    /// When it does.
    pub fn may_be_logged(&self, line: &str) -> Judged {
        self.secrets.are_not_in("the log", line)?;
        let is_defect = line.contains("panicked") || line.contains("\"internal\"");
        ensure!(!is_defect, "a defect is in the log: {line}");
        Ok(())
    }

    /// No call is left, and none went on for longer than its client; no playlist was made
    /// twice. Forgets what was said to single traces.
    ///
    /// # Errors
    /// What should not be.
    pub async fn upstreams_are_at_rest(&self) -> Judged {
        let upstreams = self.upstreams;
        self.secrets.refresh(upstreams);
        let none = |counts: &Counts| counts.open == 0;
        let left = |counts: Counts| Broken(format!("calls are left: {counts:?}"));
        let anthropic = upstreams.anthropic();
        anthropic.wait_for(REST, none).await.map_err(left)?;
        let services = [
            upstreams.spotify(),
            upstreams.spotify_accounts(),
            upstreams.deezer(),
            upstreams.lastfm(),
        ];
        for service in services {
            service.wait_for(REST, none).await.map_err(left)?;
        }
        let gone = std::mem::take(&mut *lock(&self.gone));
        let silent = std::mem::take(&mut *lock(&self.silent));
        self.ended_with_their_clients(&gone, anthropic.calls(), anthropic.now())?;
        let calls = anthropic.calls();
        let silent: HashSet<_> = silent.iter().map(String::as_str).collect();
        let second = calls
            .iter()
            .find(|call| trace(call).is_some_and(|of| silent.contains(of)));
        ensure!(second.is_none(), "a replay has asked the model: {second:?}");
        for service in services {
            self.ended_with_their_clients(&gone, service.calls(), service.now())?;
        }
        for trace in std::mem::take(&mut *lock(&self.traces)) {
            anthropic.forget(&trace);
            services.iter().for_each(|service| service.forget(&trace));
        }
        self.playlists_are_made_once()
    }

    fn ended_with_their_clients(
        &self,
        gone: &[Departure],
        calls: Vec<Call>,
        now: Duration,
    ) -> Judged {
        // The stand-in counts from its own beginning.
        let Some(begin) = Instant::now().checked_sub(now) else {
            return Err(Broken("the clock has gone back".into()));
        };
        let gone: HashMap<_, _> = gone
            .iter()
            .map(|gone| (gone.trace.as_str(), gone))
            .collect();
        for call in calls {
            let Some(gone) = trace(&call).and_then(|trace| gone.get(trace)) else {
                continue;
            };
            let ended = call.ended.map_or(now, |(ended, _)| ended);
            let after = (begin + ended).saturating_duration_since(gone.at);
            self.tally.took(gone.what(), after);
            ensure!(
                after <= gone.within,
                "request {}, whose client {}, had a call for {after:?} after that: {} {} from \
                 {:?} on, which ended {:?}",
                gone.number,
                gone.client,
                call.method,
                call.path,
                call.started,
                call.ended
            );
        }
        Ok(())
    }

    fn playlists_are_made_once(&self) -> Judged {
        let playlists = self.upstreams.playlists();
        let mut names = HashSet::new();
        for id in playlists.ids() {
            let name = playlists.name(&id).unwrap_or_default();
            // One that was edited has the name of that request.
            if name.starts_with("Proof ") {
                self.tally.count("playlists", "made");
                ensure!(names.insert(name.clone()), "{name} was made twice");
            }
        }
        playlists.reset();
        Ok(())
    }

    /// The lanes of which the store says that slots are held.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn lanes_held(&self) -> Judged<Vec<String>> {
        let status = self.client.get(format!("{}/api/status", self.origin));
        let status = self.document(status).await?;
        let lanes = status["limits"]["lanes"].as_object();
        let lanes = lanes.filter(|lanes| lanes.values().all(|lane| lane["held"].is_u64()));
        let Some(lanes) = lanes else {
            return Err(Broken(format!("no lanes: {status}")));
        };
        let held = lanes.iter().filter(|(_, lane)| lane["held"] != 0);
        Ok(held.map(|(name, lane)| format!("{name}: {lane}")).collect())
    }

    /// Waits until no slot is held, in a host that cannot be asked for its instances.
    ///
    /// # Errors
    /// When one still is after longer than a lease.
    pub async fn lanes_are_given_back(&self) -> Judged {
        let begin = Instant::now();
        loop {
            let held = self.lanes_held().await?;
            if held.is_empty() {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < REST,
                "lanes are held that nobody uses: {held:?}"
            );
            // Nobody tells it: it has to be asked for.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asks for the operator's sweep.
    ///
    /// # Errors
    /// When it finds what is not ours.
    pub async fn swept(&self) -> Judged {
        let sweep = self.client.post(format!("{}/api/admin/sweep", self.origin));
        let report = self
            .document(sweep.header("x-admin-token", OPERATOR))
            .await?;
        ensure!(
            report["foreign"] == 0,
            "another's value is in the store: {report}"
        );
        Ok(())
    }

    async fn document(&self, request: reqwest::RequestBuilder) -> Judged<Value> {
        let response = head(request, Client::Stays).await?;
        let response = response.ok_or_else(|| Broken("no answer".into()))?;
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        ensure!(status == 200, "{status}: {text}");
        serde_json::from_str(&text).map_err(|error| Broken(format!("{error}: {text}")))
    }
}

impl Departure {
    fn what(&self) -> &'static str {
        match self.within == super::GONE {
            true => "call after its client had gone",
            false => "call after its client had gone, where it may come back",
        }
    }
}

fn trace(call: &Call) -> Option<&str> {
    call.traceparent.as_deref()?.split('-').nth(1)
}

/// The time since the Unix epoch.
pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// After a sweep there is nothing in a store but values that may still be read, the index
/// of when they end, and counters of periods that are not over; and no run is counted.
///
/// # Errors
/// What is there beside.
pub fn holds_only_what_lives(store: &BTreeMap<String, Vec<u8>>, now: Duration) -> Judged {
    for (key, value) in store {
        match key.strip_prefix("~n:") {
            Some(counter) => counter_lives(counter, value, now)?,
            None if key.starts_with("~index:") => {}
            None => value_lives(key, value, now)?,
        }
    }
    Ok(())
}

fn counter_lives(name: &str, value: &[u8], now: Duration) -> Judged {
    let period = name
        .rsplit_once('@')
        .and_then(|(_, period)| period.split_once(':'));
    let period = period.and_then(|(length, number)| {
        let length: u64 = length.parse().ok()?;
        let begin = length.checked_mul(number.parse().ok()?)?;
        Some((Duration::from_nanos(begin), Duration::from_nanos(length)))
    });
    let Some((begin, length)) = period else {
        // The index counts its batches by hours that it names itself.
        ensure!(
            name.starts_with("~index:"),
            "a counter of no period: {name}"
        );
        return Ok(());
    };
    let is_over = begin + length + GRACE + SWEPT <= now;
    ensure!(!is_over, "a counter that is over: {name}");
    let is_present = begin + length > now;
    if name.starts_with("runs:") && is_present {
        let count = <[u8; 8]>::try_from(value).map(i64::from_le_bytes);
        ensure!(
            matches!(count, Ok(0)),
            "runs are counted that have ended: {name} is {value:?}"
        );
    }
    Ok(())
}

fn value_lives(key: &str, value: &[u8], now: Duration) -> Judged {
    if key.starts_with("~pause:") {
        return Ok(());
    }
    let line = value
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let header: Value = serde_json::from_slice(line).unwrap_or_default();
    let until = header["staleUntil"].as_str().and_then(unix);
    let Some(until) = until else {
        return Err(Broken(format!("{key} has no end: {header}")));
    };
    ensure!(until + SWEPT > now, "{key} has expired: {header}");
    Ok(())
}

/// A timestamp as the time since the Unix epoch.
fn unix(text: &str) -> Option<Duration> {
    let time = humantime::parse_rfc3339(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT: Duration = Duration::from_secs(1_767_225_600);

    fn judge(key: &str, value: &[u8], after: u64) -> Judged {
        let store = BTreeMap::from([(key.to_owned(), value.to_vec())]);
        holds_only_what_lives(&store, MIDNIGHT + Duration::from_secs(after))
    }

    #[test]
    fn a_value_lives_until_it_is_stale() {
        assert_eq!(unix("2026-01-01T00:00:00.000Z"), Some(MIDNIGHT));
        assert_eq!(
            unix("1970-01-01T00:00:01.500Z"),
            Some(Duration::from_millis(1_500))
        );
        assert_eq!(
            unix("2024-02-29T12:00:00.000Z"),
            Some(Duration::from_secs(1_709_208_000))
        );
        let value = b"{\"spinlane\":2,\"staleUntil\":\"2026-01-01T00:00:00.000Z\"}\n1";
        assert_eq!(judge("bpm:x", value, 0), Ok(()));
        assert!(judge("bpm:x", value, 60).is_err());
        assert!(judge("bpm:x", b"1", 0).is_err());
    }

    #[test]
    fn a_counter_lives_for_its_period_and_its_grace() {
        let of = |series: &str| {
            let length = 20_000_000_000_u64;
            let period = MIDNIGHT.as_nanos() as u64 / length;
            format!("~n:{series}@{length}:{period}")
        };
        let one = 1_i64.to_le_bytes();
        assert_eq!(judge(&of("lane:x"), &one, 0), Ok(()));
        assert_eq!(judge(&of("lane:x"), &one, 169), Ok(()));
        assert!(judge(&of("lane:x"), &one, 170).is_err());
        assert!(judge(&of("runs:x"), &one, 19).is_err(), "a run is counted");
        assert_eq!(judge(&of("runs:x"), &[0; 8], 19), Ok(()));
        // Whoever reads a period that is over must not count it.
        assert_eq!(judge(&of("runs:x"), &one, 20), Ok(()));
        assert!(judge("~n:mine", &one, 0).is_err());
    }
}
