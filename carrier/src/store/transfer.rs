//! One request and its answer, with a cap on bytes and on time.

use std::env;
use std::fs;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use latchkey_engine::time::Time;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use tokio::time::{Instant, timeout_at};

use crate::carrier::{Options, Token};
use crate::error::{CarrierError, Kind, with_causes};
use crate::location::is_loopback;
use crate::pace;

/// The least that must come within the stall time, in bytes.
const LEAST_PROGRESS: u64 = 16 << 10;
/// Most redirects that are followed.
const MOST_REDIRECTS: usize = 4;
/// Longest token that is read, in bytes.
const LONGEST_TOKEN: usize = 64 << 10;
/// The methods that may be sent twice.
const SAFE: [Method; 2] = [Method::GET, Method::HEAD];
const USER_AGENT: &str = concat!("latchkey/", env!("CARGO_PKG_VERSION"));

/// Makes requests within the limits.
#[derive(Debug)]
pub(crate) struct Transfer {
    client: Client,
    timeout: Duration,
    stall: Duration,
    token: Option<Token>,
}

impl Transfer {
    /// A client for one location.
    pub(crate) fn new(base: &Url, options: &Options) -> Result<Self, CarrierError> {
        let fault = |what: String| CarrierError::new(Kind::Unusable, base, what);
        let loopback = base.host_str().is_some_and(is_loopback);
        if options.token.is_some() && base.scheme() == "http" && !loopback {
            let what = "a token is not sent without TLS; use https, or leave the token out";
            return Err(fault(what.to_owned()));
        }
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::custom(follow))
            .referer(false)
            .connect_timeout(options.stall)
            .pool_max_idle_per_host(2);
        if loopback {
            client = client.no_proxy();
        }
        let client = client.build();
        let client = client.map_err(|error| fault(with_causes(&error.without_url())))?;
        Ok(Self {
            client,
            timeout: options.timeout,
            stall: options.stall,
            token: options.token.clone(),
        })
    }

    /// The longest that one file may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A request with the credentials.
    pub(crate) fn request(&self, method: Method, url: Url) -> Result<Request, CarrierError> {
        let mut request = Request::new(method, url);
        self.sign(&mut request)?;
        Ok(request)
    }

    /// Adds the token to a request, where there is one.
    pub(crate) fn sign(&self, request: &mut Request) -> Result<(), CarrierError> {
        if let Some(token) = &self.token {
            let value = bearer(token);
            let value =
                value.map_err(|what| CarrierError::new(Kind::Unusable, request.url(), what))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(())
    }

    /// Sends a request and waits for the head of its answer, `grace` longer than for any other.
    pub(crate) async fn send(
        &self,
        request: Request,
        grace: Duration,
    ) -> Result<Response, CarrierError> {
        let url = request.url().clone();
        let deadline = Instant::now() + self.stall + grace;
        // A server may close an idle connection at the moment at which it is used again.
        let again = request.try_clone().filter(|it| SAFE.contains(it.method()));
        let mut sent = within(deadline, self.client.execute(request)).await;
        if let (Some(Err(error)), Some(again)) = (&sent, again)
            && error.is_request()
            && !error.is_connect()
            && !error.is_redirect()
        {
            sent = within(deadline, self.client.execute(again)).await;
        }
        let Some(sent) = sent else {
            let what = format!(
                "no answer within {} s; is the server up?",
                (self.stall + grace).as_secs_f32()
            );
            return Err(CarrierError::new(Kind::TooSlow, url, what));
        };
        sent.map_err(|error| failed(&url, error))
    }

    /// The body of an answer.
    ///
    /// Nothing beyond `largest` is kept, and a body that trickles is given up: an attacker who
    /// cannot forge a release can at least not fill the memory or hold the reader.
    pub(crate) async fn body(
        &self,
        mut response: Response,
        largest: u64,
    ) -> Result<Vec<u8>, CarrierError> {
        let url = response.url().clone();
        let large = || {
            let what = format!("has more than the {largest} bytes that it may");
            CarrierError::new(Kind::TooLarge, &url, what)
        };
        let slow = |what: String| CarrierError::new(Kind::TooSlow, &url, what);
        let announced = response.content_length().unwrap_or_default();
        if announced > largest {
            return Err(large());
        }
        let end = Instant::now() + self.timeout;
        let mut bytes = Vec::new();
        // As large as the answer at once: what grows leaves several times that behind.
        let _ = bytes.try_reserve_exact(usize::try_from(announced).unwrap_or(0));
        let mut window = (Instant::now() + self.stall, 0);
        loop {
            let (until, so_far) = window;
            match within(until.min(end), response.chunk()).await {
                Some(Ok(Some(chunk))) => {
                    let total = (bytes.len() as u64).saturating_add(chunk.len() as u64);
                    if total > largest {
                        return Err(large());
                    }
                    bytes.extend_from_slice(&chunk);
                }
                Some(Ok(None)) => return Ok(bytes),
                Some(Err(error)) => return Err(failed(&url, error)),
                None => {}
            }
            let now = Instant::now();
            if now >= end {
                let limit = self.timeout.as_secs_f32();
                return Err(slow(format!(
                    "is not here after {limit} s; raise the timeout?"
                )));
            }
            if now >= until {
                if (bytes.len() as u64) < so_far + LEAST_PROGRESS {
                    let limit = self.stall.as_secs_f32();
                    return Err(slow(format!("trickles: hardly a byte in {limit} s")));
                }
                window = (now + self.stall, bytes.len() as u64);
            }
        }
    }
}

