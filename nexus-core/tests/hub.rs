//! Models from the hub, fetched from servers on this machine.

mod hub_server;

use hub_server::{
    Body, COMMIT, FakeHub, Reply, RepoFile, Request, Server, WEIGHTS, file, repository, weights,
};
use nexus_core::hub::{self, Hub};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const INDEX: &str = "model.safetensors.index.json";
const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// A fake hub, a cache, and settings that ask the one and fill the other.
struct Case {
    fake: FakeHub,
    hub: Hub,
    cache: TempDir,
}

fn case(files: Vec<RepoFile>) -> Case {
    let cache = TempDir::new().unwrap();
    let fake = FakeHub::start(files);
    let hub = settings(&cache, &fake.hub.url);
    Case { fake, hub, cache }
}

fn settings(cache: &TempDir, endpoint: &str) -> Hub {
    Hub::new(cache.path())
        .with_endpoint(endpoint)
        .and_then(|hub| hub.with_token("secret"))
        .unwrap()
        .with_retries(2, Duration::from_millis(1))
}

impl Case {
    fn resolve(&self, name: &str) -> nexus_core::Result<PathBuf> {
        self.hub.resolve(name, |_| ())
    }

    fn error(&self, name: &str) -> String {
        self.resolve(name).unwrap_err().to_string()
    }

    fn requests(&self) -> usize {
        self.fake.hub.seen().len() + self.fake.cdn.seen().len()
    }

    fn model(&self) -> PathBuf {
        self.cache.path().join("models--org--name")
    }

    fn blob(&self, file: &RepoFile) -> PathBuf {
        self.model().join("blobs").join(file.etag())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Answers so to a GET of the weights on the CDN, for the first `times` times.
fn on_weights(
    times: usize,
    reply: impl Fn(&Request) -> Reply + Send + 'static,
) -> impl FnMut(&Request) -> Option<Reply> + Send {
    let left = AtomicUsize::new(times);
    move |request| {
        let meant = request.method == "GET" && request.path.starts_with("/model.safetensors?");
        let more = |left: usize| left.checked_sub(1);
        (meant && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok())
            .then(|| reply(request))
    }
}

#[test]
fn a_model_is_laid_out_as_in_the_cache_of_huggingface_hub() {
    let case = case(repository());
    let mut told = Vec::new();
    let folder =
        case.hub.resolve("org/name", |p| told.push((p.file.to_string(), p.done, p.total))).unwrap();
    assert_eq!(folder, case.model().join("snapshots").join(COMMIT));
    assert_eq!(names(&folder), ["config.json", WEIGHTS, "tokenizer.json"]);
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), weights(1));
    assert_eq!(fs::read_to_string(case.model().join("refs/main")).unwrap(), COMMIT);
    for file in repository().iter().filter(|file| folder.join(file.name).exists()) {
        let target = fs::read_link(folder.join(file.name)).unwrap();
        assert_eq!(target, Path::new("../../blobs").join(file.etag()));
        assert!(case.blob(file).is_file());
    }
    assert_eq!(names(&case.model().join("blobs")).len(), 3, "no unfinished file is left");
    assert_eq!(names(&case.model().join("refs")), ["main"]);
    let large = told.iter().filter(|(file, _, _)| file == WEIGHTS).collect::<Vec<_>>();
    assert!(large.is_sorted() && large[0].1 == 0 && large.last().unwrap().1 == 3_000_000);
    assert!(large.iter().all(|(_, _, total)| *total == 3_000_000));
}

#[test]
fn the_token_goes_to_the_endpoint_alone() {
    let case = case(repository());
    case.resolve("org/name").unwrap();
    assert!(!case.fake.cdn.seen().is_empty());
    assert!(case.fake.cdn.seen().iter().all(|request| request.authorization.is_none()));
    let hub = case.fake.hub.seen();
    assert!(hub.iter().all(|request| request.authorization.as_deref() == Some("Bearer secret")));
    assert!(!format!("{:?}", case.hub).contains("secret"));
}

