//! Where the hub is, where its files are kept, and how patiently it is asked.

use crate::{Error, Result};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{HeaderValue, Uri};

/// The endpoint that is asked when none is set.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// The settings of one access to the hub, made by [`Hub::new`] or [`Hub::from_env`].
///
/// | setting  | default                   | environment variable                                    |
/// |----------|---------------------------|---------------------------------------------------------|
/// | endpoint | [`DEFAULT_ENDPOINT`]      | `HF_ENDPOINT`                                           |
/// | cache    | given, or see the module  | `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME`      |
/// | token    | none                      | `HF_TOKEN`, the file `HF_TOKEN_PATH` or `$HF_HOME/token`|
/// | offline  | false                     | `HF_HUB_OFFLINE`                                        |
/// | retries  | 5                         |                                                         |
/// | backoff  | 0.5 s                     |                                                         |
/// | timeout  | 30 s                      |                                                         |
/// | proxy    | none                      | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`    |
#[derive(Clone)]
pub struct Hub {
    pub(super) endpoint: String,
    pub(super) cache: PathBuf,
    pub(super) token: Option<String>,
    pub(super) offline: bool,
    pub(super) retries: u32,
    pub(super) backoff: Duration,
    pub(super) timeout: Duration,
    pub(super) proxy: Option<ureq::Proxy>,
}

impl Hub {
    /// The default settings with this cache folder; nothing is read from the environment.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.into(),
            cache: cache.into(),
            token: None,
            offline: false,
            retries: 5,
            backoff: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
            proxy: None,
        }
    }

    /// The settings that the environment gives, by the names and rules of Python's huggingface_hub.
    ///
    /// # Errors
    /// [`Error::Config`] when a variable has a value that cannot be used or no home folder is known, [`Error::Io`]
    /// when the token file is there but cannot be read.
    pub fn from_env() -> Result<Self> {
        let mut hub = Self::from_variables(|name| std::env::var_os(name))?;
        hub.proxy = ureq::Proxy::try_from_env();
        Ok(hub)
    }

    /// As [`from_env`](Self::from_env), with the variables that `variable` gives and no proxy.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // A variable that is set to nothing counts as not set.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let user = variable("HOME").or_else(|| variable("USERPROFILE")).map(PathBuf::from);
        let folder = |name: &str| match variable(name).map(PathBuf::from) {
            // As a shell would, since the variable may come from a file that no shell has read.
            Some(path) => match (path.strip_prefix("~"), &user) {
                (Ok(rest), Some(user)) => Some(user.join(rest)),
                _ => Some(path),
            },
            None => None,
        };
        let home = folder("HF_HOME").or_else(|| {
            let parent = folder("XDG_CACHE_HOME").or(Some(user.as_ref()?.join(".cache")))?;
            Some(parent.join("huggingface"))
        });
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(home.as_ref()?.join("hub")))
            .ok_or_else(|| Error::config("HF_HUB_CACHE", "", "a folder, since HOME is not set"))?;
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            // The value is not shown: it may be the token.
            Some(Err(_)) => Err(Error::config(name, "(bytes)", "UTF-8 text")),
        };
        let is_true = |name: &str| {
            let words = ["1", "true", "yes", "on"];
            Ok(text(name)?.is_some_and(|v| words.contains(&v.to_ascii_lowercase().as_str())))
        };
        let mut hub = Self::new(cache).with_offline(is_true("HF_HUB_OFFLINE")?);
        if let Some(endpoint) = text("HF_ENDPOINT")? {
            hub = hub.with_endpoint(&endpoint)?;
        }
        if !is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")? {
            let file = folder("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
            let token = match text("HF_TOKEN")? {
                Some(token) => Some(token),
                None => file.as_deref().map(read_token).transpose()?.flatten(),
            };
            if let Some(token) = token.filter(|token| !token.trim().is_empty()) {
                hub = hub.with_token(&token)?;
            }
        }
        Ok(hub)
    }

    /// Asks this endpoint, such as a mirror; the token is sent to it and to no other host.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not an `http://` or `https://` URL.
    pub fn with_endpoint(mut self, endpoint: &str) -> Result<Self> {
        let allowed = "a URL that begins with https:// or http:// and has no query";
        let uri = endpoint.parse::<Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none()
        });
        if uri.is_none() {
            return Err(Error::config("HF_ENDPOINT", endpoint, allowed));
        }
        self.endpoint = endpoint.trim_end_matches('/').into();
        Ok(self)
    }

    /// Sends this access token, which private and gated repositories ask for.
    ///
    /// # Errors
    /// [`Error::Config`] when it holds characters that no token has.
    pub fn with_token(mut self, token: &str) -> Result<Self> {
        let token = token.trim();
        if token.is_empty() || HeaderValue::from_str(token).is_err() || !token.is_ascii() {
            return Err(Error::config("HF_TOKEN", "(not shown)", "an access token in one line"));
        }
        self.token = Some(token.into());
        Ok(self)
    }

    /// With true, nothing is fetched and only the cache is used.
    pub fn with_offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// How often a request is repeated that fails for a reason that may pass, and the pause before the first
    /// repetition, doubled before each further one. A download that gets on starts counting anew.
    pub fn with_retries(mut self, retries: u32, backoff: Duration) -> Self {
        self.retries = retries;
        self.backoff = backoff;
        self
    }

    /// The longest wait for a connection, for the head of an answer, and for the next bytes of a body.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The folder of the cache.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The endpoint, without a slash at its end.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token and the proxy, whose URL may hold a password.
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "(not shown)"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// The token in `path`; none when there is no such file.
fn read_token(path: &Path) -> Result<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = crate::weights::read_bounded(path, 4096)?;
    let token = String::from_utf8(bytes).map_err(|_| Error::format(path, "not UTF-8 text"))?;
    Ok(Some(token))
}
