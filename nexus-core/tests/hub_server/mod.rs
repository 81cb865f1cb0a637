//! A hub and its CDN on this machine, each a listener with a thread.

use sha2::Digest;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// The first byte asked for.
    pub(crate) from: Option<usize>,
}

/// How much of an answer's body is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    Whole,
    /// The connection is closed after so many bytes.
    Cut(usize),
    /// Nothing more comes after so many bytes.
    Stall(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Body,
}

impl Reply {
    pub(crate) fn new(status: u16, bytes: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), bytes: bytes.into(), body: Body::Whole }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// A listener that answers each request by a function and remembers it.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, seen: Arc::default() };
        let (seen, answer) = (Arc::clone(&server.seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        seen.lock().unwrap().push(request.clone());
                        // A client that hangs up early is part of the tests.
                        let _ = write(&stream, &request, answer(&request));
                    }
                });
            }
        });
        server
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests of one method whose path ends so.
    pub(crate) fn count(&self, method: &str, end: &str) -> usize {
        self.seen().iter().filter(|r| r.method == method && r.path.ends_with(end)).count()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ').map(String::from);
    let (method, path) = (words.next()?, words.next()?);
    let mut request = Request { method, path, authorization: None, from: None };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.into()),
            "range" => {
                request.from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
            }
            _ => {}
        }
    }
    Some(request)
}

fn write(mut stream: &TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(name, _)| *name == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", reply.bytes.len());
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    match reply.body {
        Body::Whole => stream.write_all(&reply.bytes),
        Body::Cut(bytes) => stream.write_all(&reply.bytes[..bytes]),
        Body::Stall(bytes) => {
            stream.write_all(&reply.bytes[..bytes])?;
            std::thread::sleep(Duration::from_secs(5));
            Ok(())
        }
    }
}

/// A file of the repository `org/name`.
#[derive(Clone, Debug)]
pub(crate) struct RepoFile {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

impl RepoFile {
    pub(crate) fn large(&self) -> bool {
        self.name.ends_with(".safetensors")
    }

    /// The SHA-256 of a large file, git's SHA-1 of a small one.
    pub(crate) fn etag(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        if self.large() {
            return hex(&sha2::Sha256::digest(&self.bytes));
        }
        let header = format!("blob {}\0", self.bytes.len());
        hex(&sha1::Sha1::new_with_prefix(header).chain_update(&self.bytes).finalize())
    }
}

pub(crate) fn file(name: &'static str, bytes: impl Into<Vec<u8>>) -> RepoFile {
    RepoFile { name, bytes: bytes.into() }
}

/// Large enough that it does not fit into the buffers between client and server.
pub(crate) fn weights(seed: u8) -> Vec<u8> {
    (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

pub(crate) fn repository() -> Vec<RepoFile> {
    vec![
        file("README.md", "# name"),
        file("config.json", "{}"),
        file("tokenizer.json", "{\"a\": 1}"),
        file(WEIGHTS, weights(1)),
        file("pytorch_model.bin", "pickle"),
        file("onnx/model.safetensors", "another"),
    ]
}

type Fault = dyn FnMut(&Request) -> Option<Reply> + Send;

/// A hub with one repository, whose large files lie on another server.
pub(crate) struct FakeHub {
    pub(crate) hub: Server,
    pub(crate) cdn: Server,
    faults: Arc<Mutex<Box<Fault>>>,
}

impl FakeHub {
    pub(crate) fn start(files: Vec<RepoFile>) -> Self {
        let faults: Arc<Mutex<Box<Fault>>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let (on_cdn, on_hub) = (files.clone(), files);
        let fault = Arc::clone(&faults);
        let cdn = Server::start(move |request| {
            let planned = fault.lock().unwrap()(request);
            planned.unwrap_or_else(|| match on_cdn.iter().find(|f| request.path.contains(f.name)) {
                Some(file) => content(file, request),
                None => Reply::new(404, ""),
            })
        });
        let (cdn_url, fault) = (cdn.url.clone(), Arc::clone(&faults));
        let hub = Server::start(move |request| {
            let planned = fault.lock().unwrap()(request);
            planned.unwrap_or_else(|| answer(&on_hub, &cdn_url, request))
        });
        Self { hub, cdn, faults }
    }

    /// Answers otherwise where `fault` gives a reply, on both servers.
    pub(crate) fn set_fault(&self, fault: impl FnMut(&Request) -> Option<Reply> + Send + 'static) {
        let mut faults: MutexGuard<'_, Box<Fault>> = self.faults.lock().unwrap();
        *faults = Box::new(fault);
    }
}

fn answer(files: &[RepoFile], cdn: &str, request: &Request) -> Reply {
    if let Some(revision) = request.path.strip_prefix("/api/models/org/name/revision/") {
        let siblings: Vec<_> =
            files.iter().map(|f| serde_json::json!({ "rfilename": f.name })).collect();
        let known = ["main", "v1", "refs%2Fpr%2F1", COMMIT].contains(&revision);
        let answer = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
        return match known {
            true => Reply::new(200, answer.to_string()).with("Content-Type", "application/json"),
            false => Reply::new(404, "").with("X-Error-Code", "RevisionNotFound"),
        };
    }
    let find = |before: &str| {
        let name = request.path.strip_prefix(before)?;
        files.iter().find(|file| file.name == name)
    };
    if let Some(file) = find(&format!("/api/resolve-cache/models/org/name/{COMMIT}/")) {
        return content(file, request).with("ETag", format!("\"{}\"", file.etag()));
    }
    let Some(file) = find(&format!("/org/name/resolve/{COMMIT}/")) else {
        return Reply::new(404, "").with("X-Error-Code", "EntryNotFound");
    };
    let cache = format!("/api/resolve-cache/models/org/name/{COMMIT}/{}", file.name);
    let elsewhere = format!("{cdn}/{}?signature=x", file.name);
    Reply::new(if file.large() { 302 } else { 307 }, "")
        .with("Location", if file.large() { elsewhere } else { cache })
        .with("X-Repo-Commit", COMMIT)
        .with("X-Linked-ETag", format!("\"{}\"", file.etag()))
        .with("X-Linked-Size", file.bytes.len())
}

fn content(file: &RepoFile, request: &Request) -> Reply {
    let total = file.bytes.len();
    match request.from {
        Some(from) if from < total => Reply::new(206, &file.bytes[from..])
            .with("Content-Range", format!("bytes {from}-{}/{total}", total - 1)),
        Some(_) => Reply::new(416, ""),
        None => Reply::new(200, file.bytes.clone()),
    }
}