#[test]
fn a_cached_commit_needs_no_request_and_a_branch_only_the_list() {
    let case = case(repository());
    let folder = case.resolve(&format!("org/name@{COMMIT}")).unwrap();
    let before = case.requests();
    assert_eq!(case.resolve(&format!("org/name@{COMMIT}")).unwrap(), folder);
    assert_eq!(case.requests(), before);
    for revision in ["main", "v1", "refs/pr/1"] {
        assert_eq!(case.resolve(&format!("org/name@{revision}")).unwrap(), folder);
        let noted = fs::read_to_string(case.model().join("refs").join(revision)).unwrap();
        assert_eq!(noted, COMMIT);
    }
    assert_eq!(case.requests(), before + 3);
    assert_eq!(case.fake.hub.count("GET", "/revision/refs%2Fpr%2F1"), 1);
}

#[test]
fn what_another_program_cached_is_used() {
    let case = case(repository());
    let files = repository();
    for file in [&files[1], &files[2], &files[3]] {
        fs::create_dir_all(case.model().join("blobs")).unwrap();
        fs::write(case.blob(file), &file.bytes).unwrap();
    }
    // One file has its link, one only its content, and the content of one was cut off.
    let snapshot = case.model().join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink(case.blob(&files[1]), snapshot.join("config.json")).unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", snapshot.join("tokenizer.json")).unwrap();
    fs::write(case.blob(&files[2]), "{").unwrap();
    let folder = case.resolve("org/name").unwrap();
    assert_eq!(fs::read_to_string(folder.join("tokenizer.json")).unwrap(), "{\"a\": 1}");
    assert_eq!(case.fake.hub.count("HEAD", "/config.json"), 0);
    assert_eq!(case.fake.hub.count("HEAD", "/model.safetensors"), 1);
    assert!(case.fake.cdn.seen().is_empty());
}

#[test]
fn shards_are_those_of_the_index() {
    let index = |names: &[&str]| {
        let map: Vec<_> =
            names.iter().map(|name| format!("\"key of {name}\": \"{name}\"")).collect();
        format!("{{\"weight_map\": {{{}}}}}", map.join(","))
    };
    let files = |names: &[&str]| {
        vec![
            file("config.json", "{}"),
            file(INDEX, index(names)),
            file(FIRST, "first"),
            file(SECOND, "second"),
            file("consolidated.safetensors", "all once more"),
        ]
    };
    let whole = case(files(&[FIRST, SECOND]));
    let folder = whole.resolve(&format!("org/name@{COMMIT}")).unwrap();
    assert_eq!(names(&folder), ["config.json", FIRST, SECOND, INDEX]);
    let before = whole.requests();
    whole.resolve(&format!("org/name@{COMMIT}")).unwrap();
    assert_eq!(whole.requests(), before);

    for (shard, why) in [
        ("../../../x.safetensors", "not a plain path"),
        ("sub/x.safetensors", "not a safetensors file beside it"),
        ("x.bin", "not a safetensors file beside it"),
        ("x.safetensors", "does not have"),
    ] {
        let error = case(files(&[FIRST, shard])).error("org/name");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn an_interrupted_download_goes_on_where_it_ended() {
    let cut = |body: Body| {
        move |request: &Request| {
            let bytes = weights(1)[request.from.unwrap_or(0)..].to_vec();
            let status = if request.from.is_some() { 206 } else { 200 };
            let range = format!("bytes {}-2999999/3000000", request.from.unwrap_or(0));
            Reply { body, ..Reply::new(status, bytes).with("Content-Range", range) }
        }
    };
    // More interruptions than the settings allow in a row: each of these got on.
    for body in [Body::Cut(500_000), Body::Stall(500_000)] {
        let mut case = case(repository());
        case.hub = case.hub.with_timeout(Duration::from_millis(300));
        case.fake.set_fault(on_weights(5, cut(body)));
        let folder = case.resolve("org/name").unwrap();
        assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), weights(1));
        let from: Vec<_> = case.fake.cdn.seen().iter().filter_map(|request| request.from).collect();
        assert!(from.len() == 5 && from.is_sorted() && from[0] > 0, "{from:?}");
    }
    // A later call goes on from what an earlier one left.
    let case = case(repository());
    case.fake.set_fault(on_weights(usize::MAX, move |request| match request.from {
        None => cut(Body::Cut(500_000))(request),
        Some(_) => Reply::new(503, ""),
    }));
    let error = case.error("org/name");
    assert!(error.contains("503") && error.contains("attempt 3 of 3"), "{error}");
    assert!(!case.model().join("refs/main").exists());
    case.fake.set_fault(|_| None);
    let mut first = None;
    case.hub
        .resolve("org/name", |progress| {
            first.get_or_insert(progress.done);
        })
        .unwrap();
    assert!(first.unwrap() > 0 && case.fake.cdn.seen().last().unwrap().from.unwrap() > 0);
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let case = case(repository());
    let count = AtomicUsize::new(0);
    case.fake.set_fault(on_weights(2, move |_| {
        let cut = if count.fetch_add(1, Ordering::SeqCst) == 0 {
            Body::Cut(400_000)
        } else {
            Body::Whole
        };
        Reply { body: cut, ..Reply::new(200, weights(1)) }
    }));
    let folder = case.resolve("org/name").unwrap();
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), weights(1));
    let seen = case.fake.cdn.seen();
    assert!(seen.len() == 2 && seen[1].from.is_some());

    // One that always ends at the same place does not go on for ever.
    let case = self::case(repository());
    case.fake.set_fault(on_weights(usize::MAX, |_| Reply {
        body: Body::Cut(400_000),
        ..Reply::new(200, weights(1))
    }));
    assert!(case.error("org/name").contains("attempt"));
    assert!(case.fake.cdn.seen().len() <= 6);
}

