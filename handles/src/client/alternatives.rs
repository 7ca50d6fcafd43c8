//! Where else origins are served, as they say themselves (RFC 7838).

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aqueduct_core::head::RequestHead;
use aqueduct_core::pool::{
    AltSvc, AltSvcCache, AltSvcLimits, Alternative, Origin, StoredAlternative,
};
use aqueduct_core::time::after;
use http::header::{AGE, ALT_SVC, HeaderValue};
use http::{HeaderMap, HeaderName};

use crate::clock::{now, wall};

/// How long the same words of an origin count as said once: most answers have them.
const AGAIN: Duration = Duration::from_secs(1);

/// How long it need not be kept anew that the same is true for longer.
const KEPT: Duration = Duration::from_secs(60);

/// Called with all alternatives that are known.
pub(super) type Keep = Arc<dyn Fn(Vec<StoredAlternative>) + Send + Sync>;

/// What the origins of a client have said. Its lock is never held while another is taken.
pub(crate) struct Alternatives {
    state: Mutex<State>,
    keep: Option<Keep>,
}

struct State {
    cache: AltSvcCache,
    /// Who spoke last, in which words, and until when these need not be read again.
    last: Option<(Origin, HeaderValue, Instant)>,
    /// Until when what is kept is good enough, if it is the same.
    kept: Option<Instant>,
}

impl Alternatives {
    pub(super) fn new(
        limits: AltSvcLimits,
        known: Vec<StoredAlternative>,
        keep: Option<Keep>,
    ) -> Self {
        let mut cache = AltSvcCache::new(limits);
        cache.import(now(), wall(), known);
        Self {
            state: Mutex::new(State {
                cache,
                last: None,
                kept: None,
            }),
            keep,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer of the origin has come, wherever it is served.
    pub(super) fn heard(&self, origin: &Origin, headers: &HeaderMap) {
        let Some(first) = headers.get(ALT_SVC) else {
            return;
        };
        let now = now();
        let mut fields = headers.get_all(ALT_SVC).iter();
        let is_one = fields.nth(1).is_none();
        let mut state = self.lock();
        if let Some((who, words, until)) = &state.last
            && is_one
            && (who, words) == (origin, first)
            && *until > now
        {
            return;
        }
        //= https://www.rfc-editor.org/rfc/rfc9110#section-5.3
        // Several lines of one field are one list.
        let fields: Vec<_> = (headers.get_all(ALT_SVC).iter())
            .map(HeaderValue::as_bytes)
            .collect();
        let said = match AltSvc::parse(&fields.join(&b","[..])) {
            Ok(said) => said,
            Err(error) => return tracing::debug!(%origin, %error, "not understood"),
        };
        let known = |state: &State| -> Vec<_> {
            let known = state.cache.lookup(now, origin).cloned();
            known.collect()
        };
        let before = known(&state);
        state.cache.store(now, origin, &said, age(headers));
        // A copy: the value holds all of the head that it came in.
        let words = HeaderValue::from_bytes(first.as_bytes()).ok();
        let words = words.filter(|_| is_one);
        state.last = words.map(|words| (origin.clone(), words, after(now, AGAIN)));
        let is_old = state.kept.is_none_or(|until| until <= now);
        if is_old || known(&state) != before {
            self.changed(state);
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc7838#section-6
    /// A server has said that it does not serve the origin (421).
    pub(super) fn misdirected(&self, origin: &Origin) {
        let mut state = self.lock();
        state.cache.forget(origin);
        state.last = None;
        self.changed(state);
    }

    pub(super) fn lookup(&self, origin: &Origin) -> Vec<Alternative> {
        self.lock().cache.lookup(now(), origin).cloned().collect()
    }

    pub(super) fn failed(&self, origin: &Origin, alternative: &Alternative) {
        self.lock().cache.failed(now(), origin, alternative);
    }

    pub(super) fn worked(&self, origin: &Origin, alternative: &Alternative) {
        self.lock().cache.worked(origin, alternative);
    }

    pub(super) fn network_changed(&self) {
        let mut state = self.lock();
        state.cache.network_changed();
        state.last = None;
        self.changed(state);
    }

    pub(super) fn export(&self) -> Vec<StoredAlternative> {
        self.lock().cache.export(now(), wall())
    }

    fn changed(&self, mut state: MutexGuard<'_, State>) {
        if let Some(keep) = &self.keep {
            let now = now();
            state.kept = Some(after(now, KEPT));
            let all = state.cache.export(now, wall());
            drop(state);
            keep(all);
        }
    }
}

/// How old the answer is, if it comes from a cache.
fn age(headers: &HeaderMap) -> Duration {
    let age = headers.get(AGE).and_then(|age| age.to_str().ok());
    Duration::from_secs(age.and_then(|age| age.trim().parse().ok()).unwrap_or(0))
}

/// The field by which an alternative learns as which one it was asked; none for the
/// origin's own place.
pub(super) fn alt_used(origin: &Origin, host: &str, port: u16) -> Option<HeaderValue> {
    // A zone means something on this side alone (RFC 6874 §4).
    let host = host.split_once('%').map_or(host, |(address, _)| address);
    if (host, port) == (origin.host(), origin.port()) {
        return None;
    }
    let text = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    HeaderValue::from_str(&text).ok()
}

//= https://www.rfc-editor.org/rfc/rfc7838#section-5
/// The head as it goes where `used` says, if that is an alternative.
pub(super) fn head_for<'a>(
    head: &'a RequestHead,
    used: Option<&HeaderValue>,
) -> Cow<'a, RequestHead> {
    let mut head = Cow::Borrowed(head);
    if let Some(used) = used {
        head.to_mut().headers.insert(ALT_USED, used.clone());
    }
    head
}

const ALT_USED: HeaderName = HeaderName::from_static("alt-used");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternative_is_named_without_the_zone_of_its_address() {
        let origin: Origin = "https://[fe80::1%25eth0]:1".parse().expect("an origin");
        let used = |host, port| alt_used(&origin, host, port).map(|used| used.as_bytes().to_vec());
        assert_eq!(used("fe80::1%eth0", 1), None);
        assert_eq!(used("fe80::1%eth0", 2), Some(b"[fe80::1]:2".to_vec()));
        assert_eq!(used("a.example", 1), Some(b"a.example:1".to_vec()));
    }

    /// A head may be 64 KiB, of which the rest is let go of.
    #[test]
    fn what_was_said_holds_no_head() {
        let head = bytes::Bytes::copy_from_slice(b"h3=\":443\" and all else that was said");
        let value = HeaderValue::from_maybe_shared(head.slice(..9)).expect("a value");
        let mut headers = HeaderMap::new();
        headers.insert(ALT_SVC, value);
        let alternatives = Alternatives::new(AltSvcLimits::default(), Vec::new(), None);
        let origin: Origin = "https://a.example".parse().expect("an origin");
        alternatives.heard(&origin, &headers);
        assert!(alternatives.lock().last.is_some(), "it is remembered");
        drop(headers);
        assert!(head.is_unique());
    }
}
