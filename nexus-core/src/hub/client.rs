//! Requests to the hub and to the hosts that it redirects to.

use super::model_name::percent_encode;
use super::redirect::{next, same_origin};
use super::retry::{Failure, Patience};
use super::status::{check_status, place, text, unanswered};
use super::{Hub, ModelName, hub_error};
use crate::{Error, Result};
use serde::Deserialize;
use std::io::Read;
use ureq::http::{Method, Request, Response, Uri, header};
use ureq::{Agent, Body};

/// The longest list of a repository's files that is read.
const MAX_LISTING_BYTES: u64 = 64 << 20;
const MAX_REDIRECTS: usize = 10;

/// A client of one endpoint.
#[derive(Debug)]
pub(super) struct Client<'a> {
    hub: &'a Hub,
    endpoint: Uri,
    agent: Agent,
}

/// The files of a repository at one commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) names: Vec<String>,
}

/// What the hub says about one file.
#[derive(Debug)]
pub(super) struct FileHead {
    pub(super) commit: String,
    /// The SHA-256 of a large file, the git blob's SHA-1 of a small one.
    pub(super) etag: String,
    /// In bytes.
    pub(super) size: u64,
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub) -> Result<Self> {
        let endpoint = parse(&hub.endpoint, &hub.endpoint)?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, where it is decided which host may see the token.
            .max_redirects(0)
            .accept_encoding("identity")
            .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
            .proxy(hub.proxy.clone())
            .timeout_connect(Some(hub.timeout))
            .timeout_recv_response(Some(hub.timeout))
            .timeout_per_read(Some(hub.timeout))
            .build()
            .new_agent();
        Ok(Self { hub, endpoint, agent })
    }

    pub(super) fn patience<'b>(&'b self, what: &'b str) -> Patience<'b> {
        Patience::new(self.hub, what)
    }

    /// The commit that a revision stands for, and its files.
    pub(super) fn listing(&self, model: &ModelName) -> Result<Listing> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let what = model.to_string();
        let revision = percent_encode(&model.revision);
        let url = format!("{}/api/models/{}/revision/{revision}", self.hub.endpoint, model.id);
        let bytes = self.patience(&what).attempt(|| {
            let response = self.get(&what, &url, 0)?;
            let mut bytes = Vec::new();
            let body = response.into_body().into_reader();
            body.take(MAX_LISTING_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|why| Failure::passing(format!("{url}: {why}")))?;
            Ok(bytes)
        })?;
        if bytes.len() as u64 > MAX_LISTING_BYTES {
            let why = format!("{url}: the list of files is larger than {MAX_LISTING_BYTES} bytes");
            return Err(hub_error(what, why));
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|why| {
            hub_error(&what, format!("{url}: not an answer of a Hugging Face hub: {why}"))
        })?;
        let names = answer.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        Ok(Listing { commit: answer.sha, names })
    }

    /// Asks about a file without fetching it.
    pub(super) fn head(&self, what: &str, url: &str) -> Result<FileHead> {
        self.patience(what).attempt(|| self.head_once(what, url))
    }

    fn head_once(&self, what: &str, url: &str) -> Result<FileHead, Failure> {
        let mut uri = parse(what, url)?;
        let (mut commit, mut etag, mut size) = (None, None, None);
        let mut redirects = 0;
        loop {
            let response = self.send(what, Method::HEAD, &uri, 0)?;
            let headers = response.headers();
            commit = commit.or_else(|| text(headers, "x-repo-commit"));
            etag = etag.or_else(|| text(headers, "x-linked-etag"));
            size = size.or_else(|| text(headers, "x-linked-size"));
            let target = next(what, &uri, &response)?;
            match target {
                // Another host knows the bytes, but neither the commit nor the hash.
                Some(target) if same_origin(&target, &self.endpoint) => uri = target,
                _ => {
                    check_status(what, &uri, &self.endpoint, &response, target.is_some())?;
                    etag = etag.or_else(|| text(headers, "etag"));
                    if target.is_none() {
                        size = size.or_else(|| text(headers, "content-length"));
                    }
                    break;
                }
            }
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(too_many_redirects(what).into());
            }
        }
        let (Some(commit), Some(etag)) = (commit, etag.as_deref().and_then(plain_etag)) else {
            let why = format!(
                "{url}: the answer has no commit or no usable ETag, as one of a Hugging Face hub has; check \
                 HF_ENDPOINT and the proxy"
            );
            return Err(hub_error(what, why).into());
        };
        let Some(size) = size.and_then(|size| size.parse().ok()) else {
            return Err(hub_error(what, format!("{url}: the answer gives no size")).into());
        };
        Ok(FileHead { commit, etag, size })
    }

    /// One attempt to get `url` from byte `from` on, through all redirects.
    pub(super) fn get(&self, what: &str, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut uri = parse(what, url)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(what, Method::GET, &uri, from)?;
            match next(what, &uri, &response)? {
                Some(target) => uri = target,
                None => {
                    check_status(what, &uri, &self.endpoint, &response, false)?;
                    return Ok(response);
                }
            }
        }
        Err(too_many_redirects(what).into())
    }

    /// One request, without following a redirect.
    fn send(
        &self,
        what: &str,
        method: Method,
        uri: &Uri,
        from: u64,
    ) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(uri);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = &self.hub.token
            && same_origin(uri, &self.endpoint)
        {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.body(()).map_err(|why| hub_error(what, format!("{}: {why}", place(uri))))?;
        self.agent.run(request).map_err(|error| unanswered(what, uri, error))
    }
}

fn too_many_redirects(what: &str) -> Error {
    hub_error(what, format!("more than {MAX_REDIRECTS} redirects"))
}

fn parse(what: &str, url: &str) -> Result<Uri> {
    url.parse().map_err(|why| hub_error(what, format!("{url}: {why}")))
}

/// The ETag without its quotes, when it can be the name of a file.
fn plain_etag(etag: &str) -> Option<String> {
    let plain = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    let safe = plain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (safe && (1..=128).contains(&plain.len()) && !plain.starts_with('.')).then(|| plain.into())
}