#[test]
fn a_beginning_that_does_not_fit_is_thrown_away() {
    for beginning in [vec![7; 1000], vec![7; 3_000_000], vec![7; 3_000_001]] {
        let case = case(repository());
        let blob = case.blob(&repository()[3]);
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::write(format!("{}.incomplete", blob.display()), beginning).unwrap();
        let folder = case.resolve("org/name").unwrap();
        assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), weights(1));
    }
}

#[test]
fn bytes_other_than_announced_are_refused() {
    let page = || Reply::new(200, "<html>").with("Content-Type", "text/html; charset=utf-8");
    let replies: [(Reply, &str); 5] = [
        (Reply::new(200, weights(2)), "checksum does not match: SHA-256"),
        (Reply::new(200, &weights(1)[..2_000_000]), "wrong size"),
        (Reply::new(200, [weights(1), vec![0]].concat()), "wrong size"),
        (page(), "web page"),
        (Reply::new(403, ""), "status 403"),
    ];
    for (reply, why) in replies {
        let case = case(repository());
        case.fake.set_fault(on_weights(usize::MAX, move |_| reply.clone()));
        let error = case.error("org/name");
        assert!(error.contains(why) && error.contains(WEIGHTS), "{error}");
        let snapshot = case.model().join("snapshots").join(COMMIT);
        assert!(!snapshot.join(WEIGHTS).exists() && !case.blob(&repository()[3]).exists());
    }
    let case = case(repository());
    case.fake.set_fault(|request| {
        let small = request.method == "GET" && request.path.ends_with("tokenizer.json");
        small.then(|| Reply::new(200, "{\"a\": 2}"))
    });
    let error = case.error("org/name");
    assert!(error.contains("checksum does not match: git SHA-1"), "{error}");
}