/// The error for an answer that is neither the bytes nor their absence.
pub(crate) fn unexpected(url: &Url, response: &Response) -> CarrierError {
    let denied = |what| CarrierError::new(Kind::Denied, url, what);
    match response.status() {
        StatusCode::UNAUTHORIZED => denied("wants credentials (401); give some that are valid"),
        StatusCode::FORBIDDEN => denied("refuses these credentials (403); give others"),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let what = format!("answers {status}; ask again later");
            CarrierError::new(Kind::Answer, url, what).after(retry_after(response))
        }
        status => {
            let what = format!("answers {status}; is this where a release was pushed to?");
            CarrierError::new(Kind::Answer, url, what)
        }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let now = i64::try_from(now.as_secs()).ok()?;
    pace::retry_after(value, Time(now))
}

/// The error for a transfer that broke.
fn failed(url: &Url, error: reqwest::Error) -> CarrierError {
    let kind = if error.is_redirect() {
        Kind::Answer
    } else {
        Kind::Unreachable
    };
    CarrierError::new(kind, url, with_causes(&error.without_url()))
}

async fn within<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    timeout_at(deadline, future).await.ok()
}

fn follow(attempt: Attempt<'_>) -> Action {
    match redirect_fault(attempt.previous(), attempt.url()) {
        Some(fault) => attempt.error(fault),
        None => attempt.follow(),
    }
}

/// Few redirects, and none that gives up TLS.
fn redirect_fault(previous: &[Url], next: &Url) -> Option<String> {
    if previous.len() > MOST_REDIRECTS {
        return Some(format!("more than {MOST_REDIRECTS} redirects"));
    }
    let secure = previous.iter().any(|url| url.scheme() == "https");
    (secure && next.scheme() != "https").then(|| "it redirects from https to http".to_owned())
}

fn bearer(token: &Token) -> Result<HeaderValue, String> {
    let (text, place) = match token {
        Token::File(path) => {
            let text = fs::read_to_string(path);
            let place = format!("the token file {}", path.display());
            (text.map_err(|error| format!("{place}: {error}"))?, place)
        }
        Token::Env(name) => {
            let place = format!("the environment variable {name}");
            let text = env::var(name);
            (
                text.map_err(|_| format!("{place} is not set, or not text"))?,
                place,
            )
        }
    };
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST_TOKEN {
        return Err(format!("{place} holds no token"));
    }
    let value = HeaderValue::from_str(&format!("Bearer {text}"));
    let mut value = value.map_err(|_| format!("{place} holds something else than one token"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_few_and_keep_tls() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (plain, secure) = (url("http://a/x"), url("https://a/x"));
        assert_eq!(redirect_fault(std::slice::from_ref(&plain), &secure), None);
        assert_eq!(redirect_fault(std::slice::from_ref(&plain), &plain), None);
        assert_eq!(redirect_fault(std::slice::from_ref(&secure), &secure), None);
        assert!(redirect_fault(std::slice::from_ref(&secure), &plain).is_some());
        assert!(redirect_fault(&[secure.clone(), secure.clone()], &plain).is_some());
        assert!(redirect_fault(&vec![secure.clone(); 5], &secure).is_some());
    }
}