#[test]
fn a_refusal_says_what_to_do() {
    let gated = Reply::new(403, "").with("X-Error-Code", "GatedRepo");
    let html = Reply::new(200, "<html>").with("Content-Type", "text/html");
    let other = format!("{{\"sha\": \"{}\", \"siblings\": []}}", "f".repeat(40));
    for (reply, why) in [
        (Reply::new(401, ""), "HF_TOKEN"),
        (gated, "gated"),
        (Reply::new(404, ""), "no such repository"),
        (Reply::new(404, "").with("X-Error-Code", "RevisionNotFound"), "no such revision"),
        (Reply::new(418, ""), "status 418"),
        (html, "web page"),
        (Reply::new(200, "{\"sha\": 1}"), "not an answer of a Hugging Face hub"),
        (Reply::new(200, other), "not the commit asked for"),
        (Reply::new(200, "{\"sha\": \"../x\", \"siblings\": []}"), "not the commit asked for"),
        (Reply::new(302, ""), "redirect without"),
        (Reply::new(302, "").with("Location", "/api/models/again"), "more than 10 redirects"),
    ] {
        let case = case(repository());
        case.fake.set_fault(move |r| r.path.starts_with("/api/models").then(|| reply.clone()));
        let error = case.error(&format!("org/name@{COMMIT}"));
        assert!(error.contains(why), "{error}");
    }
    let error = case(repository()).error("org/name@unknown");
    assert!(error.contains("no such revision"), "{error}");

    let endpoint = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", closed.local_addr().unwrap())
    };
    let cache = TempDir::new().unwrap();
    let error = settings(&cache, &endpoint).resolve("org/name", |_| ()).unwrap_err().to_string();
    assert!(error.contains("refused") && error.contains("HF_HUB_OFFLINE=1"), "{error}");
}

#[test]
fn the_answer_about_a_file_is_checked() {
    let head = || Reply::new(200, "").with("X-Repo-Commit", COMMIT).with("ETag", "\"abc\"");
    for (reply, why) in [
        (Reply::new(200, "").with("ETag", "\"abc\""), "no commit"),
        (Reply::new(200, "").with("X-Repo-Commit", COMMIT), "no usable ETag"),
        (head().with("X-Linked-ETag", "\"../../x\""), "no usable ETag"),
        (head().with("X-Linked-Size", "-1"), "no size"),
        (
            Reply::new(200, "").with("X-Repo-Commit", "f".repeat(40)).with("ETag", "abc"),
            "instead of",
        ),
        (Reply::new(404, "").with("X-Error-Code", "EntryNotFound"), "no such file"),
    ] {
        let case = case(repository());
        case.fake.set_fault(move |request| (request.method == "HEAD").then(|| reply.clone()));
        let error = case.error("org/name");
        assert!(error.contains(why) && error.contains("config.json"), "{error}");
    }
}

#[test]
fn a_failure_that_passes_is_waited_for() {
    for status in [429, 500, 503] {
        let case = case(repository());
        let failed = AtomicUsize::new(0);
        case.fake.set_fault(move |_| {
            let first = failed.fetch_add(1, Ordering::SeqCst) < 2;
            first.then(|| Reply::new(status, "").with("Retry-After", "0"))
        });
        case.resolve("org/name").unwrap();
    }
    let case = case(repository());
    let started = std::time::Instant::now();
    let failed = AtomicUsize::new(0);
    case.fake.set_fault(move |_| {
        let first = failed.fetch_add(1, Ordering::SeqCst) == 0;
        first.then(|| Reply::new(429, "").with("Retry-After", "1"))
    });
    case.resolve("org/name").unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After is honoured");
    case.fake.set_fault(|_| Some(Reply::new(500, "")));
    let error = case.error("org/name");
    assert!(error.contains("status 500 (attempt 3 of 3)"), "{error}");
}

#[test]
fn hostile_names_and_pickled_weights_are_refused() {
    for name in ["../x.safetensors", "/etc/x.safetensors", "a/../../b", "a\\b.safetensors"] {
        let case = case(vec![file("config.json", "{}"), file(WEIGHTS, "w"), file(name, "x")]);
        let error = case.error("org/name");
        assert!(error.contains("not a plain path"), "{error}");
        assert_eq!(case.requests(), 1);
    }
    let error =
        case(vec![file("config.json", "{}"), file("pytorch_model.bin", "x")]).error("org/name");
    assert!(error.contains("only pickled weights (pytorch_model.bin)"), "{error}");
    let error = case(vec![file("config.json", "{}")]).error("org/name");
    assert!(error.contains("holds no weights"), "{error}");
}

#[test]
fn offline_only_the_cache_is_used() {
    let mut case = case(repository());
    let online = case.hub.clone();
    case.hub = online.clone().with_offline(true);
    let error = case.error("org/name");
    assert!(error.contains("unset HF_HUB_OFFLINE"), "{error}");
    assert_eq!(case.requests(), 0);
    let folder = online.resolve("org/name", |_| ()).unwrap();
    let before = case.requests();
    for name in ["org/name", "org/name@main", &format!("org/name@{COMMIT}")] {
        assert_eq!(case.resolve(name).unwrap(), folder);
    }
    for missing in [WEIGHTS, "config.json"] {
        fs::remove_file(folder.join(missing)).unwrap();
        let error = case.error("org/name");
        assert!(error.contains(missing) && error.contains("unset HF_HUB_OFFLINE"), "{error}");
    }
    fs::write(case.model().join("refs/main"), "../../x").unwrap();
    assert!(case.error("org/name").contains("not a commit"));
    assert_eq!(case.requests(), before);
}

#[test]
fn many_at_once_fetch_each_file_once() {
    let case = case(repository());
    std::thread::scope(|scope| {
        let run = || fs::read(case.resolve("org/name").unwrap().join(WEIGHTS)).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), weights(1));
        }
    });
    assert_eq!(case.fake.cdn.seen().len(), 1);
}

#[test]
fn a_folder_is_returned_as_it_is_and_other_names_are_refused() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().to_str().unwrap();
    assert_eq!(hub::resolve(text).unwrap(), folder.path());
    let case = case(repository());
    for name in ["no-such-folder", "./no/such/folder", "org/name@../x", "org/name@"] {
        let error = case.error(name);
        assert!(error.contains("folder") || error.contains("revision"), "{error}");
    }
    assert_eq!(case.requests(), 0);
}

#[test]
fn settings_come_from_variables() {
    let home = TempDir::new().unwrap();
    let from = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, OsString)> =
            pairs.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let user = home.path().as_os_str().to_owned();
        Hub::from_variables(move |name| match pairs.iter().find(|(n, _)| n == name) {
            Some((_, value)) => Some(value.clone()),
            None => (name == "HOME").then(|| user.clone()),
        })
    };
    let cache = |pairs| from(pairs).unwrap().cache().to_path_buf();
    assert_eq!(cache(&[]), home.path().join(".cache/huggingface/hub"));
    assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
    assert_eq!(cache(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/h/hub"));
    assert_eq!(cache(&[("HF_HOME", "~/h")]), home.path().join("h/hub"));
    assert_eq!(cache(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]), Path::new("/c"));
    assert_eq!(from(&[]).unwrap().endpoint(), hub::DEFAULT_ENDPOINT);
    assert_eq!(from(&[("HF_ENDPOINT", "http://m/hf/")]).unwrap().endpoint(), "http://m/hf");
    for bad in [("HF_ENDPOINT", "mirror"), ("HF_ENDPOINT", "ftp://x"), ("HF_TOKEN", "a\nb")] {
        let error = from(&[bad]).unwrap_err().to_string();
        assert!(error.contains(bad.0) && !error.contains("a\nb"), "{error}");
    }
    for (value, offline) in [("1", true), ("ON", true), ("Yes", true), ("true", true), ("0", false)]
    {
        let shown = format!("{:?}", from(&[("HF_HUB_OFFLINE", value)]).unwrap());
        assert!(shown.contains(&format!("offline: {offline}")), "{shown}");
    }

    // The token that is sent, by where it comes from.
    let server = Server::start(|_| Reply::new(404, ""));
    let folder = home.path().to_str().unwrap();
    fs::write(home.path().join("token"), "of-home\n").unwrap();
    fs::write(home.path().join("other"), "of-path\n").unwrap();
    let other = format!("{folder}/other");
    for (variables, token) in [
        (vec![], Some("Bearer of-home")),
        (vec![("HF_TOKEN_PATH", other.as_str())], Some("Bearer of-path")),
        (vec![("HF_TOKEN", "given "), ("HF_TOKEN_PATH", other.as_str())], Some("Bearer given")),
        (vec![("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
    ] {
        let endpoint = [("HF_HOME", folder), ("HF_ENDPOINT", server.url.as_str())];
        let hub = from(&[variables, endpoint.to_vec()].concat()).unwrap();
        hub.resolve("org/name", |_| ()).unwrap_err();
        assert_eq!(server.seen().last().unwrap().authorization.as_deref(), token);
    }
}
